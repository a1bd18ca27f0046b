"""How long measuring takes: a whole stack, and the numbers after a stroke.

    python benchmarks/measuring.py

A phantom's fluid and line in a stack of 128 × 512 × 512 pixels, 8 samples, the fovea in its middle.
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np

import spad
from spad.checkpoint import label_classes
from spad.measuring import LiveMeasures
from spad.phantom import CLASS_NAMES, stack

SHAPE = (128, 512, 512)
SPACING_MM = (0.047, 0.0039, 0.0117)
ROUNDS = 5


def main() -> None:
    """Print medians, least and greatest in milliseconds."""
    classes = label_classes(CLASS_NAMES)
    drawn = stack(7, shape=(16, *SHAPE[1:])).labels
    labels = np.concatenate([drawn] * (SHAPE[0] // len(drawn)))
    samples = np.stack([np.roll(labels, n, axis=1) for n in range(8)])
    where = {"fovea": (64.0, 256.0), "eye": "OD"}
    found: dict[str, list[float]] = {"stack": [], "stack and 8 samples": [], "stroke": []}
    live = LiveMeasures(labels, classes, SPACING_MM, samples=samples)
    live.place((64.0, 256.0), eye="OD")
    live.rows()
    for z in range(ROUNDS):
        for name, more in (("stack", {}), ("stack and 8 samples", {"samples": samples})):
            began = time.perf_counter()
            spad.measure(labels, classes, SPACING_MM, **where, **more)
            found[name].append(time.perf_counter() - began)
        labels[z, 200 : 210 + z, 250:300] = 1
        began = time.perf_counter()
        live.update(z, labels[z])
        live.rows()
        found["stroke"].append(time.perf_counter() - began)
    told = {
        name: {
            "median_ms": round(1000 * statistics.median(times), 1),
            "least_ms": round(1000 * min(times), 1),
            "greatest_ms": round(1000 * max(times), 1),
        }
        for name, times in found.items()
    }
    print(json.dumps({"shape": SHAPE, "structures": len(classes) - 1, **told}, indent=1))


if __name__ == "__main__":
    main()
