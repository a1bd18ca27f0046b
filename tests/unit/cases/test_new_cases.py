"""Corrected B-scans become cases that the trainer's own reader takes, and nothing is lost."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")

from spad.cases import Case, CaseError, open_folder
from spad.cases.corrected_bscan import as_grey, bscan_case, image_pseudonym, known_bscans
from spad.cases.new_cases import NewCase, Written, write_cases
from spad.checkpoint.labels import IGNORE
from spad.pictures import image_files
from spad.train.data import check, read_image
from spad.train.data.cases import read_values

NAMES = {0: "background", 1: "SRF", 2: "IRF"}
STRUCTURES = ("SRF", "IRF")


def png(array: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def bscan(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (24, 36)).astype(np.uint8)


def labels(value: int = 1) -> np.ndarray:
    out = np.zeros((24, 36), np.uint8)
    out[5:9] = value
    return out


def case(seed: int = 0, value: int = 1, **options: Any) -> NewCase:
    given = {"patient": f"P{seed}", "number": 3, "annotated": STRUCTURES} | options
    return bscan_case(bscan(seed), labels(value), NAMES, **given)


def add(folder: Path, *new: NewCase, names: dict[int, str] = NAMES) -> Written:
    return write_cases(folder, new, names, encode=png, replace=True)


def read(folder: Path) -> dict[str, list[Case]]:
    """What the trainer sees; it refuses a faulty folder."""
    opened = open_folder(folder)
    check([opened], None, [split for split, some in opened.splits.items() if some])
    return {split: list(some) for split, some in opened.splits.items()}


def test_the_trainer_reads_what_was_written(tmp_path: Path) -> None:
    new = case(spacing_mm=(0.004, 0.011), annotated=("SRF",))
    add(tmp_path / "set", new)
    [found] = read(tmp_path / "set")["train"]
    assert (found.patient, found.spacing_mm, found.annotated) == ("P0", (0.004, 0.011), ("SRF",))
    np.testing.assert_array_equal(read_image(found), bscan())
    np.testing.assert_array_equal(read_values(found), labels())


def test_16_bit_pixels_stay_as_they_are(tmp_path: Path) -> None:
    image = bscan().astype(np.uint16) * 300
    grey, said = as_grey(image)
    assert not said
    new = bscan_case(grey, labels(), NAMES, patient="P", number=1, annotated=STRUCTURES)
    add(tmp_path, new)
    [found] = read(tmp_path)["train"]
    assert read_image(found).dtype == np.uint16
    np.testing.assert_array_equal(read_image(found), image)


@pytest.mark.parametrize(
    ("image", "dtype", "told"),
    [
        (np.linspace(-3, 7, 12).reshape(3, 4), np.uint16, "scaled to 16 bit"),
        (np.full((3, 4), 2.5, np.float32), np.uint16, "scaled to 16 bit"),
        (np.full((3, 4), -4, np.int16), np.uint16, "scaled to 16 bit"),
        (np.arange(12, dtype=np.int32).reshape(3, 4), np.uint16, ""),
        (np.eye(3, dtype=bool), np.uint8, ""),
    ],
)
def test_other_pixels_are_converted_and_it_is_said(
    image: np.ndarray, dtype: type, told: str
) -> None:
    grey, said = as_grey(image)
    assert grey.dtype == dtype
    assert told in said
    assert bool(told) == bool(said)
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()


def test_colours_become_grey_of_the_same_depth() -> None:
    rgb = np.stack([bscan()] * 3, axis=-1)
    grey, said = as_grey(rgb, rgb=True)
    np.testing.assert_array_equal(grey, bscan())
    assert "grey" in said


def test_a_float_image_keeps_its_range_of_greys() -> None:
    grey, _ = as_grey(np.linspace(-3, 7, 12).reshape(3, 4))
    assert (grey.min(), grey.max()) == (0, 65535)


def test_pixels_that_are_no_image_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        as_grey(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="complex"):
        as_grey(np.ones((2, 2), complex))


def test_grey_keeps_its_detail_beside_huge_numbers_and_pixels_without_a_value() -> None:
    grey, _ = as_grey(np.array([[-1.7e308, 0, 1.7e308]]))
    assert grey.tolist() == [[0, 32768, 65535]]
    grey, _ = as_grey(np.array([[3.4028235e38, 0, 0.5, 1]], np.float32))
    assert grey.tolist() == [[0, 0, 32768, 65535]]


def test_a_bscan_corrected_again_replaces_itself_and_the_older_label_map_is_kept(
    tmp_path: Path,
) -> None:
    add(tmp_path, case(value=1))
    again = bscan_case(  # of another stack, so with another number and patient
        bscan(), labels(2), NAMES,
        patient="other", number=9, annotated=STRUCTURES, known=known_bscans(tmp_path),
    )  # fmt: skip
    kept = add(tmp_path, again).kept
    [found] = read(tmp_path)["train"]
    assert found.patient == "P0"
    np.testing.assert_array_equal(read_values(found), labels(2))
    aside = tmp_path / "kept.png"
    aside.write_bytes(kept[found.name].read_bytes())
    np.testing.assert_array_equal(image_files.read_label_file(aside), labels(1))
    aside.unlink()
    assert not add(tmp_path, again).kept  # the same once more: nothing to keep
    add(tmp_path, case(value=1))
    assert len(list((tmp_path / "masks").glob("*.bak"))) == 2


def test_what_a_model_drew_and_nobody_looked_for_is_not_learned() -> None:
    both = labels(1)
    both[12:15] = 2
    new = bscan_case(bscan(), both, NAMES, patient="P", number=1, annotated=["SRF"])
    assert set(np.unique(new.labels)) == {0, 1, IGNORE}
    assert (new.labels[12:15] == IGNORE).all()
    assert new.annotated == ("SRF",)


def test_pixels_painted_as_ignore_stay_so() -> None:
    assert IGNORE in case(value=IGNORE).labels


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"annotated": ()}, "no structure is marked"),
        ({"annotated": ("SRF", "PED")}, "PED is no structure"),
        ({"value": 9}, "value 9, which is no class"),
    ],
)
def test_a_correction_that_makes_no_case_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        case(**options)


def test_new_patients_train_but_the_second_and_every_fifth_validate(tmp_path: Path) -> None:
    for seed in range(10):
        add(tmp_path, case(seed))
    told = add(tmp_path, case(1, value=2), case(11, patient="P1")).splits
    assert set(told.values()) == {"val"}  # a patient stays in its split
    splits = read(tmp_path)
    val = [c.patient for c in splits["val"]]
    assert val == ["P1", "P4", "P9", "P1"]
    assert not {c.patient for c in splits["train"]} & set(val)


def test_a_patient_of_the_test_split_stays_there(tmp_path: Path) -> None:
    add(tmp_path, case(0), case(1))
    split = json.loads((tmp_path / "split.json").read_text())
    split["test"] = split.pop("train")
    (tmp_path / "split.json").write_text(json.dumps(split))
    assert list(add(tmp_path, case(5, patient="P0")).splits.values()) == ["test"]


def test_an_image_without_a_patient_has_always_the_same_name_and_nobodys() -> None:
    assert (
        image_pseudonym(bscan(1)) == image_pseudonym(bscan(1).copy()) != image_pseudonym(bscan(2))
    )
    assert case(patient="../Müller, Jörg\n1961").name.startswith("M-ller-J-rg-1961_003_")


def test_other_classes_are_refused_with_both_lists(tmp_path: Path) -> None:
    add(tmp_path, case())
    with pytest.raises(CaseError, match=r"1 SRF, 2 IRF, but the new cases have .*1 PED"):
        add(tmp_path, case(2), names={0: "background", 1: "PED"})
    assert len(read(tmp_path)["train"]) == 1


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(CaseError, match="not empty"):
        add(tmp_path, case())
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_broken_folder_is_refused_with_its_faults(tmp_path: Path) -> None:
    add(tmp_path, case())
    (tmp_path / "split.json").write_text("{")
    with pytest.raises(CaseError, match="not JSON"):
        add(tmp_path, case(1))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("before", [0, 2])
def test_a_process_that_is_killed_anywhere_leaves_a_folder_that_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Every replacement of a file may be the last thing that a process did."""
    real = os.replace
    for last in range(20):
        folder = tmp_path / f"set{before}-{last}"
        if before:
            add(folder, case(0), case(1))
        left = [last]

        def replace(*names: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1
            real(*names)

        monkeypatch.setattr(os, "replace", replace)
        try:
            add(folder, case(0, value=2), case(3))
            ended = True
        except Killed:
            ended = False
        monkeypatch.setattr(os, "replace", real)
        if (folder / "labels.json").exists() and any((folder / "images").glob("*.png")):
            assert sum(map(len, read(folder).values())) >= before
        add(folder, case(0, value=2), case(3))  # and again, from where it was left
        patients = {c.patient for some in read(folder).values() for c in some}
        assert patients == ({"P0", "P1", "P3"} if before else {"P0", "P3"})
        if ended:
            return
    pytest.fail("the write never came to its end")
