"""How long Slicer's window stands still during a run: the longest and the usual step of a timer.

    OMP_NUM_THREADS=2 python benchmarks/slicer_steps.py

A phantom volume is segmented through the module on slicer-core, as its timer does it: between two
steps the window draws and takes clicks. Told apart are the steps of the sampler, the first one that
opens the model (with PyTorch's import the first time), and the making of the result's nodes.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "slicer"))

from scene import new_scene

from spad.annotation import RunProgress
from spad.checkpoint.safetensors_file import shipped
from spad.inference.hosts import Engine
from SPADLib.desk.run import Request, events
from SPADLib.read import make_phantom
from SPADLib.scene.image_source import guessed_layout, open_source
from SPADLib.scene.result import Result

SHAPES = ((19, 496, 512), (1, 2048, 2048))
ROUNDS = 3


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
    main()
