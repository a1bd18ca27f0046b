r"""How much it takes to draw a structure: a model's scores under other rules than its card's.

    python benchmarks/decision.py oct-lesions KERMANY --odds 1 2 3 --peaks 0 0.7 0.8
    python benchmarks/decision.py oct-lesions DUKE --split train --merge fluid=SRF,IRF \
        --map fluid=1 background=0

A row a rule (docs/method.md, section 12): whether the image is seen mirrored too, odds, peak, and
mean Dice over the structures, pooled and per image, as `spad evaluate` computes them. The model
runs once, or once each way with ``--mirrored both``; its probabilities are kept in half precision.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import spad
from spad.areas import drop_doubtful
from spad.cases import open_folder
from spad.commands.options import mapping_of
from spad.inference import Segmenter
from spad.inference.ensemble import decided
from spad.train.data import class_table
from spad.train.evaluation import evaluate, merge_classes

WAYS = {"card": None, "no": (False,), "yes": (True,), "both": (False, True)}


class Kept:
    """A segmenter whose probabilities of each image are computed once."""

    def __init__(self, model: Segmenter, *, mirrored: bool) -> None:
        sampling = replace(model.card.sampling, mirrored=mirrored or None)
        self.model = model
        model.card = model._model.card = replace(model.card, sampling=sampling)
        self._found: dict[bytes, Any] = {}

    def labels(self, image: Any, odds: float, peak: float) -> Any:
        """Label map under a rule; odds 1 and peak 0 are the most probable class."""
        key = np.asarray(image).tobytes()
        if key not in self._found:
            self._found[key] = self.model.segment(image, seed=0, probability=True).probability
        p = torch.from_numpy(self._found[key].astype(np.float32))
        rule = replace(self.model.card.sampling, odds=odds, peak=peak)
        out = decided(p, rule).numpy()
        drop_doubtful(out, p.numpy(), rule.peak)
        return out


def main() -> None:
    """Print a row a rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--map", nargs="+")
    parser.add_argument("--merge", nargs="+", default=())
    parser.add_argument("--odds", type=float, nargs="+", default=[1, 2, 3])
    parser.add_argument("--peaks", type=float, nargs="+", default=[0, 0.7, 0.8])
    parser.add_argument("--mirrored", choices=WAYS, default="card")
    args = parser.parse_args()
    card = spad.load(args.model).card
    names, merged = merge_classes([c.name for c in card.classes], args.merge)
    folder = open_folder(args.cases)
    table = class_table(folder.names, mapping_of(folder, card, args.map, names))
    print("| mirrored | odds | peak | pooled | per image |\n|---|---|---|---|---|")
    for mirrored in WAYS[args.mirrored] or (bool(card.sampling.mirrored),):
        kept = Kept(spad.load(args.model), mirrored=mirrored)
        for odds, peak in itertools.product(args.odds, args.peaks):

            def labels(
                image: Any, kept: Kept = kept, odds: float = odds, peak: float = peak
            ) -> Any:
                return merged[kept.labels(image, odds, peak)]

            mean = evaluate(
                labels, folder.splits[args.split], table, names, names=folder.names
            ).mean
            scores = f"{mean.dice_pooled.value:.3f} | {mean.dice_per_image.value:.3f}"
            print(f"| {'yes' if mirrored else 'no'} | {odds:g} | {peak:g} | {scores} |", flush=True)


if __name__ == "__main__":
    main()
