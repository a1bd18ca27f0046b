"""How long Slicer's window stands still during a run: the longest and the usual step of a timer.

    OMP_NUM_THREADS=2 python benchmarks/slicer_steps.py [--autosave]

A phantom volume is segmented through the module on slicer-core, as its timer does it: between two
steps the window draws and takes clicks. Told apart are the steps of the sampler, the first one that
opens the model (with PyTorch's import the first time), and the making of the result's nodes.
`--autosave`: what autosave takes of 100 B-scans of 512 x 512, in processor time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "slicer"))

from fakes import paint, run_of
from scene import add_volume, new_scene

from spad.annotation import RunProgress
from spad.autosave import AutosavedLayer
from spad.cases import Layout
from spad.checkpoint import shipped
from spad.inference.hosts import Engine
from SPADLib.desk.run import Request, events
from SPADLib.keep.saved_result import SavedResult
from SPADLib.read import make_phantom
from SPADLib.scene.image_source import guessed_layout, open_source
from SPADLib.scene.result import Result

SHAPES = ((19, 496, 512), (1, 2048, 2048))
ROUNDS = 3


def autosave() -> None:
    """Print what a look and a write take, after a run and after a stroke."""
    new_scene()
    depth, side = 100, 512
    rows, columns = np.ogrid[:side, :side]
    disc = ((rows - 256) / 90) ** 2 + ((columns - 256) / 160) ** 2
    labels = np.repeat(((disc < 1).astype(np.uint8) + (disc < 0.2))[None], depth, 0)
    volume = add_volume(np.zeros(labels.shape, np.uint8), spacing=(0.1, 0.004, 0.01))
    samples = [np.roll(labels, n, 2) for n in range(7)]
    made = Result.create(volume, Layout(), run_of(labels, samples=samples, uncertainty=0.25))
    with tempfile.TemporaryDirectory() as folder:
        saved = SavedResult(made, AutosavedLayer(Path(folder)))

        def ms(act: Callable[[], object]) -> float:
            began = time.thread_time()
            act()
            return 1000 * (time.thread_time() - began)

        first, steps, files = ms(lambda: saved.look(made.labels())), [], saved.writes()
        while saved.waiting:
            steps.append(ms(lambda: next(files, None)))
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        print(f"after a run: looked at in {first:.0f} ms, {size:.1f} MB written in {len(steps)} "
              f"steps of {statistics.median(steps):.0f} ms, {max(steps):.0f} at most")  # fmt: skip
        looks, writes = [], []
        for z in range(9):
            paint(made, z, slice(3, 9), slice(3, 99), 2)
            now = made.labels()
            looks.append(ms(lambda: saved.look(now)))  # noqa: B023 - called at once
            writes.append(ms(lambda: list(saved.writes())))
        print(f"after a stroke: looked at in {statistics.median(looks):.1f} ms (labels at hand), "
              f"written in {statistics.median(writes):.1f}")  # fmt: skip


def main() -> None:
    """Run."""
    new_scene()
    opened: list[float] = []
    for shape in SHAPES:
        volume, _ = make_phantom(shape=shape)
        source = open_source(volume, guessed_layout(volume)[0])
        for model in ("oct-lesions", "oct-phantom"):
            steps: list[float] = []
            made: list[float] = []
            for _ in range(ROUNDS):
                ask = Request(Path(shipped()[model]), "cpu", range(source.depth))
                last = time.perf_counter()
                for event in events(Engine.spad(), ask, source):
                    took, last = time.perf_counter() - last, time.perf_counter()
                    (steps if isinstance(event, RunProgress) else opened).append(1000 * took)
                began = time.perf_counter()
                Result.create(volume, source.layout, event.segmentation)
                made.append(1000 * (time.perf_counter() - began))
            print(
                f"{' x '.join(map(str, shape))}, {model}: steps of {statistics.median(steps):.0f} "
                f"ms (median of {len(steps)}), the longest {max(steps):.0f} ms; nodes made in "
                f"{statistics.median(made):.0f} ms"
            )
    print(f"opening, with PyTorch the first time: {max(opened):.0f} ms")


if __name__ == "__main__":
    autosave() if "--autosave" in sys.argv else main()
