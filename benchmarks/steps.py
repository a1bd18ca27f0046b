"""Accuracy and diversity of a model against the number of reverse steps, on a case folder.

    python benchmarks/steps.py oct-phantom runs/phantom --steps 1 2 3 5 10 --samples 8

Dice is of the ensemble (argmax of the mean probabilities), pooled over the images and meaned over
the structures, and per image. Diversity is the mean over images of 1 - Dice between pairs of
samples, meaned over the structures that either sample shows: 0 where the samples do not differ.
Times are the median seconds an image, on a machine that may be busy: compare rows of one run only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import spad
from spad.metrics import confusion_matrix
from spad.train.cases import class_table, open_folder, read_image, read_labels
from spad.train.diversity import diversity
from spad.train.evaluate import score
from spad.train.mapping import model_mapping


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="only the first so many")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 5, 10])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()

    segmenter = spad.load(args.model)
    names = [c.name for c in segmenter.card.classes]
    folder = open_folder(args.cases)
    stored = segmenter.card.training.get("mapping", {}).get(folder.path.name)
    table = class_table(folder.names, model_mapping(folder, names, stored=stored))
    cases = folder.splits[args.split][: args.images]
    found: dict[int, list[tuple[np.ndarray, float, float]]] = {s: [] for s in args.steps}
    for case in cases:  # interleaved, so that a busy minute hits all settings alike
        image, reference = read_image(case), read_labels(case, table)
        for steps in args.steps:
            began = time.perf_counter()
            result = segmenter.segment(image, samples=args.samples, steps=steps)
            seconds = time.perf_counter() - began
            matrix = confusion_matrix(result.labels, reference, len(names))
            found[steps].append((matrix, diversity(result.samples, len(names)), seconds))

    rows = []
    for steps, results in found.items():
        matrices, spread, seconds = zip(*results, strict=True)
        report = score(np.stack(matrices), [c.patient for c in cases], names)
        rows.append(
            {
                "steps": steps,
                "pooled mean Dice": report.mean.dice_pooled.value,
                "per-image mean Dice": report.mean.dice_per_image.value,
                "pooled": {r.name: r.dice_pooled.value for r in report.structures},
                "diversity": float(np.mean(spread)),
                "seconds": statistics.median(seconds),
            }
        )
    print(
        f"{args.model}, {len(cases)} images of {args.cases.name} ({args.split}), {args.samples} "
        f"samples, {torch.get_num_threads()} threads on {segmenter.device}\n"
    )
    print(
        "| steps | " + " | ".join(names[1:]) + " | mean, pooled | mean, per image | diversity | s |"
    )
    print("|---" * (len(names) + 4) + "|")
    for row in rows:
        cells = [f"{v:.3f}" for v in row["pooled"].values()]
        cells += [f"{row[k]:.3f}" for k in ("pooled mean Dice", "per-image mean Dice", "diversity")]
        print(f"| {row['steps']} | {' | '.join(cells)} | {row['seconds']:.2f} |")
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
