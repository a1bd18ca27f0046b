"""Scores of a split: both conventions by hand, intervals by patient, what is judged and noted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spad import metrics
from spad.cases import CaseFolder, NewCase, open_folder
from spad.checkpoint.labels import label_classes
from spad.train.data import class_table, write_folder
from spad.train.evaluation import Report, evaluate, score

CLASSES = ("background", "SRF", "IRF")


def matrix(**pixels: int) -> NDArray[np.int64]:
    """Confusion matrix from ``rc=n``: n pixels of reference r that were called c."""
    made = np.zeros((3, 3), np.int64)
    for key, number in pixels.items():
        made[int(key[1]), int(key[2])] = number
    return made


def test_both_conventions_are_those_of_the_definition() -> None:
    # SRF: 8 of 10 and 10 called; then missed; then absent. IRF: invented once.
    images = [
        matrix(p00=80, p11=8, p10=2, p01=2),
        matrix(p00=90, p10=10),
        matrix(p00=95, p02=5),
    ]
    report = score(np.array(images), ["a", "b", "c"], CLASSES)
    srf, irf = report.structures
    assert srf.dice_pooled.value == pytest.approx(2 * 8 / (20 + 10))
    assert srf.iou_pooled.value == pytest.approx(8 / (20 + 10 - 8))
    assert srf.dice_per_image.value == pytest.approx((0.8 + 0) / 2)
    assert srf.iou_per_image.value == pytest.approx((8 / 12 + 0) / 2)
    assert (srf.images, srf.absent, srf.missed, srf.invented) == (2, 1, 1, 0)
    assert irf.dice_pooled.value == irf.dice_per_image.value == 0
    assert (irf.images, irf.absent, irf.missed, irf.invented) == (0, 2, 0, 1)
    assert report.mean.dice_per_image.value == pytest.approx(0.2)
    assert (report.images, report.patients, report.hd95_unit) == (3, 3, "")


def test_a_structure_that_is_nowhere_has_no_score_and_leaves_the_mean_alone() -> None:
    report = score(np.array([matrix(p00=90, p11=10)] * 2), ["a", "b"], CLASSES)
    irf = report.structures[1]
    assert math.isnan(irf.dice_pooled.value)
    assert math.isnan(irf.dice_per_image.value)
    assert irf.absent == 2
    assert report.mean.dice_pooled.value == report.mean.dice_per_image.value == 1
    assert report.mean.dice_pooled.low == 1


def test_hd95_is_a_mean_over_the_images_that_have_one() -> None:
    distances = np.array([[np.nan, 2.0, np.inf], [np.nan, 4.0, np.nan]])
    report = score(
        np.array([matrix(p11=1, p20=1)] * 2), ["a", "b"], CLASSES, hd95=distances, hd95_unit="mm"
    )
    assert report.structures[0].hd95.value == 3
    assert math.isnan(report.structures[1].hd95.value)
    assert report.mean.hd95.value == 3
    assert "HD95 (mm)" in report.markdown()


def bootstrap(
    matrices: NDArray[Any], patients: list[str], report: Report
) -> dict[str, NDArray[Any]]:
    """The resamples one by one, images gathered anew each time."""
    ids = sorted(set(patients))
    draws = np.random.default_rng(report.seed).multinomial(
        len(ids), np.full(len(ids), 1 / len(ids)), size=report.resamples
    )
    pooled, per_image = [], []
    for draw in draws:
        chosen = [
            m
            for patient, times in zip(ids, draw, strict=True)
            for m, owner in zip(matrices, patients, strict=True)
            if owner == patient
            for _ in range(times)
        ]
        dices = [2 * m[1, 1] / (m[1].sum() + m[:, 1].sum()) for m in chosen]
        total = np.sum(chosen, axis=0)
        pooled.append(2 * total[1, 1] / (total[1].sum() + total[:, 1].sum()))
        per_image.append(np.mean(dices))
    return {"dice_pooled": np.array(pooled), "dice_per_image": np.array(per_image)}


def test_intervals_are_those_of_a_bootstrap_over_patients() -> None:
    rng = np.random.default_rng(1)
    matrices = rng.integers(1, 50, (12, 3, 3))
    patients = list("aaabbbbccdef")
    report = score(matrices, patients, CLASSES, resamples=200, seed=5)
    assert report.patients == 6
    for name, values in bootstrap(matrices, patients, report).items():
        got = getattr(report.structures[0], name)
        assert (got.low, got.high) == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))))
        assert got.low < got.value < got.high
    again = score(matrices, patients, CLASSES, resamples=200, seed=5)
    assert again.as_json() == report.as_json()
    other = score(matrices, patients, CLASSES, resamples=200, seed=6).structures[0].dice_pooled
    assert other.low != report.structures[0].dice_pooled.low


def test_images_of_one_patient_widen_the_interval() -> None:
    good, bad = matrix(p00=90, p11=10), matrix(p00=90, p10=10)
    images = np.array([good, bad] * 20)

    def width(patients: list[str]) -> float:
        dice = score(images, patients, CLASSES).structures[0].dice_per_image
        return dice.high - dice.low

    alone = width([str(i) for i in range(40)])
    together = width([("good", "bad")[i % 2] + str(i // 20) for i in range(40)])
    assert together > 2 * alone


def test_one_patient_has_no_interval() -> None:
    report = score(np.array([matrix(p11=1), matrix(p10=1)]), ["a", "a"], CLASSES)
    assert math.isnan(report.structures[0].dice_pooled.low)
    assert "one patient only: no intervals" in report.notes


def test_few_images_are_noted_as_noise() -> None:
    few = score(np.array([matrix(p11=1, p22=1)] * 9 + [matrix(p22=1)]), ["a", *"b" * 9], CLASSES)
    assert [note for note in few.notes if "noise" in note] == [
        "in fewer than 10 images, so the scores are mostly noise: SRF (9)"
    ]


def test_what_was_not_looked_for_is_not_judged() -> None:
    images = np.array([matrix(p00=90, p01=5, p02=5)] * 3)
    judged = np.array([[True, True, False]] * 2 + [[True, False, False]])
    report = score(images, ["a", "b", "c"], CLASSES, judged=judged)
    srf, irf = report.structures
    assert (srf.invented, irf.invented, irf.absent) == (2, 0, 0)
    assert math.isnan(irf.dice_pooled.value)
    assert "looked for in no image, so without scores: IRF" in report.notes


def test_reports_are_valid_json_and_a_table() -> None:
    report = score(np.array([matrix(p00=9, p11=8, p10=2)]), ["a"], CLASSES)
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["structures"][0]["dice_pooled"] == {"value": 16 / 18, "low": None, "high": None}
    assert content["mean"]["hd95"]["value"] is None
    table = [line for line in report.markdown().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {9}
    assert [line.split("|")[1].strip() for line in table[2:]] == ["SRF", "IRF", "mean"]
    assert "| 0.889 |" in table[2]


@pytest.mark.parametrize(
    ("shape", "patients", "match"),
    [((0, 3, 3), 0, "no images"), ((2, 3, 3), 1, "patients"), ((2, 4, 4), 2, "matrices")],
)
def test_arrays_that_do_not_fit_are_refused(
    shape: tuple[int, ...], patients: int, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        score(np.ones(shape), ["a"] * patients, CLASSES)


# --- on case folders


def make(path: Path, **more: Any) -> CaseFolder:
    """Images that show their own label map, 20 x 30, a square of each structure."""
    made = []
    for i in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[2:8, 2 + i : 8 + i] = 1
        labels[10:16, 12:18] = 2
        labels[0, :] = 255
        made.append(NewCase(f"c{i}", labels.copy(), labels, patient=f"p{i // 2}", **more))
    write_folder(path, made, dict(enumerate(CLASSES)))
    return open_folder(path)


def shifted(image: NDArray[Any]) -> NDArray[np.uint8]:
    """The truth, SRF moved by two columns, and nonsense where nobody looks."""
    out = image.copy()
    out[image == 1] = 0
    out[2:8, 2:] |= (image == 1)[2:8, :-2].astype(np.uint8)
    out[0] = 1
    return out


def test_evaluation_agrees_with_the_metrics_on_each_case(tmp_path: Path) -> None:
    folder = make(tmp_path)
    table = class_table(folder.names)
    seen: list[tuple[int, int]] = []
    report = evaluate(
        shifted, folder.splits["train"], table, CLASSES, progress=lambda *now: seen.append(now)
    )
    assert seen == [(i, 4) for i in (1, 2, 3, 4)]
    assert (report.images, report.patients, report.hd95_unit) == (4, 2, "px")
    srf, irf = report.structures
    assert srf.dice_pooled.value == srf.dice_per_image.value == pytest.approx(2 / 3)
    assert srf.hd95.value == pytest.approx(2)
    assert (irf.dice_pooled.value, irf.hd95.value) == (1, 0)


def test_distances_are_in_mm_if_all_cases_have_a_spacing(tmp_path: Path) -> None:
    folder = make(tmp_path, spacing_mm=(0.5, 0.25))
    report = evaluate(shifted, folder.splits["train"], class_table(folder.names), CLASSES)
    assert report.hd95_unit == "mm"
    assert report.structures[0].hd95.value == pytest.approx(0.5)


def test_structures_that_were_not_annotated_are_not_invented(tmp_path: Path) -> None:
    folder = make(tmp_path, annotated=("SRF",))
    table = class_table(folder.names)
    free, held = (
        evaluate(shifted, folder.splits["train"], table, CLASSES, names=names)
        for names in (None, folder.names)
    )
    assert free.structures[1].images == 4
    assert held.structures[1].images == 0
    assert held.structures[0].iou_pooled == free.structures[0].iou_pooled


def test_a_class_that_the_set_does_not_have_is_not_judged(tmp_path: Path) -> None:
    folder = make(tmp_path)
    mapping = {"background": [0], "PED": [], "fluid": [1, 2]}
    table = class_table(folder.names, mapping)
    report = evaluate(
        lambda image: np.ones(image.shape, np.uint8), folder.splits["train"], table, tuple(mapping)
    )
    ped, fluid = report.structures
    assert (ped.invented, fluid.missed) == (0, 4)


def test_cases_of_several_sets_have_tables_of_their_own(tmp_path: Path) -> None:
    folder = make(tmp_path)
    plain, swapped = (
        class_table(folder.names, {"background": [0], "SRF": [a], "IRF": [b]})
        for a, b in ((1, 2), (2, 1))
    )
    one, other = folder.splits["train"][:2]

    def exact(tables: Any) -> bool:
        # The result is the truth of the first case's numbering, then of the second's.
        calls = iter((plain, swapped))
        report = evaluate(lambda image: next(calls)[image] % 255, (one, other), tables, CLASSES)
        return report.mean.dice_pooled.value == 1

    assert exact(np.stack([plain, swapped]))
    assert not exact(plain)


def test_pixels_are_explained_where_some_cases_have_a_spacing(tmp_path: Path) -> None:
    folder = make(tmp_path, spacing_mm=(0.5, 0.25))
    some = [replace(folder.splits["train"][0], spacing_mm=None), *folder.splits["train"][1:]]
    report = evaluate(lambda image: image % 3, some, class_table(folder.names), CLASSES)
    assert report.hd95_unit == "px"
    assert f"HD95 in pixels: 1 of {len(some)} cases have no spacing" in report.markdown()
    report = evaluate(lambda image: image % 3, some[1:], class_table(folder.names), CLASSES)
    assert "no spacing" not in report.markdown()


def test_a_result_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    with pytest.raises(ValueError, match=r"c0\.png: the result is \(20, 29\)"):
        evaluate(
            lambda image: image[:, :-1],
            folder.splits["train"],
            class_table(folder.names),
            CLASSES,
        )


def test_pooled_scores_equal_those_of_the_summed_matrix() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 9, (5, 3, 3))
    expected = metrics.structure_scores(matrices.sum(0), label_classes(CLASSES))
    rows = score(matrices, list("abcde"), CLASSES).structures
    for row, other in zip(rows, expected, strict=True):
        assert (row.dice_pooled.value, row.iou_pooled.value) == pytest.approx(
            (other.dice, other.iou)
        )
