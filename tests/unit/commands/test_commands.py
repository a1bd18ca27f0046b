"""The `spad` command: what it does, what it refuses and how it says so."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

import spad
from spad import checkpoint
from spad.__main__ import main
from spad.cases import CaseError, open_folder
from spad.checkpoint.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.cohort import SegmentJob, segment_file
from spad.commands.segment import input_files, segment_files
from spad.network import build
from spad.phantom import CLASS_NAMES
from spad.pictures import image_files, pillow_files
from spad.remote.http_line import NoLine, Refusal
from spad.train.data import check, read_image
from spad.train.data.cases import read_values


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that never trained."""
    torch.manual_seed(0)
    classes = label_classes(CLASS_NAMES)
    network = NetworkConfig(widths=(8, 8), blocks=1, denoiser_widths=(8,), time_width=8)
    card = Card(
        name="untrained",
        classes=classes,
        network=network,
        schedule=ScheduleConfig(),
        input=InputConfig(size=(32, 64)),
        sampling=SamplingConfig(steps=2, samples=2),
        training={"mapping": {"known": {"background": [0], "SRF": [1], "ignore": [2]}}},
    )
    path = tmp_path_factory.mktemp("models") / "untrained.safetensors"
    checkpoint.save(path, card, build(network, len(classes), None).state_dict())
    return path


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    path = tmp_path / "phantoms"
    assert main(["phantom", str(path), "--train", "2", "--val", "3", "--size", "32", "64"]) == 0
    return path


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The reason for a refusal: exit code 2, one message, nothing printed."""
    capsys.readouterr()
    assert main([str(arg) for arg in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("spad: ")
    assert "Traceback" not in err
    return err


# --- start


def test_help_and_info_load_no_torch(model: Path) -> None:
    for argv in (["--help"], ["info", str(model)]):
        code = (
            "import sys; from spad.__main__ import main\n"
            f"try: main({argv!r})\nexcept SystemExit: pass\n"
            "sys.exit(bool({'torch', 'spad.train', 'PIL'} & {*sys.modules}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout


def test_a_traceback_is_shown_when_asked(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no such checkpoint"):
        main(["--traceback", "info", str(tmp_path / "x.safetensors")])


def test_ctrl_c_ends_with_130(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spad.checkpoint.info_verb.read_card", interrupted)
    assert main(["info", str(model)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_info_prints_the_card(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(model)]) == 0
    assert capsys.readouterr().out == checkpoint.read_card(model).text() + "\n"


def test_a_model_is_given_by_path_or_by_shipped_name(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spad.checkpoint.by_name.installed", lambda: {"oct-phantom": model})
    assert main(["info", "oct-phantom"]) == 0
    assert capsys.readouterr().out.startswith("untrained")
    assert "did you mean oct-phantom?" in refused(capsys, "info", "oct-fantom")
    assert "there are: oct-phantom" in refused(capsys, "info", "zzz")
    for text in ("x.safetensors", "models/x"):
        assert f"{text}: no such checkpoint" in refused(capsys, "info", text)


# --- phantom


def test_phantoms_make_a_sound_case_folder(phantoms: Path) -> None:
    folder = open_folder(phantoms)
    check([folder], None, ["train", "val"])
    assert tuple(folder.names.values()) == CLASS_NAMES
    assert {k: len(v) for k, v in folder.splits.items()} == {"train": 2, "val": 3}
    every = [case for split in folder.splits.values() for case in split]
    assert len({case.patient for case in every}) == 5
    assert all(case.spacing_mm for case in every)
    images = [read_image(case) for case in every]
    assert {image.shape for image in images} == {(32, 64)}
    assert len({image.tobytes() for image in images}) == 5


def test_the_readings_of_several_people_are_cases_of_one_image_and_patient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--train", "1", "--val", "2", "--size", "32", "64", "--raters", "3"]
    assert main(["phantom", str(tmp_path / "read"), *words]) == 0
    assert "9 phantoms (3 readings of each image)" in capsys.readouterr().out
    folder = open_folder(tmp_path / "read")
    check([folder], None, ["train", "val"])
    own = folder.splits["train"]
    assert [case.name[-3:] for case in own] == ["-r1", "-r2", "-r3"]
    assert len({case.patient for case in own}) == 1
    assert len({read_image(case).tobytes() for case in own}) == 1
    assert len({read_values(case).tobytes() for case in own}) == 3
    assert main(["phantom", str(tmp_path / "bad"), *words[:-1], "-1"]) == 2
    assert "raters is -1, at least 0 is needed" in capsys.readouterr().err


def test_a_validation_set_does_not_depend_on_the_training_set(
    phantoms: Path, tmp_path: Path
) -> None:
    assert (
        main(["phantom", str(tmp_path / "b"), "--train", "0", "--val", "3", "--size", "32", "64"])
        == 0
    )
    names = [[p.name for p in sorted((f / "images").iterdir())] for f in (phantoms, tmp_path / "b")]
    assert names[0][2:] == names[1]
    for name in names[1]:
        one, other = (
            image_files.read_file(f / "images" / name) for f in (phantoms, tmp_path / "b")
        )
        np.testing.assert_array_equal(one, other)


def test_phantoms_are_refused(phantoms: Path, tmp_path: Path, capsys: Any) -> None:
    before = sorted(phantoms.rglob("*"))
    assert "not empty" in refused(capsys, "phantom", phantoms)
    assert sorted(phantoms.rglob("*")) == before
    assert "at least one" in refused(capsys, "phantom", tmp_path / "n", "--train", 0, "--val", 0)
    assert "at least 32" in refused(capsys, "phantom", tmp_path / "n", "--size", 8, 64)


@pytest.mark.parametrize("there", [True, False])
def test_phantoms_that_cannot_all_be_written_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, there: bool
) -> None:
    out = tmp_path / "p"
    if there:
        out.mkdir()
    words = ["phantom", str(out), "--train", "2", "--val", "1", "--size", "32", "64"]
    real, calls = image_files.png_bytes, []

    def full(*given: Any) -> bytes:
        calls.append(given)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(image_files, "png_bytes", full)
        assert "No space" in refused(capsys, *words)
    assert list(tmp_path.rglob("*")) == [out] * there
    assert main(words) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "cases.json", "images", "labels.json", "masks", "split.json",
    ]  # fmt: skip
    assert len(open_folder(out).splits["train"]) == 2


# --- train


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-ins for the configuration and the loop, which have tests of their own."""
    calls: list[Any] = []

    def load_config(path: Path, overrides: list[str]) -> Any:
        if path.suffix != ".toml":
            raise ValueError(f"{path} is not TOML")
        return SimpleNamespace(path=path, overrides=list(overrides))

    def train(config: Any, out: Path, *, resume: bool, device: str) -> Path:
        calls.append((config.overrides, out, resume, device))
        return out / "best.safetensors"

    for room, standin in (("config", load_config), ("loop", train)):
        handed_on = vars(importlib.import_module(f"spad.train.{room}"))
        monkeypatch.setitem(handed_on, standin.__name__, standin)
    return calls


def test_overrides_may_stand_anywhere(
    trained: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for argv in ("c.toml a=1 b.c=x", "c.toml a=1 --out o b.c=x", "c.toml --out o a=1 b.c=x"):
        assert main(["train", *argv.split()]) == 0
    assert [call[0] for call in trained] == [["a=1", "b.c=x"]] * 3
    assert [call[1] for call in trained] == [Path("runs/c"), Path("o"), Path("o")]


def test_a_fresh_run_keeps_the_old_one(
    trained: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for content in ("first", "second"):
        out.mkdir()
        (out / "latest.pt").write_text(content)
        assert main(["train", "c.toml", "--out", str(out), "--fresh"]) == 0
        assert not out.exists()
    assert [(tmp_path / f"run.{n}" / "latest.pt").read_text() for n in (1, 2)] == [
        "first",
        "second",
    ]
    assert "is kept in" in capsys.readouterr().err


def test_train_passes_on_what_it_is_asked(
    trained: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", "c.toml", "--out", str(tmp_path)]
    assert main([*argv, "--resume", "--device", "cpu"]) == main(argv) == 0
    assert trained == [([], tmp_path, True, "cpu"), ([], tmp_path, False, "auto")]
    assert capsys.readouterr().out == f"{tmp_path / 'best.safetensors'}\n" * 2
    assert "is not TOML" in refused(capsys, "train", "c.ini")


@pytest.mark.parametrize("argv", [["train", "c.toml", "--oot", "x"], ["info", "x", "a=1"], []])
def test_unknown_arguments_are_refused(argv: list[str], trained: list[Any]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert not trained


# --- segment


def write(path: Path, shape: tuple[int, ...] = (40, 90)) -> NDArray[Any]:
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        (image_files.png_bytes if path.suffix == ".png" else image_files.tiff_bytes)(image)
    )
    return image


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--samples", 65), "65 samples asked for; choose 1 to 64"),
        (("--steps", 5000), "5000 steps asked for; this model allows 1.."),
    ],
)
def test_numbers_that_no_file_can_be_segmented_with_are_refused_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words, said: str
) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    out = tmp_path / "out"
    text = refused(capsys, "segment", model, tmp_path, "-o", out, *words)
    assert text.startswith(f"spad: {said}")
    assert len(text.splitlines()) == 1
    assert not out.exists()


def test_images_and_stacks_are_segmented(model: Path, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.png")
    write(tmp_path / "in" / "b.tif", (3, 40, 90))
    write(tmp_path / "c.png")
    out = tmp_path / "out"
    argv = ["segment", model, tmp_path / "in", tmp_path / "c.png", "-o", out, "--uncertainty"]
    assert main([*map(str, argv), "--samples", "1", "--steps", "1", "--seed", "4"]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{name}{end}"
        for name, first in (("a", ".png"), ("b", ".tif"), ("c", ".png"))
        for end in (first, ".spad.json", ".uncertainty.tif")
    )
    with Image.open(out / "a.png") as file:
        assert file.mode == "P"
        assert file.getpalette()[: 3 * len(CLASS_NAMES)] == [
            level for one in label_classes(CLASS_NAMES) for level in one.color
        ]
    assert image_files.read_label_file(out / "a.png").shape == (40, 90)
    assert image_files.read_file(out / "b.tif").shape == (3, 40, 90)
    uncertainty = tifffile.imread(out / "b.uncertainty.tif")
    assert uncertainty.shape == (3, 40, 90)
    assert uncertainty.dtype == np.float32
    beside = json.loads((out / "a.spad.json").read_text())
    assert (beside["labels"], beside["image"]) == ("a.png", "a.png")
    assert [one["name"] for one in beside["classes"]] == list(CLASS_NAMES)
    assert beside["provenance"]["checkpoint"]["sha256"] == checkpoint.sha256(model)
    assert beside["provenance"]["seed"] == 4
    assert "Not a medical device" in beside["notice"]


def test_a_bscan_with_nan_is_left_empty_told_and_known_to_whoever_measures(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.random.default_rng(0).random((5, 40, 90), dtype=np.float32)
    image[1, 5, 7] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image)
    tifffile.imwrite(tmp_path / "none.tif", np.full((5, 40, 90), np.nan, np.float32))
    out, fast = tmp_path / "out", ["--samples", "1", "--steps", "1", "--seed", "4"]
    argv = ["segment", str(model), str(tmp_path / "a.tif"), str(tmp_path / "none.tif")]
    assert main([*argv, "-o", str(out), *fast]) == 1
    said = capsys.readouterr().err
    assert "B-scan 2 of the image holds NaN or infinity; replace them first. It is left " in said
    assert "none.tif: has NaN or infinite pixels" in said
    labels = image_files.read_label_file(out / "a.tif", stack=True)
    assert not labels[1].any()
    image[1] = 0
    whole = spad.load(model).segment(image, samples=1, steps=1, seed=4).labels
    np.testing.assert_array_equal(labels[[0, 2, 3, 4]], whole[[0, 2, 3, 4]])
    beside = json.loads((out / "a.spad.json").read_text())
    assert beside["provenance"]["left_empty"] == [1]
    table = tmp_path / "table.csv"
    assert (
        main(["measure", str(out / "a.tif"), "--spacing", "100", "4", "10", "-o", str(table)]) == 0
    )
    assert "only 4 of 5 B-scans are segmented" in table.read_text()


def test_a_folder_that_is_named_as_an_image_is_no_input(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").mkdir()
    assert main(["segment", str(model), str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    (tmp_path / "out" / "c.spad.json").mkdir()
    words = ["--spacing", "0", "4", "11", "-o", str(tmp_path / "out.csv")]
    assert main(["measure", str(tmp_path / "out"), *words]) == 0
    assert "1 result, " in capsys.readouterr().err


def test_a_full_disk_names_the_folder_and_what_to_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    write(tmp_path / "scan.png")
    out = tmp_path / "out"
    words = ["segment", str(model), str(tmp_path / "scan.png"), "-o", str(out), "--uncertainty"]
    with monkeypatch.context() as patch:
        patch.setattr("spad.cohort.segmenting_file.Path.write_bytes", full)
        assert main(words) == 1
    said = capsys.readouterr().err
    assert "No space left on device; free some space there, or name another folder" in said
    assert str(out) in said
    assert list(out.iterdir()) == []
    assert main(words) == 0  # nothing is in the way


@pytest.mark.parametrize("end", [".uncertainty.tif", ".spad.json"])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_a_result_of_which_a_file_cannot_be_written_is_taken_back(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, workers: tuple[str, ...]
) -> None:
    """Or the older one stays, whole: labels of one run beside the sidecar of another lie."""
    scan, out = tmp_path / "scan.png", tmp_path / "out"
    write(scan)
    words = ["segment", str(model), str(scan), "-o", str(out), "--uncertainty", "--seed"]
    (out / f"scan{end}").mkdir(parents=True)  # which no file replaces
    (out / f"scan{end}" / "mine").touch()
    assert main([*words, "1", "--overwrite", *workers]) == 1
    assert [p.name for p in out.iterdir() if p.name != "failures.jsonl"] == [f"scan{end}"]
    (out / f"scan{end}" / "mine").unlink()
    (out / f"scan{end}").rmdir()
    assert main([*words, "1", *workers]) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.endswith(end):
            raise OSError(28, "No space left on device")
        return real(path, data)

    if not workers:  # another process would not be patched
        monkeypatch.setattr(Path, "write_bytes", full)
        assert main([*words, "2", "--overwrite"]) == 1
        assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_the_result_is_that_of_the_engine(model: Path, tmp_path: Path) -> None:
    import spad

    image = write(tmp_path / "a.png")
    argv = ["segment", model, tmp_path / "a.png", "-o", tmp_path / "out", "--seed", 3]
    assert main([*map(str, argv), "--device", "cpu"]) == 0
    expected = spad.load(model, device="cpu").segment(image, seed=3).labels
    np.testing.assert_array_equal(image_files.read_label_file(tmp_path / "out" / "a.png"), expected)


def test_a_cube_of_a_typed_size_is_segmented_and_keeps_its_scale(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.img").write_bytes(bytes(2 * 32 * 48))
    argv = ["segment", str(model), str(tmp_path / "a.img"), "-o", str(tmp_path), "--device", "cpu"]
    assert main(argv) == 1
    assert "a.img has 3072 bytes; a Cirrus cube has" in capsys.readouterr().err
    assert main([*argv, "--cube-mm", "6", "2", "6"]) == 2
    assert "give both" in capsys.readouterr().err
    assert main([*argv, "--cube", "2", "32", "48", "--cube-mm", "0.48", "2", "0"]) == 0
    assert image_files.read_label_file(tmp_path / "a.tif", stack=True).shape == (2, 32, 48)
    scale = json.loads((tmp_path / "a.spad.json").read_text())["facts"]["scale"]
    assert scale["bscan"] == {"mm": 0.24, "origin": "typed", "how": ""}
    assert scale["column"]["origin"] == "unknown"


def test_too_little_memory_for_a_file_does_not_end_a_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "in" / f"{name}.png")
    errors = iter([MemoryError("a grid does not fit"), RuntimeError("CUDA out of memory"), None])

    def segment(image: Any) -> Any:
        raise next(errors) or RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        segment_files(segment, [tmp_path / "in"], tmp_path / "out")
    said = capsys.readouterr().out
    assert "a.png: FAILED: a grid does not fit" in said
    assert "b.png: FAILED: CUDA out of memory" in said


def test_what_a_server_refuses_costs_its_file_alone_and_one_that_is_gone_ends_the_batch(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "in" / f"{name}.png")
    large = Refusal("http://host:1 refuses: 900 MB of arrays, it takes 500", "size")
    errors = iter([large, NoLine("the server http://host:1 cannot be reached")])

    def segment(image: Any) -> Any:
        raise next(errors)

    with pytest.raises(NoLine, match="cannot be reached"):
        segment_files(segment, [tmp_path / "in"], tmp_path / "out")
    assert f"a.png: FAILED: {large}" in capsys.readouterr().out
    job = SegmentJob(
        model=str(model), sha256=checkpoint.sha256(model), out=str(tmp_path), options={}
    )

    def refusing(*_: Any, **__: Any) -> Any:
        raise large

    monkeypatch.setattr("spad.cohort.segmenting_file._opened", refusing)
    outcome = segment_file(job, str(tmp_path / "in" / "b.png"))
    assert (outcome.state, outcome.text) == ("failed", str(large))


def test_scans_of_a_folder_that_are_passed_over_are_told(tmp_path: Path) -> None:
    for name in ("a.png", "b.VOL", "c.nii.gz", "d.nii.gz", "notes.txt", "a.spad.json"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"3 files passed over \(\.nii\.gz, \.vol\)"):
        assert input_files([tmp_path]) == [tmp_path / "a.png"]
    (tmp_path / "a.png").unlink()
    with (
        pytest.warns(UserWarning, match="napari or 3D Slicer"),
        pytest.raises(CaseError, match=r"has no \.png"),
    ):
        input_files([tmp_path])


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_link_to_nothing_in_a_folder_costs_the_others_nothing(
    more: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "gone.png")
    argv = ["segment", str(model), str(tmp_path / "in"), "-o", str(tmp_path / "out"), *more]
    assert main([*argv, "--samples", "1", "--steps", "1"]) == 1
    said = capsys.readouterr().err
    assert f"[2/2] {tmp_path / 'in' / 'b.png'}: FAILED: " in said
    assert "its link leads to no file; mend or remove the link" in said
    assert (tmp_path / "out" / "a.png").exists()


def test_words_in_another_order_and_a_file_for_the_folder_are_told_apart(
    model: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(image := tmp_path / "in" / "a.png")
    before = sorted(tmp_path.rglob("*"))
    for verb, other in (("segment", image.parent), ("segment", image), ("evaluate", phantoms)):
        out = ["-o", tmp_path / "out"]
        text = refused(capsys, verb, other, model, *out)
        assert text == f"spad: {model} is a model, which comes first: spad {verb} {model} {other}\n"
        text = refused(capsys, verb, other, "oct-phantom", *out)
        assert f"comes first: spad {verb} oct-phantom {other}\n" in text
    text = refused(capsys, "tune", phantoms, model)
    assert f"comes first: spad tune {model} {phantoms}\n" in text
    text = refused(capsys, "segment", model, image, "-o", tmp_path / "b.tif")
    assert "b.tif is the name of a file; results get the names of their images" in text
    assert f"name the folder to put them in, such as {tmp_path / 'b'}" in text
    config = tmp_path / "in" / "c.toml"
    for words in (
        ("segment", model, image),
        ("segment", model, image, "--workers", "1"),
        ("train", "c.toml", "--fresh"),
        ("ablate", config),
        ("sweep", config, "loss.dice=1,2"),
        ("figures", tmp_path),
    ):
        text = refused(capsys, *words, "--out", image)
        assert text == f"spad: {image} is a file, and a folder is written to; name a folder\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_decoder_that_would_end_the_program_costs_its_file_alone(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in "ab":
        write(tmp_path / "in" / f"{name}.png")
    upright = pillow_files.decoded

    def decoded(path: Path, *, indexes: bool) -> Any:
        if path.name == "a.png":
            raise SystemExit("out")
        return upright(path, indexes=indexes)

    monkeypatch.setattr(pillow_files, "decoded", decoded)
    assert main(["segment", str(model), str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    assert "a.png: FAILED: " in (said := capsys.readouterr().err)
    assert "a.png: cannot be read (SystemExit: out)" in said
    assert (tmp_path / "out" / "b.png").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), r"not enough memory \(MemoryError\); close other"),
        (RuntimeError("CUDA out of memory. Tried\nmore"), r"\(CUDA out of memory. Tried\); close"),
        (
            MemoryError("not enough memory on cuda:0: set it"),
            "^spad: not enough memory on cuda:0: ",
        ),
    ],
)
def test_too_little_memory_is_a_sentence(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fails(*words: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("spad.checkpoint.info_verb.run", fails)
    assert main(["info", "oct-phantom"]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_bad_file_does_not_end_a_batch(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "c"):
        write(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    argv = ["segment", model, tmp_path / "in", "-o", tmp_path / "out"]
    assert main([*map(str, argv), "--samples", "1", "--steps", "1"]) == 1
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {"a.png", "c.png"}
    err = capsys.readouterr().err
    assert "b.png: cannot be read" in err
    assert err.splitlines()[-1].startswith("spad: 1 file failed")


def test_nothing_is_overwritten(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.png"
    write(source)
    fast = ("--samples", 1, "--steps", 1)
    content = source.read_bytes()
    for more in ((), ("--overwrite",)):
        text = refused(capsys, "segment", model, source, "-o", tmp_path, *fast, *more)
        assert "a.png is one of the inputs" in text
    (tmp_path / "link").symlink_to(tmp_path)
    text = refused(capsys, "segment", model, source, "-o", tmp_path / "link", *fast, "--overwrite")
    assert "is one of the inputs" in text
    assert source.read_bytes() == content

    out = tmp_path / "out"
    assert main(["segment", str(model), str(source), "-o", str(out), *map(str, fast)]) == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    text = refused(capsys, "segment", model, source, "-o", out, *fast)
    remedy = "choose another output folder, --workers 1 to go on where a run ended, or --overwrite"
    assert text == f"spad: {out / 'a.png'} exists; {remedy}\n"
    for name in ("b.png", "c.png", "new.png"):
        write(tmp_path / name)
    (out / "b.spad.json").write_text("{}")
    (out / "c.tif").write_bytes(b"")
    before |= {path: path.stat().st_mtime_ns for path in out.iterdir()}
    several = sorted(tmp_path.glob("*.png"))
    text = refused(capsys, "segment", model, *several, "-o", out, *fast)
    assert text == f"spad: {out / 'a.png'} exists, and results of 2 other files; {remedy}\n"
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    argv = ["segment", model, source, "-o", out, *fast, "--overwrite"]
    assert main([*map(str, argv)]) == 0
    assert (out / "a.png").stat().st_mtime_ns != before[out / "a.png"]


def test_the_command_alone_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "segment" in capsys.readouterr().err


def test_batches_that_cannot_work_are_refused_before_they_start(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "x" / "a.png")
    write(tmp_path / "y" / "A.tif")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    text = refused(capsys, "segment", model, tmp_path / "x", tmp_path / "y", "-o", out)
    assert "would both be written" in text
    write(tmp_path / "z" / "a.uncertainty.tif")  # where the uncertainty of x/a.png would go, too
    both = (tmp_path / "x", tmp_path / "z", "-o", out)
    text = refused(capsys, "segment", model, *both, "--uncertainty")
    assert "a.uncertainty.tif would both be written to" in text
    text = refused(capsys, "segment", model, tmp_path / "empty", tmp_path / "gone.png", "-o", out)
    assert "empty: has no" in text
    assert "gone.png: there is no such file" in text
    (tmp_path / "set" / "images").mkdir(parents=True)
    text = refused(capsys, "segment", model, tmp_path / "set", "-o", out)
    assert f"file; give {tmp_path / 'set' / 'images'}" in text
    write(tmp_path / "long" / f"{'n' * 251}.png")
    text = refused(capsys, "segment", model, tmp_path / "long", "-o", out)
    assert "shorten the name by" in text
    assert not out.exists()
    assert "is not on this machine" in refused(
        capsys, "segment", model, tmp_path / "x", "-o", out, "--device", "cuda:99"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["segment", str(model), str(tmp_path / "x"), "-o", str(out), "--steps", "0"])


# --- evaluate


FAST = ("--samples", "1", "--steps", "1")


def test_a_model_is_scored_by_equal_names(
    model: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    capsys.readouterr()
    assert main(["evaluate", str(model), str(phantoms), *FAST, "-o", str(report)]) == 0
    out, err = capsys.readouterr()
    assert "| SRF |" in out
    assert out.startswith("3 images of 3 patients")
    assert "3/3" in err
    content = json.loads(report.read_text())
    assert content["cases"]["split"] == "val"
    assert content["model"] == {"name": "untrained", "sha256": checkpoint.sha256(model)}
    assert [row["name"] for row in content["structures"]] == list(CLASS_NAMES[1:])
    assert content["hd95_unit"] == "mm"
    report.write_bytes(b"another's")
    assert f"{report} exists; choose another name, or --overwrite" in refused(
        capsys, "evaluate", model, phantoms, *FAST, "-o", report
    )
    assert report.read_bytes() == b"another's"
    assert "is a folder; name a file in it" in refused(
        capsys, "evaluate", model, phantoms, *FAST, "-o", tmp_path, "--overwrite"
    )
    words = ["evaluate", str(model), str(phantoms), *FAST, "-o", str(report), "--overwrite"]
    assert main(words) == 0
    assert json.loads(report.read_text()) == content


def renamed(phantoms: Path, name: str) -> Path:
    """The phantoms under another name, with classes of other names."""
    path = phantoms.rename(phantoms.with_name(name))
    names = {"0": "nothing", "1": "fluid below", "2": "x", "3": "y", "4": "z", "5": "line"}
    (path / "labels.json").write_text(json.dumps(names))
    return path


@pytest.mark.parametrize("seed", ["-1", str(2**64), "9" * 5000, "one"])
def test_a_seed_has_limits_that_are_told(
    model: Path, phantoms: Path, seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["evaluate", str(model), str(phantoms), "--seed", seed])
    said = f"{seed[:40]} is no whole number from 0 to {2**64 - 1}; choose one"
    assert said in " ".join(capsys.readouterr().err.split())


def test_other_classes_need_a_mapping(
    model: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = renamed(phantoms, "other")
    text = refused(capsys, "evaluate", model, path)
    assert "--map" in text
    assert "1 'fluid below'" in text
    report = tmp_path / "report.json"
    mapped = ["--map", "SRF=1 background=0,3,4", "IS/OS=5", "ignore=2"]
    assert main(["evaluate", str(model), str(path), *FAST, *mapped, "-o", str(report)]) == 0
    assert json.loads(report.read_text())["cases"]["mapping"]["background"] == [0, 3, 4]
    assert "without scores: IRF, PED, SHRM" in capsys.readouterr().out
    for wrong, message in (
        ("SRF=one", "is not CLASS=VALUES"),
        ("SRF", "is not CLASS=VALUES"),
        ("CNV=1 background=0,2,3,4,5", "no class 'CNV'"),
        ("SRF=1 background=0,2,3,4,9", "'line' are in no class"),
    ):
        assert message in refused(capsys, "evaluate", model, path, "--map", wrong)


def test_scores_on_what_trained_are_said_to_be_too_good(
    model: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "untrained was trained on a folder of this name"
    for name in ("other", "known"):
        phantoms = phantoms.rename(phantoms.with_name(name))
        for split in ("train", "val"):
            assert main(["evaluate", str(model), str(phantoms), *FAST, "--split", split]) == 0
            told = said in capsys.readouterr().err
            assert told == (name == "known" and split == "train")


def test_classes_that_the_data_know_apart_are_merged_without_a_mapping(
    model: Path, phantoms: Path, tmp_path: Path
) -> None:
    reports = [tmp_path / "own.json", tmp_path / "mapped.json"]
    mapped = ["--map", "background=0", "fluid=1,2", "PED=3", "SHRM=4", "IS/OS=5"]
    for report, words in zip(reports, ([], mapped), strict=True):
        words = ["--merge", "fluid=SRF,IRF", *words, "-o", str(report)]
        assert main(["evaluate", str(model), str(phantoms), *FAST, *words]) == 0
    own, given = (json.loads(report.read_text()) for report in reports)
    assert own["structures"] == given["structures"]
    assert own["cases"]["mapping"]["fluid"] == ["SRF", "IRF"]


def test_the_mapping_of_the_training_is_remembered(
    model: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = renamed(phantoms, "known")
    # The card maps 0, 1 and 2 only; it is used, and what it leaves out is told.
    assert "the values 3 'y', 4 'z', 5 'line' are in no class" in refused(
        capsys, "evaluate", model, path
    )


def test_faulty_cases_are_refused_all_at_once(
    model: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted((phantoms / "masks").iterdir())[-2:]
    first.unlink()
    second.write_bytes(b"")
    text = refused(capsys, "evaluate", model, phantoms)
    assert f"{first.name}: is missing" in text
    assert f"{second.name}: cannot be read" in text
    text = refused(capsys, "evaluate", model, phantoms, "--split", "test")
    assert "split 'test' has no images; the splits with images are: train, val" in text
    assert "there is no such folder" in refused(capsys, "evaluate", model, phantoms / "no")
