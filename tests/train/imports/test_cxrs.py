"""`spad import cxrs`: three arrangements of masks, overlaps by priority, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from spad.__main__ import main
from spad.cases import Case, CaseError, CaseFolder, open_folder
from spad.pictures import image_files
from spad.train.data import check, class_table, read_labels
from spad.train.imports.cxrs import import_cxrs
from spad.train.imports.overlap_order import GROUPS, STATED, normal, order
from spad.train.imports.report import Report

SHAPE = (24, 32)
Masks = dict[str, NDArray[np.bool_]]


def box(rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


BOXES = {
    "Left_Lung": box((4, 20), (18, 30)),
    "right-lung": box((4, 20), (2, 14)),
    "Heart": box((10, 18), (12, 22)),  # 4 columns in the left lung, 2 in the right
    "Rib 2": box((8, 12), (0, 32)),
    "Rib 10": box((16, 18), (0, 32)),
}
ORDER = ["heart", "left lung", "rib 2", "rib 10", "right lung"]  # natural, not "rib 10" first
HEART_LEFT, HEART_RIGHT = 8 * 4, 8 * 2


def image(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def data_set(
    src: Path, kind: str, boxes: Mapping[str, NDArray[np.bool_]] = BOXES, count: int = 10
) -> list[str]:
    """A set of `count` images with the same masks; the images' names."""
    names = [f"P{i // 2}_{i}" for i in range(count)]
    for i, name in enumerate(names):
        save(src / "images" / f"{name}.png", image(i))
        for structure, mask in boxes.items():
            where = (name, structure) if kind == "image" else (structure, name)
            save(src / "masks" / where[0] / f"{where[1]}.png", mask.astype(np.uint8) * 255)
    return names


def indexed(src: Path, labels: Mapping[str, NDArray[np.uint8]], names: Mapping[str, str]) -> None:
    for i, (name, pixels) in enumerate(labels.items()):
        save(src / "images" / f"{name}.png", image(i))
        save(src / "masks" / f"{name}.png", pixels)
    (src / "labels.json").write_text(json.dumps(dict(names)))


def run(src: Path, dst: Path, priority: Sequence[str] = (), **options: Any) -> Report:
    values = {"patient_from": None, "unannotated": False, "seed": 0, **options}
    return import_cxrs(src, dst, priority=priority, progress=lambda *_: None, **values)


def refused(src: Path, dst: Path, priority: Sequence[str] = (), **options: Any) -> str:
    with pytest.raises(CaseError) as caught:
        run(src, dst, priority, **options)
    assert not dst.exists()
    return str(caught.value)


def opened(dst: Path) -> tuple[CaseFolder, dict[str, Case]]:
    folder = open_folder(dst)
    check([folder], None, [split for split, found in folder.splits.items() if found])
    return folder, {case.name: case for found in folder.splits.values() for case in found}


def painted(*structures: str) -> NDArray[np.uint8]:
    """The label map that painting in this order gives."""
    labels = np.zeros(SHAPE, np.uint8)
    for structure in structures:
        labels[BOXES[structure]] = 1 + ORDER.index(normal(structure))
    return labels


DEFAULT = ("Left_Lung", "right-lung", "Heart", "Rib 2", "Rib 10")


# --- arrangements


@pytest.mark.parametrize("kind", ["image", "structure"])
def test_binary_masks_in_either_arrangement_become_one_label_map(tmp_path: Path, kind: str) -> None:
    names = data_set(tmp_path / "set", kind)
    report = run(tmp_path / "set", tmp_path / "cases")
    folder, found = opened(tmp_path / "cases")
    assert dict(folder.names) == {0: "background", **dict(enumerate(ORDER, 1))}
    assert sorted(found) == sorted(names)
    for i, name in enumerate(names):
        assert np.array_equal(image_files.read_file(found[name].image), image(i))
        assert np.array_equal(
            read_labels(found[name], class_table(folder.names)), painted(*DEFAULT)
        )
    assert f"a folder {'an image' if kind == 'image' else 'a structure'}" in report.text()
    assert not report.warnings


def test_masks_may_repeat_the_images_name_and_come_in_other_encodings(tmp_path: Path) -> None:
    src = tmp_path / "set"
    save(src / "images" / "a.png", image(1))
    heart, lung = BOXES["Heart"], BOXES["Left_Lung"]
    save(src / "masks" / "a" / "a_Heart.png", np.repeat(heart[..., None] * np.uint8(255), 3, -1))
    save(src / "masks" / "a" / "left lung.tif", lung.astype(np.uint8))  # 0 and 1
    Image.fromarray(BOXES["Rib 2"]).save(src / "masks" / "a" / "rib 2.png")  # 1 bit
    run(src, tmp_path / "cases")
    folder, found = opened(tmp_path / "cases")
    assert tuple(folder.names.values()) == ("background", "heart", "left lung", "rib 2")
    expected = np.zeros(SHAPE, np.uint8)
    expected[lung], expected[heart], expected[BOXES["Rib 2"]] = 2, 1, 3
    assert found["a"].labels is not None
    expected[lung & ~heart & ~BOXES["Rib 2"]] = 2
    assert np.array_equal(image_files.read_label_file(found["a"].labels), expected)


def test_indexed_masks_keep_their_values(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:4], labels[4:8], labels[-1] = 7, 20, 255
    indexed(
        tmp_path / "set", {f"n{i}": labels for i in range(4)}, {"7": "Left_Lung", "20": "Heart"}
    )
    report = run(tmp_path / "set", tmp_path / "cases")
    folder, found = opened(tmp_path / "cases")
    assert dict(folder.names) == {0: "background", 7: "left lung", 20: "heart"}
    one = found["n2"].labels
    assert one is not None
    assert np.array_equal(image_files.read_label_file(one), labels)
    assert report.pixels[[7, 20, 255]].tolist() == [4 * 4 * 32, 4 * 4 * 32, 4 * 32]
    assert "ignore" in report.text()


# --- overlaps


def test_the_later_of_the_priority_wins_and_another_order_gives_another_map(tmp_path: Path) -> None:
    data_set(tmp_path / "set", "image", count=4)
    expected = {
        (): DEFAULT,
        ("right lung", "left lung"): ("Heart", "Rib 2", "Rib 10", "right-lung", "Left_Lung"),
        ("Rib", "heart"): ("Left_Lung", "right-lung", "Rib 2", "Rib 10", "Heart"),
        ("lung", "Rib_2"): ("Heart", "Rib 10", "Left_Lung", "right-lung", "Rib 2"),
    }
    maps = set()
    for number, (given, structures) in enumerate(expected.items()):
        run(tmp_path / "set", tmp_path / str(number), given)
        found = opened(tmp_path / str(number))[1]["P0_0"].labels
        assert found is not None
        labels = image_files.read_label_file(found)
        assert np.array_equal(labels, painted(*structures))
        maps.add(labels.tobytes())
    assert len(maps) == len(expected)


def test_overlapped_pixels_are_counted_by_pair(tmp_path: Path) -> None:
    boxes = {name: BOXES[name] for name in ("Left_Lung", "right-lung", "Heart")}
    data_set(tmp_path / "set", "image", boxes, count=4)
    text = run(tmp_path / "set", tmp_path / "a").text()
    assert f"overlap: heart over left lung, {4 * HEART_LEFT} pixels in 4 images" in text
    assert f"overlap: heart over right lung, {4 * HEART_RIGHT} pixels in 4 images" in text
    assert text.count("overlap:") == 2
    text = run(tmp_path / "set", tmp_path / "b", ["left lung"]).text()
    assert f"overlap: left lung over heart, {4 * HEART_LEFT} pixels in 4 images" in text
    assert "priority, the later wins: right lung < heart < left lung" in text


def test_three_masks_on_a_pixel_count_for_each_pair(tmp_path: Path) -> None:
    same = box((2, 4), (2, 5))
    data_set(tmp_path / "set", "image", {"lung": same, "heart": same, "rib": same}, count=1)
    text = run(tmp_path / "set", tmp_path / "cases").text()
    for pair in ("heart over lung", "rib over lung", "rib over heart"):
        assert f"overlap: {pair}, 6 pixels in 1 images" in text


def test_masks_that_do_not_overlap_are_said_to(tmp_path: Path) -> None:
    data_set(tmp_path / "set", "image", {"heart": box((0, 4), (0, 4)), "rib": box((8, 9), (0, 9))})
    assert "no masks overlap" in run(tmp_path / "set", tmp_path / "cases").text()


def test_the_default_priority_puts_small_over_large_and_the_unknown_on_top() -> None:
    names = ["left clavicle", "rib 10 left", "rib 2 left", "heart", "left lung", "nodule", "lungs"]
    ordered, unknown = order(names, [])
    assert ordered == (
        "left lung", "lungs", "heart", "rib 2 left", "rib 10 left", "left clavicle", "nodule",
    )  # fmt: skip
    assert unknown == ["nodule"]
    assert order(names, ["nodule", "heart"])[0][-2:] == ("nodule", "heart")
    assert order(names, ["nodule"])[1] == []
    assert STATED.count("<") == len(GROUPS)


def test_structures_without_a_place_are_said(tmp_path: Path) -> None:
    data_set(tmp_path / "set", "image", {"heart": box((0, 4), (0, 4)), "zz": box((2, 3), (0, 9))})
    report = run(tmp_path / "set", tmp_path / "cases")
    assert "no place for zz" in report.warnings[0]
    assert "heart < zz" in report.text()


def test_a_priority_of_no_structure_is_refused_with_the_nearest(tmp_path: Path) -> None:
    data_set(tmp_path / "set", "image", count=1)
    message = refused(tmp_path / "set", tmp_path / "cases", ["hart", "rib", "rib 2"])
    assert "no structure is named 'hart'; did you mean 'heart'?" in message
    assert "'rib 2' is given twice" in message


# --- splits, patients, missing structures


def test_patients_are_split_seven_to_one_to_two(tmp_path: Path) -> None:
    data_set(tmp_path / "set", "image", {"heart": BOXES["Heart"]}, count=20)
    report = run(tmp_path / "set", tmp_path / "a", patient_from="^([^_-]+)")
    folder, found = opened(tmp_path / "a")  # which refuses a patient of two splits
    assert [len(folder.splits[split]) for split in ("train", "val", "test")] == [14, 2, 4]
    assert {case.patient for case in found.values()} == {f"P{i}" for i in range(10)}
    assert "such as 'P0' from 'P0_0'" in report.text()
    report = run(tmp_path / "set", tmp_path / "b", seed=1)
    assert [report.images[split] for split in ("train", "val", "test")] == [14, 2, 4]
    assert len(report.patients["train"]) == 14
    assert "each of the 20 images counts as a patient of its own" in report.text()


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        ("(P", "is no regular expression"),
        ("P[0-9]", "has 0 groups"),
        ("(P)([0-9])", "has 2 groups"),
        ("^P([0-3])_", "finds no patient in 2 of 10 names: P4_8, P4_9"),
        ("(x?)", "finds no patient in 10 of 10 names"),
    ],
)
def test_a_pattern_that_finds_no_patient_is_refused(
    tmp_path: Path, pattern: str, needle: str
) -> None:
    data_set(tmp_path / "set", "image", {"heart": BOXES["Heart"]})
    assert needle in refused(tmp_path / "set", tmp_path / "cases", patient_from=pattern)


@pytest.mark.parametrize("unannotated", [False, True])
def test_a_missing_structure_is_absent_or_was_not_looked_for(
    tmp_path: Path, unannotated: bool
) -> None:
    names = data_set(tmp_path / "set", "image", {k: BOXES[k] for k in ("Heart", "Rib 2")}, 4)
    (tmp_path / "set" / "masks" / names[1] / "Rib 2.png").unlink()
    report = run(tmp_path / "set", tmp_path / "cases", unannotated=unannotated)
    found = opened(tmp_path / "cases")[1]
    if unannotated:
        assert found[names[1]].annotated == ("heart",)
        assert found[names[0]].annotated == ("heart", "rib 2")
    else:
        assert {case.annotated for case in found.values()} == {None}
    assert f"'rib 2' has no mask in 1 images, such as '{names[1]}'" in report.warnings[0]
    assert ("not annotated (cases.json" in report.warnings[0]) == unannotated


# --- refusals


def test_all_faulty_masks_are_raised_together(tmp_path: Path) -> None:
    src = tmp_path / "set"
    names = data_set(src, "image", {"Heart": BOXES["Heart"], "rib": BOXES["Rib 2"]})
    grey = BOXES["Heart"].astype(np.uint8) * 255
    grey[11, 13] = 99
    save(src / "masks" / names[0] / "Heart.png", grey)
    save(src / "masks" / names[1] / "Heart.png", np.full(SHAPE, 255, np.uint8))
    save(src / "masks" / names[2] / "Heart.png", np.zeros((9, 9), np.uint8))
    (src / "masks" / names[3] / "Heart.png").write_bytes(b"no image")
    for structure in ("Heart", "rib"):
        save(src / "masks" / names[4] / f"{structure}.png", np.zeros((7, 7), np.uint8))
    message = refused(src, tmp_path / "cases")
    assert message.startswith("5 problems:")
    assert f"{names[0]}/Heart.png: has the values 0, 99, 255" in message
    assert "threshold it" in message
    assert f"{names[1]}/Heart.png: has the values 255" in message
    assert f"{names[2]}.png: its masks differ in size: Heart.png (9, 9)" in message
    assert f"{names[3]}/Heart.png: cannot be read" in message
    assert f"{names[4]}.png: is (24, 32), but its masks are (7, 7)" in message


@pytest.mark.parametrize("count", [63, 64])
def test_sixty_three_structures_are_the_most(tmp_path: Path, count: int) -> None:
    src = tmp_path / "set"
    save(src / "images" / "a.png", image(0))
    for i in range(count):
        save(
            src / "masks" / "a" / f"rib {i}.png", box((i // 30, i // 30 + 1), (i % 30, i % 30 + 1))
        )
    if count == 64:
        message = refused(src, tmp_path / "cases")
        assert "64 structures found, from 'rib 0' to 'rib 63'; a model has at most 63" in message
    else:
        report = run(src, tmp_path / "cases")
        assert report.pixels[1:64].tolist() == [1] * 63
        assert opened(tmp_path / "cases")[0].names[11] == "rib 10"


def test_images_without_masks_and_masks_without_images_are_told_apart(tmp_path: Path) -> None:
    src = tmp_path / "set"
    names = data_set(src, "structure", {"heart": BOXES["Heart"]}, 4)
    save(src / "masks" / "heart" / "stray.png", BOXES["Heart"])
    report = run(src, tmp_path / "a")
    assert "1 masks belong to no image and are left out: masks/heart/stray.png" in report.text()
    (src / "masks" / "heart" / f"{names[0]}.png").unlink()
    assert f"has no mask for 1 images: {names[0]}" in refused(src, tmp_path / "b")


def test_arrangements_that_are_mixed_or_unknown_are_refused(tmp_path: Path) -> None:
    src = tmp_path / "set"
    names = data_set(src, "image", {"heart": BOXES["Heart"]}, 2)
    save(src / "masks" / "rib" / f"{names[0]}.png", BOXES["Rib 2"])
    message = refused(src, tmp_path / "cases")
    assert f"mixes layouts, masks/{names[0]}/ (a folder an image) and masks/rib/" in message
    other = tmp_path / "other"
    save(other / "images" / "a.png", image(0))
    assert "masks: there is no such folder" in refused(other, tmp_path / "cases")
    save(other / "masks" / "b.png", image(0))
    assert "bears the name of an image such as 'a'" in refused(other, tmp_path / "cases")
    (tmp_path / "empty").mkdir()
    assert "put the images there" in refused(tmp_path / "empty", tmp_path / "cases")


def test_a_structure_with_two_masks_is_refused(tmp_path: Path) -> None:
    src = tmp_path / "set"
    save(src / "images" / "a.png", image(0))
    for name in ("left lung", "Left_Lung"):
        save(src / "masks" / "a" / f"{name}.png", BOXES["Left_Lung"])
    assert "is a second mask of 'left lung' for 'a'" in refused(src, tmp_path / "cases")


def test_faulty_names_of_indexed_masks_are_refused(tmp_path: Path) -> None:
    src, dst = tmp_path / "set", tmp_path / "cases"
    labels = np.zeros(SHAPE, np.uint8)
    labels[:2], labels[2:4] = 1, 2
    indexed(src, {"a": labels, "b": labels}, {"1": "heart"})
    message = refused(src, dst)
    assert message.startswith("2 problems:")
    assert "b: the label map has the values [2], which have no name" in message
    for content, needle in (
        ({"1": "heart", "2": "Heart"}, "the name 'heart' is given twice"),
        ({"1": "heart", "300": "x"}, "value '300' is not an integer in 0..254"),
        ({"0": "lung", "1": "heart"}, "value 0 is 'lung'"),
        ({"0": "background"}, "names 0 structures"),
        (["heart"], "is not of the form"),
    ):
        (src / "labels.json").write_text(json.dumps(content))
        assert needle in refused(src, dst)
    (src / "labels.json").unlink()
    assert "labels.json: is missing" in refused(src, dst)
    (src / "labels.json").write_text('{"1": "heart", "2": "lung"}')
    assert "drop --priority" in refused(src, dst, ["heart"])


def test_a_full_target_is_refused(tmp_path: Path) -> None:
    data_set(tmp_path / "set", "image", count=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(CaseError, match="exists and is not empty"):
        run(tmp_path / "set", tmp_path / "full")
    assert "which is read" in refused(tmp_path / "set", tmp_path / "set" / "masks" / "cases")


# --- the command


def test_the_command_prints_what_it_found_and_its_help_states_the_priority(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_set(tmp_path / "set", "image")
    words = ["--priority", "heart, rib", "--patient-from", "^(P[0-9])", "--missing", "unannotated"]
    assert main(["import", "cxrs", str(tmp_path / "set"), str(tmp_path / "cases"), *words]) == 0
    out = capsys.readouterr().out
    assert "10 of 5 patients" in out
    assert "left lung < right lung < heart < rib 2 < rib 10" in out
    assert "the paper's 100 epochs at batch 8" in out
    with pytest.raises(SystemExit):
        main(["import", "cxrs", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert STATED in shown
