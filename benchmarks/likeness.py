"""How often `annotation.likeness` warns: false alarms on a model's own images, and detections.

    python benchmarks/likeness.py oct-lesions DATA/oct_kermany_lesions:val \
        DATA/oct_duke_dme_fluid:train DATA/cxr_jsrt_scr:val runs/phantom:val

The first set is the model's own: warnings there are false alarms, and its images as negatives, on
their side and upside down are further sets. A model without the ranges (of an older SPAD) gets them
from its training cases, its weights untouched to the bit:

    python benchmarks/likeness.py oct-lesions --update DATA/oct_kermany_lesions:train
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spad.annotation import LIMIT, measures, reasons, summary
from spad.cases import Case, open_folder
from spad.checkpoint import read_card, save_with_card, shipped
from spad.checkpoint.card import Card
from spad.train.data import read_image

CHANGED: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda x: x,
    "negative": lambda x: x.max() - x,
    "on its side": lambda x: x.T,
    "upside down": lambda x: x[::-1],
}


def cases_of(words: Sequence[str]) -> list[Case]:
    """Cases of FOLDER:SPLIT, in the folders' order."""
    found: list[Case] = []
    for word in words:
        folder, _, split = word.rpartition(":")
        found += open_folder(Path(folder)).splits[split]
    return found


def update(path: Path, card: Card, cases: Sequence[Case]) -> None:
    """Put the ranges of up to `LIMIT` training images, as the trainer takes them, onto the card."""
    few = cases[:: max(1, len(cases) // LIMIT)][:LIMIT]
    found = summary(measures(read_image(case), card.input, case.spacing_mm) for case in few)
    known = replace(card.input, statistics={**card.input.statistics, "measures": found})
    save_with_card(path, replace(card, input=known), path)
    print(f"{path}: ranges of {len(few)} images: {', '.join(found)}")


def row(card: Card, cases: Sequence[Case], change: Callable[[Any], Any], name: str) -> None:
    """Print how many images of a set are told, and what is told of them."""
    told: Counter[str] = Counter()
    alarms, began = 0, time.perf_counter()
    for case in cases:
        image = change(read_image(case))
        found = reasons(card, image, None if image.ndim != 2 else case.spacing_mm)
        alarms += bool(found)
        told.update(found.keys())
    each = (time.perf_counter() - began) / len(cases) * 1000
    often = ", ".join(f"{about} {count / len(cases):.0%}" for about, count in told.most_common(4))
    print(f"{name:44}{len(cases):5}{alarms / len(cases):8.1%}{each:7.0f} ms  {often}")


def main() -> None:
    """Print the table, or update a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a shipped model's name, or a file")
    parser.add_argument("sets", nargs="+", metavar="FOLDER:SPLIT")
    parser.add_argument("--update", action="store_true", help="the sets are its training cases")
    parser.add_argument("--limit", type=int, default=200, help="images of a set")
    args = parser.parse_args()
    path = shipped().get(args.model, Path(args.model))
    card = read_card(path)
    if args.update:
        update(path, card, cases_of(args.sets))
        return
    print(f"{card.name}\n{'images':44}{'n':>5}{'told':>8}{'each':>10}  of what")
    for number, word in enumerate(args.sets):
        every = cases_of([word])
        picked = np.linspace(0, len(every) - 1, min(args.limit, len(every))).astype(int)
        cases = [every[i] for i in picked]
        folder, _, split = word.rpartition(":")
        for change, how in CHANGED.items() if number == 0 else [*CHANGED.items()][:1]:
            row(card, cases, how, f"{Path(folder).name} {split}, {change}")


if __name__ == "__main__":
    main()
