r"""Perturbations that leave no trace of the label, in place of noise, which does.

    python benchmarks/attempts.py JSRT --out runs/attempts --seeds 0 1 2
    python benchmarks/attempts.py JSRT --out runs/attempts --seeds 0 1 2 --cases 20

A network can find noise that lies on the label (docs/results.md, Ablation). In turn, in the
paper's settings: `baseline` perturbs nothing; `texture` fills ScD's and BcD's pixels from around
them instead, with fine structure from elsewhere in the image, no anchors; `displaced` lays the
noise on soft outlines of the label, moved by up to an eighth of the image; and `+all` is noise with
our switches against leakage. Scored on the validation images as they are, with noise, and blurred.
What is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from spad.chain import draws
from spad.commands.command_line import main as spad
from spad.train.config import Perturbation
from spad.train.method import perturbed_image
from spad.train.method.perturbed_image import Batch, perturbed_pixels

_PAPER = (
    "perturbation.curve=paper",
    "perturbation.clean=0",
    "perturbation.decoys=false",
    "perturbation.targets=structures",
)
_NONE = ("perturbation.semantic=false", "perturbation.boundary=false")
_SMALL = (
    "network.widths=[16,32,48,80,96]",
    "network.denoiser_widths=[24,48,64]",
    "optimiser.steps=300",
    "validation.every=300",
    "data.workers=0",
)
_FARTHEST = 8  # of 64: a label is moved by up to this share of the image's sides
_NOISE = 0.2  # standard deviation on images in [-1, 1]
_BLUR = 1 / 64  # standard deviation, of the image's width
_GREYS = 255 / 2  # of an 8-bit image, one unit of [-1, 1]

Noisy = Callable[[Perturbation, Batch, float, int, int, list[int]], Tensor]


def main() -> None:
    """Train and score all arms, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the chest X-rays' case folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", type=int, help="train on so many (all)")
    args = parser.parse_args()
    train = part(args.folder, args.out, args.cases)
    tests = {
        "as they are": args.folder,
        "noisy": changed(args.folder, args.out / "noisy", with_noise),
        "blurred": changed(args.folder, args.out / "blurred", blurred),
    }
    rows = {arm: [scores(args, train, tests, arm, seed) for seed in args.seeds] for arm in arms()}
    print(f"| training cases: {args.cases or 'all'} | " + " | ".join(tests) + " |")
    print("|---|" + "---|" * len(tests))
    for arm, found in rows.items():
        print(f"| {arm} | " + " | ".join(spread([f[t] for f in found]) for t in tests) + " |")
    for arm in list(rows)[1:]:
        less = [
            spread([100 * (f[t] - b[t]) for f, b in zip(rows[arm], rows["baseline"], strict=True)])
            for t in tests
        ]
        print(f"| {arm} less baseline, points | " + " | ".join(less) + " |")


def arms() -> dict[str, tuple[tuple[str, ...], Noisy | None]]:
    """Words of each arm, and what takes the noise's place."""
    return {
        "baseline": (_NONE, None),
        "+all": ((), None),
        "texture": ((*_PAPER, "perturbation.anchors=0"), textured),
        "displaced": (_PAPER, displaced),
    }


def scores(
    args: argparse.Namespace, train: Path, tests: dict[str, Path], arm: str, seed: int
) -> dict[str, float]:
    """Pooled mean Dice of a run on each set of validation images."""
    words, instead = arms()[arm]
    run = args.out / f"{arm}-{args.cases or 'all'}-{seed}"
    own = perturbed_image._noisy
    perturbed_image._noisy = instead or own
    try:
        if not (run / "scores.json").exists():
            config = Path(__file__).parent.parent / "training/configs/jsrt.toml"
            spad(
                [
                    *("train", str(config), "--out", str(run), f"seed={seed}"),
                    *(*_SMALL, *words, f"data.folders={json.dumps([str(train.resolve())])}"),
                ]
            )
    finally:
        perturbed_image._noisy = own
    found = {}
    for name, folder in tests.items():
        report = run / f"{name}.json"
        if not report.exists():
            model = str(run / "latest.safetensors")
            spad(["evaluate", model, str(folder), "--samples", "8", "-o", str(report)])
        found[name] = json.loads(report.read_text())["mean"]["dice_pooled"]["value"]
    (run / "scores.json").write_text(json.dumps(found))
    return found


def textured(
    config: Perturbation, batch: Batch, sigma: float, count: int, seed: int, numbers: list[int]
) -> Tensor:
    """The perturbed pixels, as far as sigma goes, as if what is around them went on there."""
    image = batch["image"]
    where = perturbed_pixels(
        config, batch["labels"], batch["targets"], count, seed=seed, numbers=numbers, of="own"
    ).unsqueeze(1)
    seen = (~where).float()
    filled = image.mean((2, 3), keepdim=True).expand_as(image)
    for width in (16, 8, 4, 2):  # from coarse to fine, as far as there is something near enough
        weight = smooth(seen, width)
        filled = torch.where(weight > 0.05, smooth(image * seen, width) / (weight + 1e-6), filled)
    fine = image - smooth(image, 2)
    u = draws.uniform(draws.keys(seed, numbers, "texture"), (2,))
    size = torch.tensor(image.shape[2:])
    moved = [
        each.roll(tuple(int(x) for x in (0.25 + 0.5 * at) * size), (1, 2))
        for each, at in zip(fine, u, strict=True)
    ]
    share = min(1.0, sigma)
    return torch.where(where, image + share * (filled + torch.stack(moved) - image), image)


def displaced(
    config: Perturbation, batch: Batch, sigma: float, count: int, seed: int, numbers: list[int]
) -> Tensor:
    """Noise on the label's soft outlines, each image's moved by a random step."""
    image = batch["image"]
    where = perturbed_pixels(
        config, batch["labels"], batch["targets"], count, seed=seed, numbers=numbers, of="own"
    ).float()
    u = draws.uniform(draws.keys(seed, numbers, "displaced"), (2,)) * 2 - 1
    size = torch.tensor(image.shape[2:]) * _FARTHEST / 64
    moved = [
        each.roll(tuple(int(x) for x in at * size), (0, 1))
        for each, at in zip(where, u, strict=True)
    ]
    share = smooth(torch.stack(moved).unsqueeze(1), 2)
    noise = draws.normal(draws.keys(seed, numbers, "perturbation"), image.shape[1:])
    return image + sigma * share * noise


def smooth(x: Tensor, width: float) -> Tensor:
    """Maps (B, 1, H, W) through a Gaussian of that standard deviation in pixels."""
    reach = int(3 * width)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1.0) / width) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), kernel)
    x = F.pad(x, (0, 0, reach, reach), mode="replicate")
    return F.conv2d(x, kernel.transpose(2, 3))


def part(folder: Path, out: Path, count: int | None) -> Path:
    """The folder, or one like it with ``count`` of its training cases, evenly taken."""
    if count is None:
        return folder
    target = out / f"{count}-cases"
    split = json.loads((folder / "split.json").read_text())
    names = split["train"]["images"]  # one of each patient
    kept = [names[i * len(names) // count] for i in range(count)]
    split["train"] = {"patients": kept, "images": kept}
    target.mkdir(parents=True, exist_ok=True)
    for name in ("images", "masks"):
        if not (target / name).exists():
            (target / name).symlink_to((folder / name).resolve())
    shutil.copy(folder / "labels.json", target)
    (target / "split.json").write_text(json.dumps(split))
    return target


def changed(folder: Path, target: Path, change: Callable[[np.ndarray, int], np.ndarray]) -> Path:
    """A copy of the folder whose images are changed."""
    if not (target / "images").exists():
        made = target / "images.part"
        made.mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(sorted((folder / "images").glob("*.png"))):
            grey = np.asarray(Image.open(path).convert("L")).astype(np.float32)
            out = change(grey, number).clip(0, 255).round().astype(np.uint8)
            Image.fromarray(out).save(made / path.name)
        (target / "masks").symlink_to((folder / "masks").resolve())
        for name in ("labels.json", "split.json"):
            shutil.copy(folder / name, target)
        made.rename(target / "images")
    return target


def with_noise(grey: np.ndarray, number: int) -> np.ndarray:
    """Noise of the size of a network's pixel, so that scaling does not average it away."""
    height, width = grey.shape
    noise = np.random.default_rng(number).normal(size=(height // 4, width // 4))
    large = cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(grey + _NOISE * _GREYS * large)


def blurred(grey: np.ndarray, number: int) -> np.ndarray:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), _BLUR * grey.shape[1]))


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    digits = 1 if max(abs(v) for v in values) > 1 else 3
    return f"{statistics.fmean(values):.{digits}f} ± {deviation:.{digits}f}"


if __name__ == "__main__":
    main()
