"""`spad import amd-sd`: pairs in one file, inexact colours, official lists, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from spad import phantom
from spad.__main__ import main
from spad.cases import CaseError, NewCase, open_folder
from spad.pictures import image_files
from spad.train.data import check, class_table, read_image, read_labels
from spad.train.imports import transfer
from spad.train.imports.amd_sd import COLOURS, import_amd_sd, read_pair
from spad.train.imports.patient_splits import draw, natural
from spad.train.imports.report import Report

PALETTE = np.array([*COLOURS.values()], np.uint8)
SHAPE = (48, 64)
PATIENTS = {"1": 2, "2": 1, "10": 2, "11": 1, "12": 1}


def pair(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], *, noise: int = 0, seed: int = 0
) -> NDArray[np.uint8]:
    """The official file's pixels; noise changes every channel by up to so much."""
    both = np.concatenate([np.repeat(image[..., None], 3, -1), PALETTE[labels]], axis=1)
    change = np.random.default_rng(seed).integers(-noise, noise + 1, both.shape)
    change[:, : image.shape[1]] = np.sign(change[:, : image.shape[1]])  # of a B-scan: 1 at most
    return np.clip(both.astype(int) + change, 0, 255).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


Truth = dict[str, phantom.Phantom]


def official(path: Path, *, noise: int = 0) -> tuple[Path, Truth]:
    """AMD-SD of phantoms; by name, what its images and label maps are."""
    truth: Truth = {}
    for patient, count in PATIENTS.items():
        for n in range(1, count + 1):
            made = phantom.bscan(len(truth) + 1, shape=SHAPE)
            name = f"{patient}_{n}"
            pixels = pair(made.image, made.labels, noise=noise, seed=len(truth))
            save(path / "AMD-SD" / "images" / patient / f"{name}.png", pixels)
            truth[name] = made
    return path / "AMD-SD", truth


def lists(src: Path, training: Sequence[str], validation: Sequence[str]) -> None:
    (src / "training.txt").write_bytes("\r\n".join(training).encode())
    (src / "validation.txt").write_bytes("\r\n".join([*validation, ""]).encode())


def run(src: Path, dst: Path, split: str | None = None, seed: int = 0) -> Report:
    return import_amd_sd(src, dst, split=split, seed=seed, progress=lambda *_: None)


def refused(src: Path, dst: Path, split: str | None = None) -> str:
    with pytest.raises(CaseError) as caught:
        run(src, dst, split)
    assert not dst.exists()
    assert not list(dst.parent.glob("*.partial"))
    return str(caught.value)


def splits(dst: Path) -> dict[str, list[str]]:
    folder = open_folder(dst)
    check([folder], None, folder.splits)
    return {split: [case.name for case in found] for split, found in folder.splits.items()}


# --- pixels


@pytest.mark.parametrize("noise", [0, 30])
def test_images_and_label_maps_come_back_though_colours_are_inexact(
    tmp_path: Path, noise: int
) -> None:
    src, truth = official(tmp_path, noise=noise)
    report = run(src, tmp_path / "cases")
    folder = open_folder(tmp_path / "cases")
    check([folder], None, ["train", "val"])
    assert tuple(folder.names.values()) == phantom.CLASS_NAMES
    every = [case for split in folder.splits.values() for case in split]
    assert {case.name for case in every} == truth.keys()
    assert {case.name: case.patient for case in every} == {n: n.split("_")[0] for n in truth}
    for case in every:
        made = truth[case.name]
        table = class_table(folder.names)
        assert np.array_equal(read_labels(case, table), made.labels)
        assert np.abs(read_image(case).astype(int) - made.image).max() <= (noise > 0)
    pixels = sum(np.bincount(made.labels.ravel(), minlength=6) for made in truth.values())
    assert report.pixels[:6].tolist() == pixels.tolist()
    assert f"images    {len(truth)} of {len(PATIENTS)} patients" in report.text()
    assert not report.warnings
    exact = noise == 0
    assert ("colours snapped: 0 of" in report.text()) == exact


@pytest.mark.parametrize("rgb", [(69, 0, 0), (69, 69, 0), (69, 0, 69), (69, 69, 69), (0, 0, 69)])
def test_a_dark_rim_is_background(tmp_path: Path, rgb: tuple[int, int, int]) -> None:
    pixels = np.zeros((4, 40, 3), np.uint8)
    pixels[2, 30] = rgb
    labels = read_pair(save(tmp_path / "a.png", pixels))[1]
    assert not labels.any()


def test_each_pixel_takes_the_nearest_colour(tmp_path: Path) -> None:
    pixels = np.zeros((4, 40, 3), np.uint8)
    seen = [(140, 0, 0), (120, 0, 0), (200, 100, 0), (200, 160, 30), (180, 20, 140), (30, 50, 190)]
    pixels[2, 22 : 22 + len(seen)] = seen
    _, labels, distances, _ = read_pair(save(tmp_path / "a.png", pixels))
    assert labels[2, 2 : 2 + len(seen)].tolist() == [1, 0, 1, 4, 5, 3]
    assert distances[2, 2] == 115
    assert distances[0].max() == 0


def test_masks_with_strange_colours_are_named(tmp_path: Path) -> None:
    src, truth = official(tmp_path)
    made = truth["2_1"]
    pixels = pair(made.image, made.labels)
    pixels[:4, -30:] = 255
    save(src / "images" / "2" / "2_1.png", pixels)
    report = run(src, tmp_path / "cases")
    assert len(report.warnings) == 1
    assert "1 masks have more than 1%" in report.warnings[0]
    assert "2/2_1.png (3.9%)" in report.warnings[0]
    assert "the largest distance was 255" in report.text()


def test_a_colour_within_the_b_scan_is_named(tmp_path: Path) -> None:
    src, truth = official(tmp_path)
    pixels = pair(truth["1_1"].image, truth["1_1"].labels)
    pixels[:10, :20] = (255, 0, 0)
    save(src / "images" / "1" / "1_1.png", pixels)
    report = run(src, tmp_path / "cases")
    assert "colours in more than 1% of their pixels" in report.warnings[0]
    assert "1/1_1.png" in report.warnings[0]
    assert image_files.read_file(tmp_path / "cases" / "images" / "1_1.png")[0, 0] == 76  # Rec. 601


def test_sizes_may_differ_and_are_reported(tmp_path: Path) -> None:
    src, truth = official(tmp_path)
    other = phantom.bscan(3, shape=(40, 70))
    save(src / "images" / "12" / "12_2.png", pair(other.image, other.labels))
    text = run(src, tmp_path / "cases").text()
    assert f"48 x 64 ({len(truth)}), 40 x 70 (1) (rows x columns)" in text


# --- splits


def test_without_lists_four_fifths_of_the_patients_train_and_it_is_said(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    report = run(src, tmp_path / "cases")
    assert {split: len(people) for split, people in report.patients.items()} == {
        "train": 4,
        "val": 1,
    }
    assert "random split of the patients, 80 to 20 %, seed 0 (training.txt and" in report.text()


def test_the_seed_alone_decides_the_random_split(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    lists(src, ["1"], ["2"])
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(src, tmp_path / name, "random", seed)
        found.append({split: sorted(names) for split, names in splits(tmp_path / name).items()})
    assert found[0] == found[1] != found[2]


def test_a_draw_keeps_its_shares_and_spares_no_split() -> None:
    shares = {"train": 0.7, "val": 0.1, "test": 0.2}
    drawn = draw([f"p{i}" for i in range(100)], shares, 3)
    assert [[*drawn.values()].count(split) for split in shares] == [70, 10, 20]
    for few, expected in ((1, [1, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1])):
        drawn = draw([f"p{i}" for i in range(few)], shares, 0)
        assert [[*drawn.values()].count(split) for split in shares] == expected
    backwards = draw([f"p{i}" for i in reversed(range(4))], shares, 0)
    assert backwards == drawn


def test_patients_whose_numbers_are_equal_have_an_order() -> None:
    """Of a set of names each process makes another order, and equal keys would keep it."""
    names = ["p1", "p01", "p001", "p2"]
    orders = {tuple(sorted(some, key=natural)) for some in itertools.permutations(names)}
    assert orders == {("p001", "p01", "p1", "p2")}


@pytest.mark.parametrize(
    "ways",
    [
        ["1_1", "1_2", "2_1", "11_1"],
        ["1_1.png", "1_2.PNG", "2_1.png", "", "11_1.png"],
        ["AMD-SD/images/1/1_1.png", "images\\1\\1_2.png", "/data/images/2/2_1.png", "11/11_1"],
        ["1", "2", "11"],
        ["1/1_1.png 0", "1_2.png,x", '"2_1.png"', "11_1"],
    ],
    ids=["names", "files", "paths", "patients", "columns"],
)
def test_the_lists_may_name_files_in_many_ways(tmp_path: Path, ways: list[str]) -> None:
    src, _ = official(tmp_path)
    lists(src, ways, ["\ufeff10_1", "10_2", "12_1"])
    report = run(src, tmp_path / "cases")
    found = splits(tmp_path / "cases")
    assert sorted(found["train"]) == ["11_1", "1_1", "1_2", "2_1"]
    assert sorted(found["val"]) == ["10_1", "10_2", "12_1"]
    assert "split by training.txt and validation.txt" in report.text()
    assert not report.warnings


def test_a_name_of_two_files_means_neither_but_their_path_does(tmp_path: Path) -> None:
    made = phantom.bscan(1, shape=SHAPE)
    for patient in ("a", "b"):
        save(tmp_path / "set" / "images" / patient / "1.png", pair(made.image, made.labels))
    lists(tmp_path / "set", ["a/1.png", "1.png"], ["b/1"])
    report = run(tmp_path / "set", tmp_path / "cases")
    assert splits(tmp_path / "cases") == {"train": ["a_1"], "val": ["b_1"]}
    assert "training.txt names 1 that no file has: 1.png" in report.text()


def test_names_without_a_file_and_files_without_a_list_are_said(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    lists(src, ["1_1", "99_1", "2_1"], ["10_1", "10_7"])
    report = run(src, tmp_path / "cases")
    assert splits(tmp_path / "cases") == {"train": ["1_1", "2_1"], "val": ["10_1"]}
    text = report.text()
    assert "warning: training.txt names 1 that no file has: 99_1" in text
    assert "warning: validation.txt names 1 that no file has: 10_7" in text
    assert "4 files are in no list and left out: 1_2.png, 10_2.png, 11_1.png, 12_1.png" in text


def test_a_patient_in_both_lists_trains_and_is_named(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    lists(src, ["1_1", "2_1", "10_1"], ["1_2", "10_2", "11_1", "12_1"])
    report = run(src, tmp_path / "cases")
    found = splits(tmp_path / "cases")  # which refuses a patient of two splits
    assert found["val"] == ["11_1", "12_1"]
    assert {"1_2", "10_2"} <= set(found["train"])
    assert "2 patients stand in both lists" in report.warnings[0]
    assert "1, 10; all their images now train, 2 of them against" in report.warnings[0]


def test_lists_of_which_nothing_is_left_are_refused(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    lists(src, ["1_1", "10_1"], ["1_2", "10_2"])
    message = refused(src, tmp_path / "cases")
    assert "leaves no image for split 'val'" in message
    assert "2 patients stand in both lists" in message
    assert "--split random" in message


def test_official_lists_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    (src / "training.txt").write_text("1_1\n")
    assert "1 of 2 found" in refused(src, tmp_path / "cases", "official")


# --- patients


def test_without_folders_the_patient_is_in_the_name_or_unknown_and_it_is_said(
    tmp_path: Path,
) -> None:
    made = phantom.bscan(1, shape=SHAPE)
    for name in ("7_1", "7_2", "8_10", "row"):
        save(tmp_path / "flat" / f"{name}.png", pair(made.image, made.labels))
    report = run(tmp_path / "flat", tmp_path / "cases")
    assert set().union(*report.patients.values()) == {"7", "8", "row"}
    assert "3 images without a folder is taken from their names, such as '7'" in report.text()
    assert "no patient is known for 1 images, such as 'row.png'" in report.text()


def test_a_file_in_another_patients_folder_is_said(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    (src / "images" / "2" / "2_1.png").rename(src / "images" / "1" / "2_9.png")
    made = phantom.bscan(1, shape=SHAPE)
    save(src / "images" / "2" / "2_3.png", pair(made.image, made.labels))
    report = run(src, tmp_path / "cases")
    assert "named after another patient than their folder's" in report.warnings[0]
    assert "1/2_9.png" in report.warnings[0]


# --- refusals


def test_all_faults_are_raised_together_and_nothing_is_written(tmp_path: Path) -> None:
    src, truth = official(tmp_path)
    folder = src / "images" / "1"
    save(folder / "1_3.png", np.zeros((8, 31, 3), np.uint8))
    save(folder / "1_4.png", np.zeros((8, 32), np.uint8))
    (folder / "1_5.png").write_bytes((folder / "1_1.png").read_bytes()[:200])
    one = truth["1_1"]
    save(folder / "1_6.png", pair(one.image, one.labels)[:, ::-1])  # the mask on the left
    save(folder / "1_7#.png", pair(one.image, one.labels))
    message = refused(src, tmp_path / "cases")
    assert message.startswith("5 problems:")
    assert "1_3.png: is 31 pixels wide, an odd number" in message
    assert "1_4.png: holds (8, 32) uint8, not one image of 8-bit colours" in message
    assert "1_5.png: cannot be read" in message
    assert "1_6.png: " in message
    assert "so it is no colour mask" in message
    assert "1_7#: the name must be" in message


def test_folders_that_are_not_the_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "images/<patient>/<patient>_<n>.png" in refused(tmp_path / "empty", tmp_path / "cases")
    assert "no such folder" in refused(tmp_path / "absent", tmp_path / "cases")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    (src / "images" / "1" / "1_1.png").rename(src / "images" / "1" / "1_2.tmp.png")
    image = Image.open(src / "images" / "1" / "1_2.png")
    image.save(src / "images" / "1" / "1_2.jpg")
    assert "would get the name '1_2'" in refused(src, tmp_path / "cases")


def test_a_target_that_is_not_empty_or_within_the_source_is_refused(tmp_path: Path) -> None:
    src, _ = official(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    with pytest.raises(CaseError, match="exists and is not empty"):
        run(src, full)
    assert [p.name for p in full.iterdir()] == ["mine.txt"]
    assert "lies within" in refused(src, src / "images" / "cases")
    (tmp_path / "cases.partial").mkdir()
    with pytest.raises(CaseError, match="left of an import that was killed"):
        run(src, tmp_path / "cases")
    (tmp_path / "there" / ".partial").mkdir(parents=True)  # of one into a folder that was empty
    with pytest.raises(CaseError, match=r"there.\.partial: is left of an import"):
        run(src, tmp_path / "there")


def test_an_empty_target_is_taken(tmp_path: Path) -> None:
    src, truth = official(tmp_path)
    (tmp_path / "cases").mkdir()
    run(src, tmp_path / "cases")
    assert len(list((tmp_path / "cases" / "masks").iterdir())) == len(truth)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_import_that_stops_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    src, _ = official(tmp_path)
    counter = itertools.count()

    def failing(*_: object) -> bytes:
        if next(counter) == 5:
            raise fault
        return b"x"

    monkeypatch.setattr(image_files, "png_bytes", failing)
    with pytest.raises(type(fault)):
        run(src, tmp_path / "cases")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["AMD-SD"]


def test_one_case_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src, truth = official(tmp_path)
    order: list[str] = []

    def written(_: Path, made: Iterable[NewCase], __: object) -> int:
        return sum(order.append(case.name) is None for case in made)

    monkeypatch.setattr(transfer, "write_folder", written)
    import_amd_sd(
        src,
        tmp_path / "cases",
        split=None,
        seed=0,
        progress=lambda what, done, total: order.append(f"{what} {done} of {total}"),
    )
    count = len(truth)
    assert order[:count] == [f"checked {n} of {count}" for n in range(1, count + 1)]
    assert order[count:] == [
        text for n, name in enumerate(truth, 1) for text in (name, f"written {n} of {count}")
    ]


# --- the command


def test_the_command_prints_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    src, _ = official(tmp_path, noise=9)
    assert main(["import", "amd-sd", str(src.parent), str(tmp_path / "cases"), "--seed", "4"]) == 0
    out, err = capsys.readouterr()
    assert "7 of 5 patients" in out
    assert "SHRM" in out
    assert "optimiser.steps=" in out
    assert "10.1038/s41597-024-03844-6" in out
    assert "written 7/7" in err
    assert main(["import", "amd-sd", str(src), str(tmp_path / "cases")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is not empty; choose another folder" in err


# --- the real crops


@pytest.mark.real
def test_the_figures_crops_agree_with_their_label_maps(
    tmp_path: Path, real_data: Callable[[str], Path]
) -> None:
    crops = real_data("oct_amd_sd_paper_crops")
    report = run(crops / "original_pairs", tmp_path / "cases")
    assert report.images.total() == 5
    for part in ("images", "masks"):
        for path in (crops / part).glob("*.png"):
            made = image_files.read_file(tmp_path / "cases" / part / path.name)
            assert np.array_equal(made, image_files.read_file(path)), path
