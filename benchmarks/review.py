"""How well the review queue ranks B-scans: expected error against the true one.

    python benchmarks/review.py oct-lesions oct_kermany_lesions
    python benchmarks/review.py oct-phantom runs/phantom

The model segments each case of a split; each candidate says from the label map, the uncertainty and
the samples alone how wrong the B-scan is. The true error is 1 less the mean Dice over the
structures in either map (`spad.metrics`); B-scans without any are left out. Structures that the
data set's readers did not look for are no error, and no candidate sees them but the last two: all
structures alike, and as the queue ranks. Per candidate:

- Spearman's rank correlation with the true error, over all patients, and over either half of them:
  both were in sight when what ships was chosen, so all flatter it a little;
- the share of all true error that lies in the first quarter of the queue; at random it is a
  quarter, and no queue finds more than the oracle's.

In brackets 95 % intervals from a bootstrap over patients.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

import spad
from spad.annotation.expected_errors import BAND_PX, expected_error, taught_by_phantoms
from spad.cases import open_folder
from spad.inference.segmentation import Segmentation
from spad.metrics import confusion_matrix, mean_scores, structure_scores
from spad.train.data import class_table, judged_classes, read_image, read_labels
from spad.train.data.class_mapping import model_mapping

_RESAMPLES = 1000
_FIRST = 0.25  # of the queue
F64 = NDArray[np.float64]


# ---------------------------------------------------------------------- candidates


def shipped(s: Segmentation) -> float:
    """What ships: the expected Dice of the structures, from the uncertainty in and around them."""
    return expected_error(s.labels, s.uncertainty, len(s.classes)).error


def mean_uncertainty(s: Segmentation) -> float:
    """Mean over all pixels."""
    return float(s.uncertainty.mean(dtype=np.float64))


def band_over_area(s: Segmentation) -> float:
    """Sum of the uncertainty within the structures and a band around them, over their area."""
    structures = s.labels > 0
    if not structures.any():
        return float(s.uncertainty.max())
    near = ndimage.maximum_filter(structures, 2 * BAND_PX + 1)
    return float(s.uncertainty[near].sum(dtype=np.float64) / structures.sum())


def inside(s: Segmentation) -> float:
    """Mean uncertainty within each structure, meaned over the structures."""
    means = [s.uncertainty[s.labels == c].mean(dtype=np.float64) for c in _present(s.labels)]
    return float(np.mean(means)) if means else float(s.uncertainty.max())


def disagreement(s: Segmentation) -> float:
    """1 less the mean Dice of all pairs of samples."""
    errors = [_error(a, b, s) for a, b in itertools.combinations(s.samples, 2)]
    return float(np.mean(np.nan_to_num(errors)))


def vote(s: Segmentation) -> float:
    """Expected Dice of every structure in any sample, from the share of samples at each pixel."""
    shares = {c: (s.samples == c).mean(0) for c in _present(s.samples)}
    dice = [
        2 * p[s.labels == c].sum() / (p.sum() + (s.labels == c).sum()) for c, p in shares.items()
    ]
    return 1 - float(np.mean(dice)) if dice else 0.0


def vote_of_shown(s: Segmentation) -> float:
    """As `vote`, over the structures of the label map alone."""
    shown = _present(s.labels)
    dice = []
    for c in shown:
        share, structure = (s.samples == c).mean(0), s.labels == c
        dice.append(2 * share[structure].sum() / (share.sum() + structure.sum()))
    return 1 - float(np.mean(dice)) if dice else float((s.samples > 0).mean(0).max())


CANDIDATES: tuple[Callable[[Segmentation], float], ...] = (
    mean_uncertainty, band_over_area, inside, disagreement, vote, vote_of_shown, shipped,
)  # fmt: skip
ALL_ALIKE, AS_RANKED = "all structures alike", "as the queue ranks"


def _present(labels: NDArray[np.uint8]) -> list[int]:
    return [int(v) for v in np.unique(labels) if v]


def _error(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], s: Segmentation) -> float:
    matrix = confusion_matrix(prediction, reference, len(s.classes))
    return 1 - mean_scores(structure_scores(matrix, s.classes))[0]


# ---------------------------------------------------------------------- how good they are


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--samples", type=int, help="by default as many as the card says")
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()

    segmenter = spad.load(args.model)
    card = segmenter.card
    names = [c.name for c in card.classes]
    folder = open_folder(args.cases)
    stored = card.training.get("mapping", {}).get(folder.path.name)
    table = class_table(folder.names, model_mapping(folder, names, stored=stored))
    cases = folder.splits[args.split]
    true, patients = [], []
    said: dict[str, list[float]] = {c.__name__: [] for c in CANDIDATES}
    said |= {ALL_ALIKE: [], AS_RANKED: []}
    seconds = dict.fromkeys(said, 0.0)
    for done, case in enumerate(cases, start=1):
        samples = args.samples or card.sampling.samples
        whole = segmenter.segment(read_image(case), samples=samples)
        judged = np.flatnonzero(judged_classes(case, table, len(names), folder.names))
        segmentation = replace(
            whole,
            labels=np.where(np.isin(whole.labels, judged), whole.labels, 0).astype(np.uint8),
            samples=np.where(np.isin(whole.samples, judged), whole.samples, 0).astype(np.uint8),
        )
        error = _error(segmentation.labels, read_labels(case, table), segmentation)
        if not math.isnan(error):
            true.append(error)
            patients.append(str(case.patient))
            for candidate in CANDIDATES:
                began = time.perf_counter()
                said[candidate.__name__].append(candidate(segmentation))
                seconds[candidate.__name__] += time.perf_counter() - began
            said[ALL_ALIKE].append(shipped(whole))
            aside = taught_by_phantoms(whole.classes, [whole.provenance])
            expected = expected_error(whole.labels, whole.uncertainty, len(names), aside)
            said[AS_RANKED].append(expected.error)
        print(f"\r{done} of {len(cases)} images", end="", file=sys.stderr)

    errors, first_half = np.array(true), _half(patients)
    rows = [
        _row(name, np.array(values), errors, patients, first_half, 1000 * seconds[name])
        for name, values in said.items()
    ]
    rows.append(_row("oracle", errors, errors, patients, first_half, 0.0))
    print(
        f"\n{args.model}, {args.cases.name} ({args.split}): {len(errors)} of {len(cases)} B-scans "
        f"with a structure, {len(set(patients))} patients; mean true error {errors.mean():.3f}; "
        f"by chance {_FIRST:.0%} of it lies in the first {_FIRST:.0%} of the queue\n"
    )
    print("| candidate | rank correlation | first half | second half | error found, % | ms |")
    print("|---" * 6 + "|")
    for r in rows:
        cells = [_interval(r[k]) for k in ("rank", "first half", "second half")]
        print(
            f"| {r['candidate']} | {' | '.join(cells)} | {_interval(r['found'], 100, 0)} "
            f"| {r['ms']:.1f} |"
        )
    if args.out:
        args.out.write_text(json.dumps({"command": sys.argv[1:], "rows": rows}, indent=1), "utf-8")


def _half(patients: Sequence[str]) -> NDArray[np.bool_]:
    """B-scans of half of the patients, drawn once and for all."""
    ids = sorted(set(patients))
    drawn = {ids[i] for i in np.random.default_rng(0).permutation(len(ids))[: len(ids) // 2]}
    return np.array([p in drawn for p in patients])


def _row(
    name: str, said: F64, true: F64, patients: list[str], first: NDArray[np.bool_], ms: float
) -> dict[str, Any]:
    def rank(index: Any) -> float:
        return float(stats.spearmanr(said[index], true[index]).statistic)

    def found(index: Any) -> float:
        return found_early(said[index], true[index])

    return {
        "candidate": name,
        "rank": _bootstrap(rank, patients, np.ones(len(true), bool)),
        "first half": _bootstrap(rank, patients, first),
        "second half": _bootstrap(rank, patients, ~first),
        "found": _bootstrap(found, patients, np.ones(len(true), bool)),
        "ms": ms / len(true),
    }


def found_early(said: F64, true: F64) -> float:
    """Share of the true error in the first quarter of the queue."""
    count = max(1, round(_FIRST * len(said)))
    return float(true[np.argsort(-said, kind="stable")[:count]].sum() / true.sum())


def _bootstrap(
    statistic: Callable[[Any], float], patients: Sequence[str], used: NDArray[np.bool_]
) -> list[float]:
    """Value, and the 2.5th and 97.5th percentile over resampled patients."""
    ids = np.array(patients)
    groups = [np.flatnonzero((ids == p) & used) for p in sorted(set(ids[used]))]
    rng = np.random.default_rng(0)
    values = [
        statistic(np.concatenate([groups[g] for g in rng.integers(len(groups), size=len(groups))]))
        for _ in range(_RESAMPLES)
    ]
    return [statistic(np.flatnonzero(used)), *np.nanpercentile(values, [2.5, 97.5]).tolist()]


def _interval(values: list[float], factor: float = 1, digits: int = 2) -> str:
    value, low, high = (factor * v for v in values)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


if __name__ == "__main__":
    main()
