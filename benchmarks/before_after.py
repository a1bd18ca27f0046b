"""Whether a change made something slower: two trees of this project, beside each other in one run.

    git worktree add ../before main
    python benchmarks/before_after.py ../before

Each tree has a process of its own that stays; seconds are of its processor time. What is compared
takes turns, round by round, and the ratio after : before is taken within a round, so that a busy
minute hits both. Segmentations are by a shipped model, all of ``Segmenter.segment``, with the
card's own setting, with 2 steps and coherent draws, and around edits; training steps are those of
`benchmarks/training.py`. Models and images are the same; the last column tells whether what came
out is, too, to the bit.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()


def works(folder: Path, side: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    import torch

    import spad
    from spad import phantom
    from spad.checkpoint import InputConfig
    from spad.inference.segmenter import Segmenter
    from spad.train.data import write_folder
    from spad.train.data.phantoms import phantom_cases
    from spad.train.data.samples import Samples, batches
    from spad.train.loop.preparation import prepare
    from spad.train.loop.state import start
    from training import on, settings, training_step

    shipped = spad.load("oct-phantom", "cpu")

    def model(**sampling: Any) -> Segmenter:
        card = dataclasses.replace(
            shipped.card,
            input=InputConfig(size=(side, side)),
            sampling=dataclasses.replace(shipped.card.sampling, **sampling),
        )
        return Segmenter(card, shipped._model.network, torch.device("cpu"))

    def learnt(segmenter: Segmenter) -> np.ndarray:
        return segmenter._model.network.encoder.head.weight.detach().numpy()

    drawn = phantom.bscan(3, shape=(side, side))
    clamp = np.full(drawn.image.shape, 255, np.uint8)
    clamp[side // 2 : side // 2 + 4, side // 4 : side // 2] = 2
    edits = {"clamp": clamp, "start": np.zeros_like(clamp), "t0": 60}
    own, two = model(), model(steps=2, grid="uniform", times=None, coherence_px=32)
    found: dict[str, Callable[[], Any]] = {
        "1 sample": lambda: own.segment(drawn.image, samples=1).labels,
        "8 samples": lambda: own.segment(drawn.image, samples=8).samples,
        "8 samples, coherent": lambda: two.segment(drawn.image, samples=8).samples,
        "8 samples around edits": lambda: own.segment(drawn.image, samples=8, **edits).samples,
        "lesson of 2 steps": lambda: learnt(own.learn([drawn.image], [drawn.labels], steps=2)),
    }
    args = SimpleNamespace(size=(128, 192), batch=2)
    cases = phantom_cases(4, 2, size=args.size)
    write_folder(folder / "cases", cases, dict(enumerate(phantom.CLASS_NAMES)))
    for kind in ("cached", "unet"):
        config = settings(folder, kind, args, "data.workers=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the few cases of a benchmark
            prepared = prepare(config)
            run = start(config, prepared.card.classes, torch.device("cpu"))
        samples = Samples(config, prepared.training, [c.name for c in prepared.card.classes])
        batch = on(next(batches(samples, config, 0, torch.device("cpu"))), torch.device("cpu"))
        found[f"training step, {kind}"] = lambda c=config, r=run, b=batch: training_step(
            c, r, b, torch.device("cpu")
        )
    return found


def serve(side: int) -> None:
    """Answer each name that comes in with its seconds and what came out."""
    with tempfile.TemporaryDirectory() as folder:
        known = works(Path(folder), side)
        print(json.dumps(list(known)), flush=True)
        for line in sys.stdin:
            began = time.process_time()
            came = known[line.strip()]()
            took = time.process_time() - began
            what = "" if came is None else hashlib.sha256(np.ascontiguousarray(came)).hexdigest()
            print(json.dumps([took, what]), flush=True)


class Tree:
    """A tree's process."""

    def __init__(self, root: Path, side: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), "--serve", "--side", str(side)],
            env=os.environ | {"PYTHONPATH": f"{root / 'training'}{os.pathsep}{root}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names: list[str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("a tree's process ended; what it said stands above")
        return json.loads(line)

    def time(self, name: str) -> tuple[float, str]:
        """Seconds of a work, and what came out."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        took, what = self._answer()
        return took, what


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, nargs="?", help="the tree to compare this one with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--side", type=int, default=256, help="of the images, pixels")
    parser.add_argument("--only", default="", help="works with this in their name")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.side)
    if args.before is None:
        parser.error("name the tree to compare with")
    from timing import spread, text

    trees = [Tree(args.before.resolve(), args.side), Tree(HERE.parents[1], args.side)]
    print(f"{args.rounds} rounds, {args.side} x {args.side}\n")
    print("| | before, s | after, s | after : before | equal |\n|---|---|---|---|---|", flush=True)
    for name in (n for n in trees[1].names if args.only in n):
        timed: list[list[float]] = [[], []]
        seen = []
        for number in range(args.rounds + 1):
            for which in (0, 1) if number % 2 else (1, 0):  # neither always goes first
                took, what = trees[which].time(name)
                if number:  # the first warms up
                    timed[which].append(took)
                else:
                    seen.append(what)
        ratio = spread([after / before for before, after in zip(*timed, strict=True)])
        before, after = (text(spread(each)) for each in timed)
        equal = "" if not seen[0] else str(seen[0] == seen[1])
        print(f"| {name} | {before} | {after} | {text(ratio)} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
