"""Memory of a stack's segmentation against the number of slices, and of a large image in tiles.

    python benchmarks/stacks.py oct-phantom --slices 16 512 --size 256 384
    python benchmarks/stacks.py oct-phantom --seams 4

Each stack is run in a process of its own, read lazily (one phantom B-scan, shifted by the slice's
number). ``anonymous``: the largest memory of the process apart from files in it, sampled after each
slice; ``resident``: the largest of all, pages of mapped result files included, which the system
takes back at need. ``--seams`` instead compares tiled with untiled label maps of tall phantoms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


class Shifted:
    """A lazy stack of one B-scan, shifted anew for each slice."""

    def __init__(self, plane: np.ndarray, depth: int) -> None:
        self.plane, self.shape, self.dtype = plane, (depth, *plane.shape), plane.dtype

    def __getitem__(self, z: int) -> np.ndarray:
        return np.roll(self.plane, z, axis=1)


def anonymous_mb() -> float:
    """Memory of this process apart from files (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def one_stack(args: argparse.Namespace, depth: int) -> dict[str, Any]:
    """Segment a stack in this process."""
    import resource

    import spad
    from spad import phantom
    from spad.inference import drained

    plane = phantom.bscan(0, shape=tuple(args.size)).image
    segmenter = spad.load(args.model, device=args.device)
    peak, began = anonymous_mb(), time.perf_counter()
    loaded = peak

    def look(step: spad.Step) -> None:
        nonlocal peak
        if step.labels is not None:
            peak = max(peak, anonymous_mb())

    run = segmenter.steps(Shifted(plane, depth), samples=args.samples, steps=args.steps)
    result = drained(run, look)
    return {
        "slices": depth,
        "anonymous, model loaded MB": loaded,
        "anonymous MB": peak,
        "resident MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "results MB": (result.samples.nbytes + 3 * result.labels.nbytes) / 2**20,
        "samples in a file": isinstance(result.samples, np.memmap),
        "s a slice": (time.perf_counter() - began) / depth,
    }


def seams(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Share of pixels that tiles change, for tall phantoms of several looks."""
    import spad
    from spad import phantom
    from spad.inference.memory_ladder import Limits
    from spad.inference.segmenter import Segmenter

    whole = spad.load(args.model, device=args.device)
    tiled = Segmenter(
        whole.card, whole._model.network, whole.device, limits=Limits(grid_px=1, tile_px=args.tile)
    )
    rows = []
    for seed in range(args.seams):
        image = phantom.bscan(9000 + seed, shape=(1024, 384), randomise=seed % 2 == 1).image
        rows.append({"phantom": 9000 + seed})
        labels = []
        for name, segmenter in (("untiled s", whole), ("tiled s", tiled)):
            began = time.perf_counter()
            out = segmenter.segment(image, samples=args.samples, steps=args.steps)
            rows[-1][name] = time.perf_counter() - began
            labels.append(out.labels)
        rows[-1]["structures %"] = 100 * (labels[0] > 0).mean()
        rows[-1]["differ %"] = 100 * (labels[0] != labels[1]).mean()
        if args.pictures:
            from PIL import Image

            parts = [image, *(part * 40 for part in labels), (labels[0] != labels[1]) * 255]
            picture = np.concatenate([np.asarray(part, np.uint8) for part in parts], axis=1)
            Image.fromarray(picture).save(args.pictures / f"seams-{9000 + seed}.png")
    return rows


def main() -> None:
    """Print a table and, if asked for, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--slices", type=int, nargs="+", default=[16, 512])
    parser.add_argument("--size", type=int, nargs=2, default=(256, 384), metavar=("H", "W"))
    parser.add_argument("--samples", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seams", type=int, default=0, metavar="N", help="that many phantoms")
    parser.add_argument("--tile", type=int, default=256, help="side of a tile, for --seams (256)")
    parser.add_argument("--pictures", type=Path, help="folder of pictures, for --seams")
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_stack(args, args.one)))
        return
    if args.seams:
        rows = seams(args)
    else:
        rows = []
        for depth in args.slices:
            line = [sys.executable, __file__, *sys.argv[1:], "--one", str(depth)]
            run = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(run.stdout.splitlines()[-1]))
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        cells = (f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values())
        print("| " + " | ".join(cells) + " |")
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
