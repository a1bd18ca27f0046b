r"""What the samples of a model are worth to a person: alternatives to take, and ranges of areas.

    python benchmarks/readings.py oct-lesions KERMANY --coherence 0 32

A row a length of coherence (docs/method.md, Eq. 13), over the B-scans and structures that reference
or label map shows. *Dice*: mean, of the label map, and with the best of the alternatives to the
whole structure that a person could take. *In range*: share of reference areas between the least
and the greatest of the samples, as the Measure panel gives volumes. *Range*: median of greatest
less least, as a share of the reference. *Parts*: median number of connected parts in a sample, for
each in the label map. *Diversity*: mean 1 - Dice between samples.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import spad
from spad.annotation import alternatives
from spad.cases import open_folder
from spad.checkpoint import model_path, save_with_card
from spad.inference import Segmenter
from spad.train.data import class_table, judged_classes, model_mapping, read_image, read_labels
from spad.train.evaluation import diversity

_EIGHT = np.ones((3, 3), bool)


def main() -> None:
    """Print a row a length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--coherence", type=int, nargs="+", default=[0, 32], metavar="PX")
    args = parser.parse_args()
    print("| px | Dice | with the best alternative | in range | range | parts | diversity |")
    print("|---" * 7 + "|")
    for length in args.coherence:
        structures, spread = measured(coherent(args.model, length), args.cases, args.split)
        means = [statistics.fmean(one[k] for one in structures) for k in ("dice", "best", "held")]
        medians = [
            statistics.median(one[k] for one in structures if k in one) for k in ("range", "parts")
        ]
        row = [*means, *medians, statistics.fmean(spread)]
        print(f"| {length} | " + " | ".join(f"{value:.3f}" for value in row) + " |", flush=True)


def coherent(model: str, length: int) -> Segmenter:
    """The model, its first draws coherent over so many pixels."""
    card = spad.load(model).card
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        sampling = replace(card.sampling, coherence_px=length)
        save_with_card(model_path(model), replace(card, sampling=sampling), file)
        return spad.load(file)


def measured(
    model: Segmenter, cases: Path, split: str
) -> tuple[list[dict[str, float]], list[float]]:
    """What is found of each structure in a B-scan, and each B-scan's diversity."""
    names = [c.name for c in model.card.classes]
    folder = open_folder(cases)
    stored = model.card.training.get("mapping", {}).get(folder.path.name)
    table = class_table(folder.names, model_mapping(folder, names, stored=stored))
    structures, spread = [], []
    for case in folder.splits[split]:
        said, reference = model.segment(read_image(case)), read_labels(case, table)
        judged = np.flatnonzero(judged_classes(case, table, len(names), folder.names))
        shown = {int(v) for v in np.unique([said.labels, reference]) if v} & set(judged.tolist())
        structures += [of_one(said.labels, said.samples, reference, value) for value in shown]
        spread.append(diversity(said.samples, len(names)))
    return structures, spread


def of_one(labels: Any, samples: Any, reference: Any, value: int) -> dict[str, float]:
    """Of one structure in one B-scan."""
    true = reference == value
    free = np.zeros(true.shape, bool)
    found = [a.labels for a in alternatives(labels, samples, value, free)]
    scores = [dice(one == value, true) for one in (labels, *found)]
    areas = [int((one == value).sum()) for one in samples]
    out = {"dice": scores[0], "best": max(scores)}
    out["held"] = float(min(areas) <= true.sum() <= max(areas))
    if true.any():
        out["range"] = (max(areas) - min(areas)) / float(true.sum())
    if (labels == value).any():
        parts = [ndimage.label(one == value, _EIGHT)[1] for one in (labels, *samples)]
        out["parts"] = statistics.fmean(parts[1:]) / parts[0]
    return out


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice of two masks, of which at least one is not empty."""
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


if __name__ == "__main__":
    main()
