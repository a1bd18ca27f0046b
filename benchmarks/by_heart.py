r"""Whether a network can learn four phantoms by heart: the least that a method must be able to do.

    python benchmarks/by_heart.py d-lka dsc-amp trans-unet msa --steps 900

A row a kind of network: pooled Dice of each structure on the very images that it trained on,
mean, parameters and seconds. 64x96, batch 4, no augmentation, small widths, one seed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from spad import checkpoint, phantom
from spad.cases import NewCase
from spad.train.config import load_config
from spad.train.data import write_folder
from spad.train.loop.loop import train

SEEDS = (1, 7, 17, 28)
"""Phantoms that hold four structures each, all five among them."""
CONFIG = """
name = "by heart"
[data]
folders = ["set"]
workers = 0
[input]
size = [64, 96]
[network]
widths = [16, 32, 32]
denoiser_widths = [16, 32]
time_width = 32
[augmentation]
flip = false
rotate_degrees = 0
zoom = 0
stretch = 0
shift = 0
gamma = 0
contrast = 0
brightness = 0
noise = 0
blur_px = 0
[optimiser]
steps = 600
batch = 4
learning_rate = 3e-3
warmup = 10
[validation]
every = 600
save_every = 600
samples = 2
"""


def four_phantoms(folder: Path) -> Path:
    """Write a configuration that is scored on the very images that it trains on."""
    made = {seed: phantom.bscan(seed, shape=(64, 96)) for seed in SEEDS}
    cases = [
        NewCase(f"{split}-{seed}", one.image, one.labels, split=split, patient=f"{split}-{seed}")
        for seed, one in made.items()
        for split in ("train", "val")
    ]
    write_folder(folder / "set", cases, dict(enumerate(phantom.CLASS_NAMES)))
    (folder / "run.toml").write_text(CONFIG)
    return folder / "run.toml"


def words(kind: str, steps: int, rate: float) -> list[str]:
    """What a network that does not diffuse is trained with, beside the configuration."""
    small = {"swin-unet": ["network.widths=[32, 64]", "network.blocks=2"]}
    return [
        "method=unet", f"network.kind={kind}", *small.get(kind, []), f"optimiser.steps={steps}",
        f"optimiser.learning_rate={rate}", "optimiser.ema=0.98", f"validation.every={steps}",
    ]  # fmt: skip


def main() -> None:
    """Train each kind, and print its row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="+")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--rate", type=float, default=2e-3)
    options = parser.parse_args()
    names = phantom.CLASS_NAMES[1:]
    print(f"| kind | mean | {' | '.join(names)} | s |\n|---|---|{'---|' * len(names)}---|")
    for kind in options.kinds:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            config = load_config(
                four_phantoms(Path(folder)), words(kind, options.steps, options.rate)
            )
            best = train(config, Path(folder) / "run", device="cpu")
            scores = checkpoint.read_card(best).scores["validation"]
        row = [scores["pooled mean Dice"], *(scores["pooled Dice"][name] for name in names)]
        seconds = time.perf_counter() - began
        print(f"| {kind} | {' | '.join(f'{x:.3f}' for x in row)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
