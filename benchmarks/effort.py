"""How many strokes a stack of B-scans takes: from scratch, on the model's drafts, with its help.

    python benchmarks/effort.py oct-lesions DUKE --map "background=0 IRF=1" --as IRF=SRF,IRF
    python benchmarks/effort.py oct-lesions KERMANY --split val
    python benchmarks/effort.py oct-phantom --phantoms 6

A person (`annotator.py`) works through an eye, a patient's B-scans in the order of their names,
with strokes on the largest mistakes, until each structure of a B-scan has Dice .90 (a second one:
.80) or 5 % of its mistakes are left. Ways (`effort_ways.py`): *from scratch*; *draft*: the model's;
*R*: sampled anew around the strokes after every third one; *O*: the next B-scan restarted from the
accepted one; *Learn*: `Segmenter.learn` from all that is accepted, after the first B-scan that
shows a structure and each third further one, then those that wait segmented anew; *all*; and from
scratch with scikit-image's random walker or a random forest (needs scikit-image and scikit-learn),
which answer to every third stroke. What does not lessen the mistakes is taken back (but for these
two's, which strokes then tell better), also a B-scan's new draft; after two such answers in a row
none is asked for in that B-scan.

An eye's results are kept in ``--cache`` and not made again; delete a file to make it anew. Seconds
are CPU seconds of one core. In brackets 95 % intervals from a bootstrap over eyes (1000 resamples).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from annotator import U8, Annotator
from effort_ways import WAYS, Eye, worked_through
from numpy.typing import NDArray

import spad
from spad.cases import open_folder
from spad.inference import Segmenter
from spad.phantom import stack
from spad.train.data import class_table, read_image, read_labels
from spad.train.data.class_mapping import model_mapping, parse_mapping

_RESAMPLES = 1000
_PHANTOM = (9000, (9, 256, 384))  # first seed, which no training used, and shape
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999")


def main() -> None:
    """Work, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path, nargs="?", help="case folder")
    parser.add_argument("--split", help="of the folder; all if not given")
    parser.add_argument("--map", nargs="+", help="the model's classes in the folder: IRF=1")
    parser.add_argument(
        "--as", nargs="+", default=[], dest="same", metavar="CLASS=CLASS,CLASS",
        help="classes of the model that count as one",
    )  # fmt: skip
    parser.add_argument("--phantoms", type=int, help="so many stacks instead of a folder")
    parser.add_argument("--eyes", nargs="+", help="only these")
    parser.add_argument("--least", type=int, default=2, help="B-scans of an eye")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--accepts", type=float, nargs="+", default=[0.9, 0.8])
    parser.add_argument("--brush", type=float, default=5.0, help="radius of the widest, pixels")
    parser.add_argument("--tremor", type=float, default=0.2, help="share of the radius")
    parser.add_argument("--length", type=float, default=120.0, help="of a stroke, pixels")
    parser.add_argument("--every", type=int, default=3, help="strokes between two answers")
    parser.add_argument("--order", choices=["names", "middle"], default="names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/effort"))
    parser.add_argument("--plot", type=Path, help="SVG or PNG, of the first of --accepts")
    args = parser.parse_args()

    model = spad.load(args.model)
    eyes = list(phantoms(args, model) if args.phantoms else patients(args, model))
    if not eyes:
        raise SystemExit(f"no eye of {args.least} B-scans or more; choose others, or --least 1")
    for accepts in args.accepts:
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in args.ways}
        for eye in eyes:
            for way in args.ways:
                found[way].append(worked(way, eye, model, accepts, args))
        print(table(found, accepts, [len(eye.images) for eye in eyes]), flush=True)
        if args.plot and accepts == args.accepts[0]:
            draw(found, args.plot, accepts)


def patients(args: argparse.Namespace, model: Segmenter) -> Iterator[Eye]:
    """Eyes of a case folder."""
    folder = open_folder(args.folder)
    names = [c.name for c in model.card.classes]
    stored = model.card.training.get("mapping", {}).get(folder.path.name)
    given = parse_mapping(args.map) if args.map else None
    mapping = model_mapping(folder, names, given=given, stored=stored)
    values = class_table(folder.names, mapping)
    judged = np.zeros(256, np.uint8)
    for value, name in enumerate(names):
        judged[value] = value if mapping[name] else 0
    for part in args.same:
        name, _, members = part.partition("=")
        if not {name, *members.split(",")} <= set(names):
            raise SystemExit(f"--as {part!r}: give CLASS=CLASS,CLASS of {', '.join(names)}")
        judged[[names.index(n) for n in members.split(",")]] = names.index(name)
    splits = [args.split] if args.split else list(folder.splits)
    cases = sorted((c for s in splits for c in folder.splits[s]), key=lambda c: c.name)
    for patient in dict.fromkeys(case.patient for case in cases):
        own = [case for case in cases if case.patient == patient]
        if len(own) >= args.least and (not args.eyes or patient in args.eyes):
            images = [read_image(c) for c in own]
            references = [read_labels(c, values) for c in own]
            yield Eye(patient, images, references, judged, len(names))


def phantoms(args: argparse.Namespace, model: Segmenter) -> Iterator[Eye]:
    """Stacks of phantoms."""
    seed, shape = _PHANTOM
    judged = np.arange(256, dtype=np.uint8)
    for number in range(seed, seed + args.phantoms):
        if not args.eyes or str(number) in args.eyes:
            made = stack(number, shape=shape)
            classes = len(model.card.classes)
            yield Eye(str(number), list(made.image), list(made.labels), judged, classes)


def worked(
    way: str, eye: Eye, model: Segmenter, accepts: float, args: argparse.Namespace
) -> dict[str, Any]:
    """A way's results on an eye, from the cache if they are there."""
    plain = (
        accepts,
        args.brush,
        args.length,
        args.tremor,
        args.every,
        args.order,
        args.seed,
        model.sha256,
        args.map,
    )
    key = hashlib.sha256(repr((*plain, args.same)).encode()).hexdigest()[:8]
    data = "phantoms" if args.phantoms else args.folder.name
    name = f"{data}-{eye.name}-{way.replace(' ', '')}-{accepts:g}-{key}.json"
    path: Path = args.cache / name
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found
    began = time.perf_counter()
    machine = "draft" in way or way == "all"
    drafts, seconds = drafts_of(eye, model, args.cache / f"{data}-drafts") if machine else ([], 0.0)
    helper = WAYS[way](eye, model, drafts)
    numbers = list(range(len(eye.images)))
    if args.order == "middle":
        numbers.insert(0, numbers.pop(len(numbers) // 2))
    person = Annotator(accepts, args.brush, args.length, args.tremor)
    out: dict[str, Any] = worked_through(
        helper, eye, person, every=args.every, order=numbers, seed=args.seed
    )
    out |= {"seconds": helper.seconds + seconds, "asked": helper.asked + len(drafts)}
    args.cache.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(out), "utf-8")
    print(
        f"{eye.name}, {way}, {accepts:g}: {sum(out['strokes'])} strokes, "
        f"{out['seconds']:.0f} s, in {time.perf_counter() - began:.0f} s by the clock",
        flush=True,
    )
    return out


def drafts_of(eye: Eye, model: Segmenter, folder: Path) -> tuple[list[U8], float]:
    """The model's drafts of an eye, made once, and the CPU seconds that took."""
    path = folder / f"{eye.name}-{model.sha256[:8]}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        began = time.process_time()
        made = [model.segment(image, seed=0).labels for image in eye.images]
        seconds = time.process_time() - began
        np.savez_compressed(path, *made, seconds=np.array(seconds))
    with np.load(path) as file:
        return [file[f"arr_{i}"] for i in range(len(eye.images))], float(file["seconds"])


def table(found: dict[str, list[dict[str, Any]]], accepts: float, counts: list[int]) -> str:
    """Strokes, pixels and seconds of an eye, the mean over eyes, and the strokes saved."""
    lines = [
        f"Accepted at {accepts:g}; {len(counts)} eyes, {sum(counts)} B-scans\n",
        "| way | strokes an eye | painted px | CPU s | saved on scratch, % | on draft, % | left |",
        "|---" * 7 + "|",
    ]
    draws = np.random.default_rng(0).integers(len(counts), size=(_RESAMPLES, len(counts)))
    strokes = {way: np.array([sum(r["strokes"]) for r in rows]) for way, rows in found.items()}
    for way, rows in found.items():
        own = strokes[way]
        low, high = np.percentile(own[draws].mean(1), [2.5, 97.5])
        cells = [
            way,
            f"{own.mean():.1f} [{low:.1f}, {high:.1f}]",
            f"{np.mean([sum(r['painted']) for r in rows]):,.0f}",
            f"{np.mean([r['seconds'] for r in rows]):.0f}",
            *(saved(own, strokes.get(than), draws) for than in ("from scratch", "draft")),
            str(sum(not reached for r in rows for reached in r["reached"])),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def saved(own: NDArray[Any], than: NDArray[Any] | None, draws: NDArray[Any]) -> str:
    """Share of the strokes that a way saves, over all eyes, with its interval."""
    if than is None or own is than or not than.sum():
        return "-"
    many = 1 - own[draws].sum(1) / np.maximum(than[draws].sum(1), 1)
    low, high = 100 * np.percentile(many, [2.5, 97.5])
    return f"{100 * (1 - own.sum() / than.sum()):.0f} [{low:.0f}, {high:.0f}]"


def pooled(rows: list[dict[str, Any]], most: int) -> NDArray[np.float64]:
    """Dice pooled over all B-scans after at most 0, 1, ... strokes in each."""
    total = np.zeros((most + 1, 2))
    for row in rows:
        for curve in row["curve"]:
            points = np.array(curve)
            last = np.searchsorted(points[:, 0], np.arange(most + 1), side="right") - 1
            total += points[last, 1:]
    return np.asarray(total[:, 0] / np.maximum(total[:, 1], 1))


def draw(found: dict[str, list[dict[str, Any]]], path: Path, accepts: float) -> None:
    """Plot the Dice against the strokes that each B-scan gets at most."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams |= {"svg.hashsalt": "effort", "svg.fonttype": "none"}
    counts = [s for rows in found.values() for row in rows for s in row["strokes"]]
    most = int(np.percentile(counts, 99))
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for way, rows in found.items():
        axes.plot(pooled(rows, most), label=way, color=_COLOURS[list(WAYS).index(way)])
    axes.axhline(accepts, color="0.7", linewidth=0.8, zorder=0)
    axes.set(xlabel="strokes in each B-scan, at most", ylabel="Dice, pooled", ylim=(0, 1))
    axes.set_xlim(0, most)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
