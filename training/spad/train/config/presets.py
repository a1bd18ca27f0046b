"""What a preset sets, and what a kind of network does, where the file says nothing.

The preset ``default`` is what serves the user best, as measured; ``paper`` is the SPAD paper, and
CCDM where that is silent (docs/method.md, sections 1 to 7).
"""

from __future__ import annotations

from typing import Any

__all__ = ["KINDS", "PRESETS"]

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "perturbation": {
            "targets": "structures", "curve": "paper", "clean": 0.0, "decoys": False,
        },
        "loss": {
            "cross_entropy": 0.0, "dice": 0.0, "encoder_cross_entropy": 0.0,
            "encoder_dice": 0.0, "at_T": 0.0, "recycled": 0.0,
        },
        "optimiser": {"learning_rate": 1e-4, "weight_decay": 1e-5, "warmup": 0, "fall": False},
        "sampling": {"steps": 250, "first": "denoiser"},
    },
}  # fmt: skip


KINDS: dict[str, dict[str, Any]] = {
    "concat": {"network": {"widths": [32, 32, 64, 64, 128, 128]}},  # CCDM's at 256
    "dynunet": {"network": {"widths": [32, 64, 128, 256, 512, 512]}},  # nnU-Net's at 128
    "swin-unet": {"network": {"widths": [96, 192, 384, 768], "blocks": 2}},
    "trans-unet": {"network": {"widths": [64, 256, 512, 1024, 768], "blocks": 12}},  # R50-ViT-B/16
    "msa": {"network": {"widths": [768, 256], "blocks": 12}},  # SAM's ViT-B
    "d-lka": {"network": {"widths": [96, 192, 384, 768], "blocks": 2}},
}
