"""`spad import duke`, `oct5k`, `retouch`: files written in the layouts that are published."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from spad.__main__ import main
from spad.cases import Case, open_folder
from spad.pictures import image_files
from spad.train.data import check, class_table, read_labels
from spad.train.imports.duke import LAYERS, layer_map
from spad.train.imports.oct5k import NAMES as OCT5K

H, W, Z = 40, 24, 4
OUTLINED = (1, 3)  # B-scans that the readers of Duke's set have outlined


def imported(words: list[str], src: Path, dst: Path) -> dict[str, tuple[Case, NDArray[np.uint8]]]:
    """Import by the command line; the cases of a sound folder with their label maps."""
    assert main(["import", words[0], str(src), str(dst), *words[1:]]) == 0
    folder = open_folder(dst)
    check([folder], None, [*folder.splits])
    table = class_table(folder.names)
    return {c.name: (c, read_labels(c, table)) for cases in folder.splits.values() for c in cases}


def refused(words: list[str], src: Path, dst: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["import", words[0], str(src), str(dst), *words[1:]]) == 2
    assert not dst.exists()
    return capsys.readouterr().err


def pixels(seed: int, shape: tuple[int, ...], top: int = 256) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, top, shape)


# --- Duke


def subject(seed: int) -> dict[str, NDArray[Any]]:
    """What a file of 2015_BOE_Chiu holds: NaN where nothing was outlined."""
    fluid = np.full((H, W, Z), np.nan)
    layers = np.full((8, W, Z), np.nan)
    for z in OUTLINED:
        fluid[..., z] = 0
        fluid[20:23, 10:14, z] = 7  # the pools are numbered
        layers[:, 2:-2, z] = (10 + 3 * np.arange(8))[:, None]  # rows 9, 12, ... counted from 0
    return {
        "images": pixels(seed, (H, W, Z)).astype(np.uint8),
        "manualFluid1": fluid,
        "manualFluid2": np.where(fluid > 0, 0, fluid),
        "manualLayers1": layers,
        "manualLayers2": layers,
        "automaticFluidDME": np.zeros((H, W, Z)),
    }


@pytest.fixture
def duke(tmp_path: Path) -> Path:
    src = tmp_path / "2015_BOE_Chiu"
    src.mkdir()
    for number in range(1, 6):
        savemat(src / f"Subject_{number:02}.mat", subject(number), do_compression=True)
    return src


def test_duke_gives_the_fluid_of_the_outlined_bscans(duke: Path, tmp_path: Path) -> None:
    cases = imported(["duke"], duke, tmp_path / "cases")
    assert sorted(cases) == [f"Subject_{n:02}_{z + 1:02}" for n in range(1, 6) for z in OUTLINED]
    case, labels = cases["Subject_02_04"]
    assert case.patient == "Subject_02"
    image = image_files.read_file(case.folder / "images" / case.image_name)
    assert np.array_equal(image, subject(2)["images"][..., 3])
    assert np.array_equal(labels > 0, np.nan_to_num(subject(2)["manualFluid1"][..., 3]) > 0)
    split = json.loads((case.folder / "split.json").read_text())
    assert [len(split[name]["patients"]) for name in ("train", "val")] == [4, 1]


def test_duke_gives_the_layers_with_the_fluid_over_them(duke: Path, tmp_path: Path) -> None:
    cases = imported(["duke", "--structures", "layers"], duke, tmp_path / "cases")
    _, labels = cases["Subject_01_02"]
    assert (labels[:, :2] == 255).all()  # columns that nobody outlined
    assert (labels[:, -2:] == 255).all()
    column = labels[:, 5]
    assert [int(np.flatnonzero(column == k)[0]) for k in range(1, 8)] == [
        9 + 3 * k for k in range(7)
    ]
    assert (column[30:] == 0).all()
    assert (labels[20:23, 10:14] == 8).all()
    assert json.loads((tmp_path / "cases" / "labels.json").read_text())["6"] == LAYERS[6] == "IS/OS"


@pytest.mark.parametrize("structures", ["fluid", "layers"])
def test_duke_s_columns_at_which_nobody_looked_are_not_free_of_fluid(
    tmp_path: Path, structures: str
) -> None:
    src = tmp_path / "2015_BOE_Chiu"
    src.mkdir()
    for number in range(1, 6):
        one = subject(number)
        one["manualFluid1"][:, :4] = np.nan  # two columns more than the borders lack
        savemat(src / f"Subject_{number:02}.mat", one)
    cases = imported(["duke", "--structures", structures], src, tmp_path / "cases")
    _, labels = cases["Subject_01_02"]
    assert (labels[:, :4] == 255).all()
    assert (labels[:, 4:-2] != 255).all()
    assert (labels[20:23, 10:14] == (1 if structures == "fluid" else 8)).all()


def test_duke_s_second_reader_is_the_second_reader(duke: Path, tmp_path: Path) -> None:
    cases = imported(["duke", "--reader", "2"], duke, tmp_path / "cases")
    assert not any(labels.any() for _, labels in cases.values())


def test_a_gap_in_a_border_is_bridged_and_borders_that_cross_are_ordered() -> None:
    borders = np.repeat((1.0 + 3 * np.arange(8))[:, None], 9, axis=1)
    borders[3, 4] = np.nan  # the neighbours say 10
    borders[6, 2] = 1  # above the border over it, at 16
    labels = layer_map(borders, 30)
    assert np.array_equal(labels[:, 4], labels[:, 5])
    assert not (labels[:, 2] == 6).any()  # a layer without thickness
    assert (np.diff(labels[:21, 2].astype(int)) >= 0).all()


def test_what_is_no_file_of_duke_is_refused(
    duke: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = subject(1)
    savemat(duke / "Subject_02.mat", {k: v for k, v in good.items() if k != "manualFluid1"})
    savemat(duke / "Subject_03.mat", {**good, "manualLayers1": good["manualLayers1"][:7]})
    (duke / "Subject_04.mat").write_bytes(b"no MATLAB file")
    (duke / "Subject_05.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"x")
    savemat(duke / "Subject_06.mat", {**good, "images": good["images"] / 256})
    said = refused(["duke"], duke, tmp_path / "cases", capsys)
    assert "Subject_06.mat: its images go up to 0.9" in said
    assert "Subject_02.mat: has no manualFluid1" in said
    assert "manualLayers1 (7, 24, 4) do not belong together" in said
    assert "Subject_04.mat: is no MATLAB file" in said
    assert "Subject_05.mat: is a MATLAB 7.3 file" in said
    shutil.rmtree(duke)
    duke.mkdir()
    assert "name the folder 2015_BOE_Chiu" in refused(["duke"], duke, tmp_path / "cases", capsys)


def test_a_damaged_file_that_crashes_its_reader_is_named(
    duke: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = subprocess.CompletedProcess([], -11, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: crashed)
    said = refused(["duke"], duke, tmp_path / "cases", capsys)
    assert "Subject_05.mat: is damaged, and its reader crashed (-11); copy it again" in said


# --- OCT5k


@pytest.fixture
def oct5k(tmp_path: Path) -> Path:
    src = tmp_path / "OCT5k"
    for part, patient, number in [
        ("AMD Part1", "AMD (1)", 10),
        ("AMD Part1", "AMD (1)", 11),
        ("DME Part2", "DME (9)", 3),
        ("Normal Part1", "Normal (2)", 7),
    ]:
        place = Path(part, f"{patient}.E2E", "2- 25- 2017 9- 10- 42 PM", f"Image {number}.png")
        for grading in (1, 2, 3):
            values = np.repeat(np.arange(6, dtype=np.uint8), 6)[:, None].repeat(W, axis=1)
            save(src / "Masks" / "Masks_Manual" / f"Grading_{grading}" / place, values // grading)
        if patient != "Normal (2)":
            save(src / "Images" / "Images_Manual" / place, pixels(number, (36, W)).astype(np.uint8))
        else:  # only among the whole volumes
            whole = (src / "Images" / "Images_Original" / place).with_suffix(".TIFF")
            save(whole, pixels(number, (36, W)).astype(np.uint8))
    return src


def save(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.mark.parametrize("grading", [1, 3])
def test_oct5k_gives_the_layers_of_one_grading(grading: int, oct5k: Path, tmp_path: Path) -> None:
    cases = imported(["oct5k", "--grading", str(grading)], oct5k.parent, tmp_path / "x" / "cases")
    assert len(cases) == 4
    assert {case.patient for case, _ in cases.values()} == {"AMD (1)", "DME (9)", "Normal (2)"}
    _, labels = cases["AMD (1)_2- 25- 2017 9- 10- 42 PM_Image 10"]
    assert labels[:, 0].tolist() == (np.repeat(np.arange(6), 6) // grading).tolist()
    written = json.loads((tmp_path / "x" / "cases" / "labels.json").read_text())
    assert written == {str(value): name for value, name in OCT5K.items()}


def test_oct5k_refuses_what_does_not_fit(
    oct5k: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = tmp_path / "cases"
    assert "name the folder that holds Images/ and Masks/" in refused(
        ["oct5k"], oct5k / "Images", dst, capsys
    )
    image = next((oct5k / "Images").rglob("Image 10.png"))
    save(image, np.zeros((5, 5), np.uint8))
    assert "Image 10.png: is (5, 5), but" in refused(["oct5k"], oct5k, dst, capsys)


# --- RETOUCH


@pytest.fixture
def retouch(tmp_path: Path) -> Path:
    sitk = pytest.importorskip("SimpleITK", reason='pip install "napari-spad[retouch]"')
    src = tmp_path / "RETOUCH"
    for number, (device, dtype) in enumerate(
        [("Cirrus", np.uint8), ("Cirrus", np.uint8), ("Spectralis", np.uint16)], 1
    ):
        folder = src / f"RETOUCH-TrainingSet-{device}" / f"TRAIN{number:03}"
        folder.mkdir(parents=True)
        labels = np.zeros((Z, H, W), np.uint8)
        labels[number, 5:9, 5:9] = number
        scan = pixels(number, (Z, H, W), np.iinfo(dtype).max).astype(dtype)
        for name, values in (("oct", scan), ("reference", labels)):
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((0.0117, 0.0039, 0.047))  # column, row, B-scan
            sitk.WriteImage(image, str(folder / f"{name}.mhd"))
    return src


def test_retouch_gives_every_bscan_with_its_spacing(retouch: Path, tmp_path: Path) -> None:
    cases = imported(["retouch"], retouch, tmp_path / "cases")
    assert len(cases) == 3 * Z
    case, labels = cases["Spectralis_TRAIN003_004"]
    assert case.patient == "Spectralis_TRAIN003"
    assert case.spacing_mm == pytest.approx((0.0039, 0.0117))
    assert (labels[5:9, 5:9] == 3).all()
    assert np.count_nonzero(labels) == 16
    image = image_files.read_file(case.folder / "images" / case.image_name)
    assert image.dtype == np.uint16
    assert np.array_equal(image, pixels(3, (Z, H, W), 65535)[3])
    split = json.loads((tmp_path / "cases" / "split.json").read_text())
    assert sum(name.startswith("Cirrus") for name in split["val"]["patients"]) == 1


def test_retouch_says_what_is_missing(
    retouch: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dst = tmp_path / "cases"
    next(retouch.rglob("TRAIN002/oct.raw")).unlink()
    assert "TRAIN002/oct.mhd: cannot be read, nor its .raw" in refused(
        ["retouch"], retouch, dst, capsys
    )
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    assert 'pip install "napari-spad[retouch]"' in refused(["retouch"], retouch, dst, capsys)
    shutil.rmtree(retouch)
    retouch.mkdir()
    assert "holds no reference.mhd" in refused(["retouch"], retouch, dst, capsys)


def test_retouch_repacked_and_cut_is_refused(
    retouch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK

    path = next(retouch.rglob("TRAIN001/reference.mhd"))
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(path), useCompression=True)
    packed = path.with_suffix(".zraw")
    packed.write_bytes(packed.read_bytes()[:-9])
    said = refused(["retouch"], retouch, tmp_path / "cases", capsys)
    assert "reference.mhd is damaged or cut short" in said
