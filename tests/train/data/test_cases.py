"""Case folders: what is read, what is said, and that every fault is told, all at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from spad.cases import CaseError, NewCase, open_folder, write_json
from spad.pictures import image_files
from spad.train.data import (
    check,
    class_table,
    model_mapping,
    named_members,
    read_image,
    read_labels,
    split_validation,
    write_folder,
)

NAMES = {0: "background", 1: "SRF", 2: "IRF"}


def labels_of(*values: int, shape: tuple[int, int] = (8, 12)) -> NDArray[np.uint8]:
    return np.resize(np.array(values, np.uint8), shape)


def new(name: str, split: str = "train", **more: Any) -> NewCase:
    image = np.arange(96, dtype=np.uint8).reshape(8, 12)
    return NewCase(name, image, labels_of(0, 1, 2), split=split, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients train (P1 with two images), one validates."""
    path = tmp_path / "set"
    three = [new("P1_1", patient="P1"), new("P1_2", patient="P1"), new("P2_1", patient="P2")]
    write_folder(path, [*three, new("P3_1", "val", patient="P3")], NAMES)
    return path


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def problems(path: Path, splits: tuple[str, ...] = ("train", "val"), mapping: Any = None) -> str:
    with pytest.raises(CaseError) as caught:
        check([open_folder(path)], mapping, splits)
    assert caught.value.problems
    return "\n".join(caught.value.problems)


# --- what is read


def test_what_is_written_is_read(folder: Path) -> None:
    opened = open_folder(folder)
    check([opened], None, ["train", "val"])
    assert dict(opened.names) == NAMES
    assert {k: [c.name for c in v] for k, v in opened.splits.items()} == {
        "train": ["P1_1", "P1_2", "P2_1"],
        "val": ["P3_1"],
    }
    case = opened.splits["train"][0]
    assert (case.patient, case.spacing_mm, case.annotated) == ("P1", None, None)
    image = read_image(case)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, new("x").image)
    labels = read_labels(case, class_table(opened.names))
    np.testing.assert_array_equal(labels, new("x").labels)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("CNV-103044-19", "103044"),
        ("subject01_bscan10", "subject01"),
        ("1_12", "1"),  # image 12 of patient 1, though there is a patient 12
        ("12_1", "12"),
        ("A-1-3", "A-1"),  # the longest of the ids that begin together
        ("X1030445-2", "X1030445-2"),  # an id within a longer token is another's
    ],
)
def test_the_patient_is_an_id_within_the_name(tmp_path: Path, name: str, patient: str) -> None:
    write_folder(tmp_path, [new(name), new("12 a")], NAMES)
    (tmp_path / "cases.json").unlink()
    ids = ["103044", "subject01", "1", "12", "A", "A-1"]
    (tmp_path / "split.json").write_text(
        json.dumps({"train": {"patients": ids, "images": [name, "12 a"]}})
    )
    opened = open_folder(tmp_path)
    assert opened.splits["train"][0].patient == patient
    assert not opened.problems
    assert any("taken from their names" in text for text in opened.said)
    assert any("no patient is known" in text for text in opened.said) == (patient == name)
    assert any("two patients" in text for text in opened.said) == (name in ("1_12", "12_1"))


def test_cases_json_overrules_the_name(folder: Path) -> None:
    entry = {"patient": 7, "spacing_mm": [0.004, 0.011], "annotated": ["SRF"]}
    edit(folder / "cases.json", P1_1=entry)
    case = open_folder(folder).splits["train"][0]
    assert (case.patient, case.spacing_mm, case.annotated) == ("7", (0.004, 0.011), ("SRF",))


def test_images_outside_the_splits_and_a_missing_split_are_said(folder: Path) -> None:
    split = json.loads((folder / "split.json").read_text())
    split["train"]["images"].remove("P1_2")
    (folder / "split.json").write_text(json.dumps(split))
    assert any("1 images are in no split" in text for text in open_folder(folder).said)
    (folder / "split.json").unlink()
    opened = open_folder(folder)
    assert [len(v) for v in opened.splits.values()] == [4]
    assert any("split.json: is missing" in text for text in opened.said)


# --- classes


def test_a_mapping_brings_values_to_classes() -> None:
    table = class_table(
        {**NAMES, 5: "other", 7: "blur"},
        {"background": [0, "other"], "SRF": [], "IRF": [2, 1], "ignore": ["blur"]},
    )
    assert table.dtype == np.uint8
    assert table[[0, 1, 2, 5, 7, 255]].tolist() == [0, 2, 2, 0, 255, 255]
    assert class_table({0: "a", 3: "b"})[[0, 3]].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("names", "mapping", "said"),
    [
        ({0: "SRF", 1: "background"}, None, "that is 'background' here"),
        ({0: "Nothing", 1: "Background"}, None, "that is 'Background' here"),
        ({1: "SRF", 2: "IRF"}, None, "value 0 is none here"),
        (NAMES, {"SRF": [1], "IRF": [2], "background": [0]}, "that is 'background' here"),
        (NAMES, {"SRF": [1], "Grund": ["background"], "IRF": [2]}, "that is 'Grund' here"),
    ],
)
def test_the_first_class_is_the_background(names: dict[int, str], mapping: Any, said: str) -> None:
    with pytest.raises(CaseError, match=f"the first class is '.*no score counts; {said}: "):
        class_table(names, mapping)


def test_a_background_may_have_any_name_and_any_value() -> None:
    assert class_table({1: "background", 2: "SRF"})[[1, 2]].tolist() == [0, 1]
    assert class_table({0: "SRF", 4: "rest"}, {"background": [4], "SRF": [0]})[[0, 4]].tolist() == [
        1,
        0,
    ]
    mapping = {"Grund": [1], "SRF": [2], "ignore": [0]}
    assert class_table({0: "unread", 1: "x", 2: "y"}, mapping)[:3].tolist() == [255, 0, 1]


def test_what_a_model_was_trained_on_is_known_by_names_not_by_the_folders_name(
    folder: Path, tmp_path: Path
) -> None:
    opened, classes = open_folder(folder), ["background", "fluid"]
    stored = named_members(opened.names, {"background": [0], "fluid": ["SRF", 2, "drusen"]})
    assert stored == {"background": ["background"], "fluid": ["SRF", "IRF"]}
    assert model_mapping(opened, classes, stored=stored) == {**stored, "ignore": []}
    other = tmp_path / "elsewhere" / "set"
    write_folder(other, [new("Q1")], {0: "background", 1: "cyst", 2: "drusen"})
    with pytest.raises(CaseError, match="was not trained on this folder; say what is what: --map"):
        model_mapping(open_folder(other), classes, stored=stored)
    # Cards of older versions have numbers, and are believed.
    assert model_mapping(open_folder(other), classes, stored={"fluid": [1, 2]})["fluid"] == [1, 2]


def test_all_faults_of_a_mapping_are_told() -> None:
    with pytest.raises(CaseError) as caught:
        class_table(NAMES, {"background": [0], "SRF": ["SRF", 0], "ignore": 1})
    assert [text[:40] for text in caught.value.problems] == [
        "value 0 ('background') is in the classes",
        "value 1 ('SRF') is in the classes 'SRF' ",
        "the values 2 'IRF' are in no class; map ",
    ]
    for classes in ({"all": [0, 1, 2]}, {str(i): [] for i in range(65)}):
        with pytest.raises(CaseError, match=f"{len(classes)} classes given"):
            class_table(NAMES, classes)


def test_one_mapping_by_name_serves_sets_that_number_differently(
    folder: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path / "b", [new("Q1")], {0: "background", 1: "IRF", 2: "cyst"})
    both = [open_folder(folder), open_folder(tmp_path / "b")]
    mapping = {"background": [0], "SRF": ["SRF"], "IRF": ["IRF", "cyst"]}
    check(both, mapping, ["train"])
    assert [class_table(f.names, mapping)[:3].tolist() for f in both] == [
        [0, 1, 2],
        [0, 2, 2],
    ]
    with pytest.raises(CaseError, match="1, which means 'IRF' and 'SRF' in different folders"):
        check(both, {"background": [0], "SRF": [1], "IRF": ["IRF", 2]}, ["train"])


@pytest.mark.parametrize("member", [9, "PED", True, 1.5, None, [1], {"a": 1}])
def test_what_no_set_knows_cannot_be_mapped(folder: Path, member: Any) -> None:
    text = problems(folder, ("train",), {"background": [0, member], "lesion": [1, 2]})
    assert text == (
        f"class 'background' is made of {member!r}, which labels.json does not know; it has "
        "0 'background', 1 'SRF', 2 'IRF'"
    )


def test_ignored_pixels_stay_ignored(folder: Path) -> None:
    labels = labels_of(0, 255, 2)
    (folder / "masks" / "P1_1.png").write_bytes(image_files.png_bytes(labels))
    opened = open_folder(folder)
    check([opened], None, ["train"])
    table = class_table(NAMES, {"background": [0], "IRF": [2], "ignore": [1]})
    read = read_labels(opened.splits["train"][0], table)
    np.testing.assert_array_equal(
        read, np.array([0, 255, 1], np.uint8)[np.resize([0, 1, 2], (8, 12))]
    )


# --- faults


def test_one_folder_with_many_faults_lists_them_all(folder: Path) -> None:
    write_folder(folder, [new(f"P{i}_1", patient=f"P{i}") for i in range(10, 18)], NAMES)
    masks, images = folder / "masks", folder / "images"
    (masks / "P1_1.png").unlink()
    (masks / "P1_2.png").write_bytes(image_files.png_bytes(labels_of(0, 9, 77)))
    (masks / "P2_1.png").write_bytes(image_files.png_bytes(labels_of(0, 1, shape=(8, 13))))
    data = (images / "P10_1.png").read_bytes()
    (images / "P10_1.png").write_bytes(data[: len(data) // 2])
    data = (masks / "P11_1.png").read_bytes()
    (masks / "P11_1.png").write_bytes(data[: len(data) // 2])
    Image.new("RGB", (12, 8), (1, 2, 3)).save(masks / "P12_1.png")
    (masks / "P13_1.png").unlink()
    tifffile.imwrite(masks / "P13_1.tif", np.zeros((8, 12), np.float32))
    tifffile.imwrite(images / "P14_1.tif", np.zeros((8, 12), np.uint8))  # and a .png
    (masks / "P15_1.png").unlink()
    (masks / "P15_1.tif").write_bytes(image_files.tiff_bytes(np.zeros((3, 8, 12), np.uint8)))
    (masks / "P16_1.png").write_bytes(
        image_files.png_bytes(labels_of(0, 1).astype(np.uint16) * 300)
    )
    edit(
        folder / "cases.json",
        P1_1={"patient": ["P1"], "spacing_mm": [0.1, -1], "annotated": ["PED"]},
        nobody={"patient": "P1"},
        P17_1="P17",
    )
    split = json.loads((folder / "split.json").read_text())
    split["val"] = {"patients": ["P3", "P2"], "images": ["P3_1", "P1_2", "P10_2", "gone"]}
    (images / "P10_2.png").write_bytes(image_files.png_bytes(new("x").image))
    edit(folder / "cases.json", P10_2={"patient": "P10"})
    split["test"] = ["P1_1"]
    (folder / "split.json").write_text(json.dumps(split))
    edit(folder / "labels.json", **{"300": "SHRM", "x": "y", "4": "IRF", "5": "", "255": "lesion"})

    text = problems(
        folder, ("train", "val", "test"), {"background": [0], "PED": [8], "IRF": ["CNV"]}
    )
    for fault in (
        "masks/P1_1.png: is missing",
        "masks/P1_2.png: has the values 9, 77",
        "masks/P2_1.png: is 8 x 13 (rows x columns), but P2_1.png is 8 x 12",
        "images/P10_1.png: cannot be read",
        "masks/P11_1.png: cannot be read",
        "masks/P12_1.png: holds colours",
        "masks/P13_1.tif: holds float32",
        "images/P14_1.tif: P14_1.png has the same name",
        "masks/P15_1.tif: has shape (3, 8, 12)",
        "masks/P16_1.png: has values 0..300",
        "cases.json: P1_1: patient ['P1'] is no text",
        "cases.json: P1_1: spacing_mm [0.1, -1]",
        "cases.json: P1_1: annotated ['PED']",
        "cases.json: nobody: images/ has no such image",
        "cases.json: P17_1: is not an object",
        "split.json: split 'val' names 'gone'",
        "split.json: split 'test' has no list",
        "split.json: split 'test' has no images",
        "split.json: patient 'P2' is in the splits 'train' and 'val'",
        "split.json: image 'P1_2' is in the splits 'train' and 'val'",
        "split.json: patient 'P10' (P10_1, P10_2, ...) is in the splits 'train' and 'val'",
        "labels.json: value '300' is not",
        "labels.json: value 'x' is not",
        "labels.json: value '255' is not",
        "labels.json: the name 'IRF' is given twice",
        "labels.json: value 5 has the name ''",
        "class 'PED' is made of 8",
        "class 'IRF' is made of 'CNV'",
        "labels.json: the values 1 'SRF', 2 'IRF' are in no class",
    ):
        assert fault in text, f"{fault!r} is not among\n{text}"


@pytest.mark.parametrize("name", ["labels.json", "split.json", "cases.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe{}", b"[" * 100_000])
def test_bad_json_is_told_by_file_name(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert f"{name}: " in problems(folder)


def test_labels_json_without_names_is_told(folder: Path) -> None:
    (folder / "labels.json").write_text("{}")
    assert "labels.json: is empty" in problems(folder)


def test_a_folder_that_is_no_case_folder_is_told(tmp_path: Path) -> None:
    text = problems(tmp_path / "nowhere", ("train",))
    for part in ("images: there is no such folder", "labels.json: is missing", "has no images"):
        assert part in text


def test_a_patient_in_two_splits_is_found_by_the_names_of_the_images(folder: Path) -> None:
    """Only the training split declares P2: an image of P2 among the validation images leaks."""
    (folder / "cases.json").unlink()
    split = {
        "train": {"patients": ["P1", "P2"], "images": ["P1_1", "P1_2"]},
        "val": {"patients": ["P3"], "images": ["P3_1", "P2_1"]},
    }
    (folder / "split.json").write_text(json.dumps(split))
    assert not open_folder(folder).problems
    split["train"]["images"] = ["P1_1"]
    split["val"]["images"] = ["P3_1", "P1_2"]
    (folder / "split.json").write_text(json.dumps(split))
    assert "patient 'P1' (P1_1, P1_2, ...)" in problems(folder)


def test_one_patient_spelled_in_two_ways_is_one(tmp_path: Path) -> None:
    cases = [new("a", patient="Ré 1"), new("b", patient="P2"), new("c", patient="P3")]
    write_folder(tmp_path / "set", cases, NAMES)
    said = {"a": {"patient": "Ré 1"}, "b": {"patient": "re\u0301  1 "}, "c": {"patient": "P3"}}
    (tmp_path / "set" / "cases.json").write_text(json.dumps(said))
    opened = open_folder(tmp_path / "set")
    assert [case.patient for case in opened.splits["train"]] == ["Ré 1", "Ré 1", "P3"]
    assert any("spelled in two ways" in text for text in opened.said)
    split = {"train": {"patients": ["Ré 1"], "images": ["a"]}, "val": {"images": ["b", "c"]}}
    (tmp_path / "set" / "split.json").write_text(json.dumps(split))
    assert "patient 'Ré 1' (a, b, ...) is in the splits" in problems(tmp_path / "set")
    split["val"]["patients"] = ["RÉ 1"]
    (tmp_path / "set" / "split.json").write_text(json.dumps(split))
    assert "patient 'RÉ 1' is in the splits" in problems(tmp_path / "set")


def test_a_new_case_goes_to_its_patient_s_split_however_spelled(tmp_path: Path) -> None:
    write_folder(tmp_path, [new("a", patient="P1"), new("b", "val", patient="P2")], NAMES)
    with pytest.raises(CaseError, match="its patient is in split 'train'"):
        write_folder(tmp_path, [new("c", "val", patient="p1 ")], NAMES)


def test_accents_are_the_same_composed_or_not(tmp_path: Path) -> None:
    """macOS keeps é as two characters; the label map and the split may have it as one."""
    write_folder(tmp_path, [new("é"), new("b", "val")], NAMES)
    for image in (tmp_path / "images").glob("é.*"):
        image.rename(image.with_name("e\u0301" + image.suffix))
    opened = open_folder(tmp_path)
    check([opened], None, ["train", "val"])
    (case,) = opened.splits["train"]
    assert case.image.is_file()
    assert case.labels is not None
    assert case.labels.is_file()


def test_a_structure_is_the_same_however_its_accent_is_composed(tmp_path: Path) -> None:
    """Folders of two systems: what is shown as one text trains, is added to and scored as one."""
    one, other = "\xd6dem", "O\u0308dem"
    for name in (one, other):
        case = NewCase("a", labels_of(0), labels_of(0, 1), annotated=(name,))
        write_folder(tmp_path / str(len(name)), [case], {0: "background", 1: name})
    write_folder(tmp_path / str(len(other)), [NewCase("b", labels_of(0), labels_of(0, 1))],
                 {0: "background", 1: one})  # fmt: skip
    folders = [open_folder(tmp_path / str(len(name))) for name in (one, other)]
    check(folders, None, ["train"])
    check(folders, {"background": [0], "oedema": [other]}, ["train"])
    assert folders[1].splits["train"][0].annotated == (one,)
    for classes in (("background", one), ("background", other)):
        for given in (None, {"background": [0], one: [1]}):
            found = model_mapping(folders[1], classes, given=given)
            assert class_table(folders[1].names, found)[:2].tolist() == [0, 1]
    stored = {"background": ["background"], "fluid": [other]}
    found = model_mapping(folders[0], ("background", "fluid"), stored=stored)
    assert class_table(folders[0].names, found)[:2].tolist() == [0, 1]


def test_a_structure_painted_as_255_is_told(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.write_bytes(image_files.png_bytes(labels_of(0, 255)))
    assert "all pixels are 0 or 255" in problems(folder)


def test_a_split_that_is_not_asked_for_may_lack_label_maps(folder: Path) -> None:
    (folder / "masks" / "P3_1.png").unlink()
    opened = open_folder(folder)
    check([opened], None, ["train"])
    assert opened.splits["val"][0].labels is None
    with pytest.raises(CaseError, match=r"P3_1\.png: is missing"):
        read_labels(opened.splits["val"][0], class_table(NAMES))


def test_folders_of_other_classes_need_a_mapping(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_folder(other, [new("Q1")], {0: "background", 1: "fluid", 2: "PED"})
    both = [open_folder(folder), open_folder(other)]
    with pytest.raises(CaseError, match="give a mapping"):
        check(both, None, ["train"])
    check(both, {"background": [0], "wet": ["SRF", "IRF", "fluid", "PED"]}, ["train"])


def test_a_long_list_is_cut_in_print_only() -> None:
    error = CaseError(f"problem {i}" for i in range(100))
    assert len(error.problems) == 100
    assert str(error).startswith("100 problems:")
    assert "problem 29" in str(error)
    assert "problem 30" not in str(error)
    assert str(error).endswith("... and 70 more")


# --- validation patients


def test_validation_is_drawn_by_patient_and_aloud(tmp_path: Path) -> None:
    made = [new(f"P{p}_{i}", patient=f"P{p}") for p in range(10) for i in range(3)]
    write_folder(tmp_path, made, NAMES)
    all_cases = open_folder(tmp_path).splits["train"]
    with pytest.warns(UserWarning, match="2 of 10 patients"):
        train, val = split_validation(all_cases, 3)
    assert len({case.patient for case in val}) == 2
    assert len(val) == 6
    assert {case.patient for case in train}.isdisjoint(case.patient for case in val)
    assert {*train, *val} == {*all_cases}
    with pytest.warns(UserWarning, match="set aside"):
        assert split_validation(all_cases, 3) == (train, val)
    with pytest.warns(UserWarning, match="set aside"):
        drawn = {split_validation(all_cases, seed)[1] for seed in range(5)}
    assert len(drawn) > 1


def test_one_patient_cannot_be_split(tmp_path: Path) -> None:
    write_folder(tmp_path, [new("a", patient="P"), new("b", patient="P")], NAMES)
    with pytest.raises(CaseError, match="1 patient in split 'train'"):
        split_validation(open_folder(tmp_path).splits["train"], 0)


# --- writing


def test_cases_are_added_to_a_folder(folder: Path) -> None:
    assert write_folder(folder, [new("P1_3", patient="P1", spacing_mm=(1, 2))], NAMES) == 1
    opened = open_folder(folder)
    check([opened], None, ["train", "val"])
    added = opened.splits["train"][-1]
    assert (added.name, added.patient, added.spacing_mm) == ("P1_3", "P1", (1.0, 2.0))


def test_a_case_that_does_not_fit_is_refused_and_the_folder_stays_whole(folder: Path) -> None:
    def faulty(case: NewCase, match: str, names: dict[int, str] = NAMES) -> None:
        with pytest.raises(CaseError, match=match):
            write_folder(folder, [case], names)

    image = new("x").image
    faulty(new("P1_1"), "exists")
    faulty(new("P9", patient="P3"), "in split 'val'")
    faulty(new("../P9"), "without path")
    faulty(new(".hidden"), "letters")
    faulty(NewCase("P9", image / 2, labels_of(0)), "uint8 or uint16")
    faulty(NewCase("P9", image, labels_of(0, shape=(8, 11))), r"label map is \(8, 11\)")
    faulty(NewCase("P9", image, labels_of(0, 3)), r"values \[3\]")
    faulty(new("P9"), "the same classes", {0: "background", 1: "PED", 2: "IRF"})
    opened = open_folder(folder)
    check([opened], None, ["train", "val"])
    assert sum(map(len, opened.splits.values())) == 4


def test_a_case_is_replaced_when_asked(folder: Path) -> None:
    (folder / "masks" / "P1_1.png").rename(folder / "masks" / "P1_1.x")
    tifffile.imwrite(folder / "masks" / "P1_1.tif", labels_of(0))
    again = NewCase("P1_1", new("x").image, labels_of(2, 2, 0), patient="P1")
    write_folder(folder, [again], NAMES, replace=True)
    opened = open_folder(folder)
    check([opened], None, ["train", "val"])
    assert [case.name for case in opened.splits["train"]] == ["P1_1", "P1_2", "P2_1"]
    read = read_labels(opened.splits["train"][0], class_table(NAMES))
    np.testing.assert_array_equal(read, labels_of(2, 2, 0))
    with pytest.raises(CaseError, match="in split 'val'"):
        write_folder(folder, [new("P3_1", patient="P3")], NAMES, replace=True)


def test_a_killed_write_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x.json"
    write_json(target, {"old": 1})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_json(target, {"new": 2})
    assert json.loads(target.read_text()) == {"old": 1}


def test_what_was_written_before_a_fault_counts(tmp_path: Path) -> None:
    with pytest.raises(CaseError):
        write_folder(tmp_path, [new("a"), new("b/c"), new("d")], NAMES)
    opened = open_folder(tmp_path)
    check([opened], None, ["train"])
    assert [case.name for case in opened.splits["train"]] == ["a"]


def test_missing_readers_are_named_with_their_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r'pip install "napari-spad\[train\]"'):
        check([open_folder(folder)], None, ["train"])


# --- the real sets


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "numbers", "patients"),
    [
        ("oct_kermany_lesions", {"train": 275, "val": 62}, {"train": 121, "val": 26}),
        ("oct_duke_dme_fluid", {"train": 66}, {"train": 6}),
        ("cxr_jsrt_scr", {"train": 173, "val": 37}, {"train": 173, "val": 37}),
    ],
)
def test_the_real_sets_are_sound(
    name: str,
    numbers: dict[str, int],
    patients: dict[str, int],
    real_data: Callable[[str], Path],
) -> None:
    opened = open_folder(real_data(name))
    check([opened], None, list(numbers))
    assert {k: len(v) for k, v in opened.splits.items()} == numbers
    assert {k: len({c.patient for c in v}) for k, v in opened.splits.items()} == patients
    case = opened.splits["train"][0]
    assert read_labels(case, class_table(opened.names)).shape == read_image(case).shape
