"""What version 0.1 wrote is read as it was meant: checkpoints, case folder, review book, progress.

Front ends keep these files too, but read them without a window; `tests/recorded/make_v0_1.py` tells
how they came about.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from files_of_v0_1 import V0_1, arrays, laid_out
from produced import RECORDED_ON, machine

from spad import checkpoint
from spad.annotation import Entry, ReviewBook, check_sum, read_progress
from spad.cases import known_bscans, open_folder
from spad.checkpoint import label_classes
from spad.inference.segmenter import load
from spad.phantom import CLASS_NAMES, bscan

SHAPE = (32, 48)
EDITED = "ac48d0578f0e92d5882c4adf5bfd86bc54a3c0c2490da93a6b4a96cc95864c8b"
ACCEPTED = "a78d4e26b38a1fe93323942085b560c72977bc936c16a4ad0e7a84f83f781e75"
SKIPPED = "7d6df71e7f97055c6c73dec731d0c52ea4f02291110683e87fbafeeddaa624b8"


@pytest.mark.parametrize("kind", ["cached", "concat", "unet"])
def test_a_checkpoint_says_and_makes_what_it_did(kind: str) -> None:
    path = V0_1 / "model" / f"{kind}.safetensors"
    card = checkpoint.read_card(path)
    assert (card.name, card.network.kind) == (f"tiny {kind}", kind)
    assert (card.network.widths, card.input.size) == ((8, 8, 8), SHAPE)
    assert (card.sampling.steps, card.sampling.samples) == (3, 2)
    assert card.classes == label_classes(CLASS_NAMES)
    assert card.training["note"] == "random weights"
    assert card.scores == {"validation": {"pooled mean Dice": 0.125}}
    expected = arrays("model/labels.npz")
    run = load(path, device="cpu").segment(bscan(3, shape=SHAPE).image, samples=2, seed=5)
    kept = {"labels": run.labels, "samples": run.samples}
    if kind == "cached":
        del kept["labels"]  # of the chains' priors since (method, Eq. 29); the draws are the same
    for name, found in kept.items():
        same = np.mean(found == expected[f"{kind}: {name}"])
        # Random weights decide by a hair here and there, where another processor rounds otherwise.
        assert same == 1 if machine() == RECORDED_ON else same > 0.98


def test_a_case_folder_of_the_plugin_is_sound_and_its_bscans_are_known() -> None:
    folder = V0_1 / "napari" / "cases"
    opened = open_folder(folder)
    assert opened.problems == ()
    assert dict(opened.names) == dict(enumerate(CLASS_NAMES))
    (split,) = (s for s, cases in opened.splits.items() if cases)
    assert split == "train"
    patient = "image-4256bbe87b"
    names = [f"{patient}_001_4256bbe87b", f"{patient}_002_e5e7bffe00"]
    assert [case.name for case in opened.splits["train"]] == names
    for case in opened.splits["train"]:
        assert case.patient == patient
        assert case.annotated == ("SRF", "IRF", "SHRM", "IS/OS")
        assert case.spacing_mm == pytest.approx((0.03634049053595704, 0.11273442352407231))
    assert known_bscans(folder) == {name[-10:]: (name, patient) for name in names}


def test_the_review_book_has_every_state_and_goes_on(tmp_path: Path) -> None:
    path = laid_out("napari", tmp_path) / "data" / "reviews.json"
    book = ReviewBook(path, "reader 1")
    assert book.load() == ""
    assert book[EDITED] == Entry("edited", 2865996931)
    assert book[ACCEPTED] == Entry("accepted", 1340217273)
    assert book[SKIPPED] == Entry("skipped", None)
    labels = arrays("napari/exported.npz")["labels"]
    assert [check_sum(labels[z]) for z in (0, 1)] == [2865996931, 1340217273]
    other = ReviewBook(path, "reader 2")
    assert other.load() == ""
    assert other[ACCEPTED] is None
    other.mark(SKIPPED, Entry("seen"))
    assert other.save() == ""
    again = json.loads(path.read_text("utf-8"))["annotators"]
    assert again["reader 2"] == {SKIPPED: {"state": "seen", "accepted": None}}
    before = json.loads((V0_1 / "napari" / "data" / "reviews.json").read_text("utf-8"))
    assert again["reader 1"] == before["annotators"]["reader 1"]


def test_the_progress_of_a_fine_tuning_is_read() -> None:
    seen = read_progress(V0_1 / "napari" / "data" / "runs" / "tuned")
    assert (seen.step, seen.steps, seen.minutes, seen.scoring) == (101, 1_000_000, 0.1, False)
    assert (len(seen.losses), len(seen.validations)) == (21, 22)
    assert seen.losses[0] == (5, 10.177859878540039)
    assert seen.losses[-1] == (101, 8.543133735656738)
    assert seen.seconds == 6.46
    assert seen.before is seen.best
    assert [(r.name, r.images) for r in seen.before.rows] == [
        ("SRF", 2), ("IRF", 2), ("PED", 0), ("SHRM", 2), ("IS/OS", 0)
    ]  # fmt: skip
    assert seen.before.rows[0].dice == 0.9890815671162492
    assert math.isnan(seen.before.rows[2].dice)
    assert (seen.before.images, seen.before.patients) == (2, 1)


def test_the_checkpoint_of_a_fine_tuning_says_where_it_comes_from() -> None:
    card = checkpoint.read_card(V0_1 / "napari" / "data" / "runs" / "tuned" / "best.safetensors")
    assert card.name == "tuned"
    assert card.training["data"][0]["source"] == "B-scans that a person corrected"
    assert card.training["mapping"]["cases"]["IS/OS"] == ["IS/OS"]
    assert card.scores["validation"]["pooled Dice"] == {
        "SRF": 0.9891, "IRF": 0.9544, "PED": None, "SHRM": 0.9595, "IS/OS": None
    }  # fmt: skip
