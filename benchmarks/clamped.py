"""What sampling around an annotator's corrections brings beyond the corrections themselves.

    python benchmarks/clamped.py oct-phantom runs/phantom --images 20 --t0 75 250 --steps 1 3 10

The model segments each image; simulated brush strokes fix a share of its wrong pixels
(:mod:`spad.train.evaluation.simulated_strokes`; ``--worst``: one stroke through the largest mistake
instead). Then it samples again, the strokes held: in the whole image or only up to ``--margin``
pixels from a stroke (the rest stays as it was; ``told``: and is a hint too), from noise (``t0`` =
T) or from the corrected label map noised to t0. ``--no-hints``: the strokes are held, but not
spread.

Dice is pooled over images and seeds of strokes, meaned over the structures: before, with the
strokes pasted in, and after sampling. *Right* and *wrong*: pixels outside the strokes that became
so against pasting, per image; *net*: their difference for each stroke pixel, 0 for pasting alone.
*Far*: share of the pixels beyond twice the margin that changed. In brackets 95 % intervals from a
bootstrap over patients (1000 resamples), of the paired difference.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import spad
from spad.cases import open_folder
from spad.checkpoint.labels import IGNORE
from spad.metrics import confusion_matrix
from spad.network import Network
from spad.network.denoiser import Cached
from spad.train.data import class_table, read_image, read_labels
from spad.train.data.class_mapping import model_mapping
from spad.train.evaluation.simulated_strokes import correct, worst_stroke

_RESAMPLES = 1000
Arrays = dict[str, NDArray[Any]]


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="only so many, evenly over the split")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the strokes")
    parser.add_argument("--share", type=float, default=0.05, help="of the wrong pixels to fix")
    parser.add_argument("--worst", action="store_true")
    parser.add_argument("--t0", type=int, nargs="+", default=[25, 50, 75, 125, 175, 225, 250])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 5, 10])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument(
        "--regions", nargs="+", default=["image", "margin"], choices=["image", "margin", "told"]
    )
    parser.add_argument("--no-hints", action="store_true")
    parser.add_argument("--margin", type=int, default=24, help="pixels of the image")
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()

    segmenter = spad.load(args.model)
    if args.no_hints:
        Cached.hinted = Network.hinted  # type: ignore[method-assign]
    names = [c.name for c in segmenter.card.classes]
    folder = open_folder(args.cases)
    stored = segmenter.card.training.get("mapping", {}).get(folder.path.name)
    table = class_table(folder.names, model_mapping(folder, names, stored=stored))
    cases = folder.splits[args.split]
    if args.images:
        cases = cases[:: max(1, len(cases) // args.images)][: args.images]
    settings = list(itertools.product(args.regions, args.t0, args.steps))
    found: dict[Any, list[Arrays]] = {setting: [] for setting in settings}
    patients = []
    for done, case in enumerate(cases, start=1):
        image, reference = read_image(case), read_labels(case, table)
        before = segmenter.segment(image, samples=args.samples).labels
        for seed in args.seeds:
            clamp = (
                worst_stroke(before, reference, seed=seed)
                if args.worst
                else correct(before, reference, args.share, seed=seed)
            )
            if (clamp == IGNORE).all():
                continue
            patients.append(case.patient)
            for region, t0, steps in settings:
                after = _again(
                    segmenter, image, before, clamp, args, region=region, t0=t0, steps=steps
                )
                changes = _changes(before, clamp, after, reference, len(names), args.margin)
                found[region, t0, steps].append(changes)
        print(f"\r{done} of {len(cases)} images", end="", file=sys.stderr)

    rows = [_row(setting, results, patients) for setting, results in found.items()]
    what = "one stroke in the worst mistake" if args.worst else f"{args.share:.0%} fixed by strokes"
    what += ", not spread" if args.no_hints else ""
    first = rows[0]
    print(
        f"\n{args.model}, {len(cases)} images of {args.cases.name} ({args.split}), {what}, "
        f"{len(args.seeds)} seeds, {args.samples} samples, margin {args.margin} px; "
        f"{first['stroke pixels']:.0f} stroke pixels and {first['wrong before']:.0f} wrong pixels "
        f"an image; Dice before {first['before']:.3f}, pasted {first['pasted']:.3f}\n"
    )
    print("| region | t0 | steps | after | less pasted, points | right | wrong | net | far, % |")
    print("|---" * 9 + "|")
    for r in rows:
        print(
            f"| {r['region']} | {r['t0']} | {r['steps']} | {r['after']:.3f} | "
            f"{_interval(r['gain'], 100)} | {r['right']:.0f} | {r['wrong']:.0f} | "
            f"{_interval(r['net'])} | {100 * r['far']:.2f} |"
        )
    if args.out:
        args.out.write_text(json.dumps({"command": sys.argv[1:], "rows": rows}, indent=1), "utf-8")


def _again(
    segmenter: spad.Segmenter,
    image: NDArray[Any],
    before: NDArray[np.uint8],
    clamp: NDArray[np.uint8],
    args: argparse.Namespace,
    *,
    region: str,
    t0: int,
    steps: int,
) -> NDArray[np.uint8]:
    """Labels after sampling around the strokes."""
    options: dict[str, Any] = {"clamp": clamp, "samples": args.samples, "steps": min(steps, t0)}
    pasted = np.where(clamp == IGNORE, before, clamp)
    if region != "image":
        options["region"] = _distance(clamp) <= args.margin
    if region == "told":
        options["clamp"] = np.where(options["region"], clamp, pasted)
    if region != "image" or t0 < segmenter.card.schedule.steps:
        options |= {"start": pasted, "t0": t0}
    return segmenter.segment(image, **options).labels


def _distance(clamp: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pixels to the nearest stroke."""
    return np.asarray(ndimage.distance_transform_edt(clamp == IGNORE))


def _changes(
    before: NDArray[np.uint8],
    clamp: NDArray[np.uint8],
    after: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    classes: int,
    margin: int,
) -> Arrays:
    """What one image's sampling did."""
    pasted = np.where(clamp == IGNORE, before, clamp)
    known = reference != IGNORE
    free = known & (clamp == IGNORE)
    far = _distance(clamp) > 2 * margin
    return {
        "matrices": np.stack(
            [confusion_matrix(x, reference, classes) for x in (before, pasted, after)]
        ),
        "strokes": np.sum(clamp != IGNORE),
        "before": np.sum((before != reference) & known),
        "right": np.sum((pasted != reference) & (after == reference) & free),
        "wrong": np.sum((pasted == reference) & (after != reference) & free),
        "far": np.sum((after != pasted) & far),
        "far pixels": np.sum(far),
    }


def _row(setting: tuple[str, int, int], results: list[Arrays], patients: list[str]) -> Any:
    """Figures of a setting; each with an interval as [value, low, high]."""
    a = {name: np.stack([r[name] for r in results]).astype(float) for name in results[0]}

    def dice(which: int) -> Callable[[Any], float]:
        return lambda index: _mean_dice(a["matrices"][index, which].sum(0))

    def net(index: Any) -> float:
        return float((a["right"] - a["wrong"])[index].sum() / a["strokes"][index].sum())

    everything = slice(None)
    region, t0, steps = setting
    return {
        "region": region,
        "t0": t0,
        "steps": steps,
        "images": len(results),
        "stroke pixels": a["strokes"].mean(),
        "wrong before": a["before"].mean(),
        "before": dice(0)(everything),
        "pasted": dice(1)(everything),
        "after": dice(2)(everything),
        "gain": _bootstrap(lambda i: dice(2)(i) - dice(1)(i), patients),
        "right": a["right"].mean(),
        "wrong": a["wrong"].mean(),
        "net": _bootstrap(net, patients),
        "far": a["far"].sum() / max(1, a["far pixels"].sum()),
    }


def _mean_dice(matrix: NDArray[Any]) -> float:
    """Mean over the structures of the reference."""
    both, sizes = np.diag(matrix)[1:], matrix.sum(0)[1:] + matrix.sum(1)[1:]
    shown = matrix.sum(1)[1:] > 0
    return float(np.mean(2 * both[shown] / sizes[shown])) if shown.any() else 0.0


def _bootstrap(statistic: Callable[[Any], float], patients: list[str]) -> list[float]:
    """Value, and the 2.5th and 97.5th percentile over resampled patients."""
    groups = [np.flatnonzero(np.array(patients) == p) for p in dict.fromkeys(patients)]
    rng = np.random.default_rng(0)
    values = [
        statistic(np.concatenate([groups[g] for g in rng.integers(len(groups), size=len(groups))]))
        for _ in range(_RESAMPLES)
    ]
    return [statistic(slice(None)), *np.percentile(values, [2.5, 97.5]).tolist()]


def _interval(values: list[float], factor: float = 1) -> str:
    value, low, high = (factor * v for v in values)
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
