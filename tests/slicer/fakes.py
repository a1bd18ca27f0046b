"""Runs without a model, for tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spad.labels import label_classes
from spad.result import Segmentation

CLASSES = label_classes(["background", "SRF", "IRF", "PED"])


def run_of(
    labels: np.ndarray, *, samples: Sequence[np.ndarray] = (), uncertainty: Any = 0.0, **made: Any
) -> Segmentation:
    """A segmentation (n, H, W) as a run of the engine gives it."""
    doubt = np.broadcast_to(np.asarray(uncertainty, np.float16), labels.shape)
    return Segmentation(
        labels=labels,
        samples=np.stack([labels, *samples]),
        uncertainty=doubt,
        probability=np.stack([(labels == c.value) for c in CLASSES]).astype(np.float16),
        classes=CLASSES,
        spacing_mm=None,
        provenance={
            "checkpoint": {"name": "fake", "sha256": "0" * 64},
            "seed": 0,
            "steps": 2,
            "samples": 1 + len(samples),
            "image_sha256": "f" * 64,
            **made,
        },
    )
