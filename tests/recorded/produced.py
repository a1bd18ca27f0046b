"""What version 0.1 produces: draws, label maps and a short training run.

``python tests/recorded/produced.py`` writes the record beside this file. That was done once, with
version 0.1: recorded anew, it would prove nothing. `tests/unit/test_recorded.py` compares. Only
oct-lesions was recorded once more, when it became another model, and the label maps of both when
the answer became the mean of what the chains tell, when coherent draws came in blocks, and when a
CPU read the probabilities without space-to-depth, which rounds otherwise: no label changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import spad
from spad import phantom
from spad.chain import draws
from spad.chain.coherent_draws import coherent_draw, field_words, smooth_normal

__all__ = [
    "HERE",
    "MODELS",
    "OPENCV",
    "RECORDED_ON",
    "drawn",
    "label_maps",
    "machine",
    "perturbed",
    "trained",
]

HERE = Path(__file__).parent
RECORDED_ON = {"torch": "2.13.0+cpu", "cpu": "AVX512", "threads": "1"}
"""What the record and the files of 0.1 were made on."""
OPENCV = 5
"""The OpenCV of the record: version 4 warps and resizes pictures by other weights."""
MODELS = ("oct-phantom", "oct-lesions")
SIZE = (64, 96)
CONFIG = """
name = "recorded"
seed = 5
[data]
folders = ["set"]
workers = 0
balance = 0.5
[input]
size = [64, 96]
[network]
widths = [8, 16, 16]
blocks = 1
denoiser_widths = [8, 16]
time_width = 16
[perturbation]
radius = 2
[optimiser]
steps = 6
batch = 4
warmup = 2
[validation]
before = true
every = 1
save_every = 6
samples = 2
steps = 2
[sampling]
samples = 2
"""
SAMPLES = 6  # numbers of the training samples whose pixels are recorded: 0 and on


def machine() -> dict[str, str]:
    """What rounding depends on."""
    return {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),  # what OpenMP began with, not what it has
    }


def summary(array: Any) -> dict[str, Any]:
    """Check sum of the bytes, shape and type, the first values and their sum."""
    x = np.ascontiguousarray(array.numpy() if isinstance(array, Tensor) else array)
    return {
        "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
        "shape": list(x.shape),
        "dtype": x.dtype.str,
        "first": x.ravel()[:6].tolist(),
        "sum": float(x.sum(dtype=np.float64)),
    }


# ---------------------------------------------------------------------- draws


def drawn() -> dict[str, dict[str, Any]]:
    """Keyed draws of the sampler, and which case and which generator a training sample gets."""
    from spad.train.data.sample_order import case_of, generator

    keys = draws.keys(7, [0, 3, (2, 5), (1, 0, 99)], "record")
    found: dict[str, Any] = {
        "keys": keys,
        "uniform": draws.uniform(keys, (17, 23)),
        "normal": draws.normal(keys, (17, 23)),
        "smooth normal": smooth_normal(
            torch.from_numpy(field_words(3, [(0, 1), (4, 2)], "record")), (40, 56), 12.5
        ),
    }
    numbers = [(b, n, value) for b in range(2) for n in range(3) for value in range(4)]
    levels = torch.linspace(0.1, 1, 2 * 4 * 40 * 56).view(2, 1, 4, 40, 56).sqrt()
    words = torch.from_numpy(field_words(11, numbers, "record")).view(2, 3, 4, 4)
    for name, length_px in (("coherent draw", 8.0), ("coherent draw in blocks", 24.0)):
        found[name] = coherent_draw(levels / levels.sum(2, keepdim=True), length_px, words)
    holders = [np.array([0, 4, 9]), np.array([2]), np.array([1, 3, 5, 6])]
    found["case order"] = np.array([case_of(5, n, 13) for n in range(60)])
    found["balanced cases"] = np.array(
        [case_of(5, n, 13, balance=0.6, holders=holders) for n in range(60)]
    )
    for purpose in ("augmentation", "decoy", "balance", "phantoms"):
        rng = generator(5, 21, purpose)
        found[f"generator of {purpose}"] = np.append(rng.random(5), rng.integers(0, 1000, 5))
    return {name: summary(x) for name, x in found.items()}


def _batch() -> dict[str, Tensor]:
    """Four phantoms as the trainer gets them, with decoys."""
    from spad.train.method import target_map

    seeds, others = (1, 7, 17, 28), (8, 34, 36, 29)
    own = [phantom.bscan(seed, shape=SIZE) for seed in seeds]
    decoys = [np.roll(phantom.bscan(seed, shape=SIZE).labels, 20, 0) for seed in others]
    image = np.stack([one.image for one in own]).astype(np.float32)[:, None] / 127.5 - 1
    arrays = {"number": np.arange(40, 44), "image": image}
    for prefix, labels in (("", [one.labels for one in own]), ("decoy_", decoys)):
        arrays[f"{prefix}labels"] = np.stack(labels)
        arrays[f"{prefix}targets"] = np.stack([target_map(x, "components") for x in labels])
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def perturbed() -> dict[str, dict[str, Any]]:
    """ScD's targets and anchors, BcD's band, and the image that is trained on."""
    from spad.train.config import Perturbation
    from spad.train.method import intensity, perturb, target_count, target_map
    from spad.train.method.bcd import boundary_band
    from spad.train.method.perturbed_image import perturbed_pixels

    batch, numbers = _batch(), list(range(40, 44))
    config, progress, epoch = Perturbation(), 0.3, 60.0
    count = target_count(config, progress, epoch)
    found: dict[str, Any] = {
        "sigma and K_e": np.array([intensity(config, progress, epoch), count]),
        "targets": batch["targets"],
        "targets by structure": np.stack(
            [target_map(x, "structures") for x in batch["labels"].numpy()]
        ),
        "band": boundary_band(batch["labels"], 2),
    }
    for name, one in (("ScD", Perturbation(boundary=False)), ("BcD", Perturbation(semantic=False))):
        found[f"pixels of {name}"] = perturbed_pixels(
            one, batch["labels"], batch["targets"], 3, seed=9, numbers=numbers, of="own"
        )
    for name, more in (
        ("as the paper", {"curve": "paper", "clean": 0.0, "decoys": False}),
        ("by default", {}),
        ("with a wide band", {"radius": 2}),
    ):
        found[f"image {name}"] = perturb(
            Perturbation(**more), batch, seed=9, progress=progress, epoch=epoch
        )
    return {name: summary(x) for name, x in found.items()}


# ---------------------------------------------------------------------- label maps


def label_maps(model: str) -> dict[str, NDArray[np.uint8]]:
    """Labels, samples and uncertainty (percent) of a shipped model's runs on phantoms."""
    segmenter = spad.load(model, device="cpu")
    one, other = (phantom.bscan(seed, shape=(128, 256)) for seed in (3, 12))
    pair = phantom.stack(5, shape=(2, 96, 160))
    square = np.zeros(one.labels.shape, bool)
    square[40:100, 60:200] = True
    fixed = np.full(one.labels.shape, 255, np.uint8)
    fixed[60:70, 100:130], fixed[80:84, 140:180] = 1, 0
    start = np.where(one.labels < len(segmenter.card.classes), one.labels, 0).astype(np.uint8)
    runs = {
        "seed 0": segmenter.segment(one.image, samples=3, seed=0),
        "seed 23": segmenter.segment(other.image, samples=3, seed=23),
        "around edits": segmenter.segment(
            one.image, samples=3, seed=4, clamp=fixed, region=square, start=start
        ),
        "stack": segmenter.segment(pair.image, samples=3, seed=1, first_slice=6, current=7),
    }
    found = {}
    for name, run in runs.items():
        found[f"{name}: labels"] = run.labels
        found[f"{name}: samples"] = run.samples
        percent = np.rint(run.uncertainty.astype(np.float32) * 100)
        found[f"{name}: uncertainty"] = percent.astype(np.uint8)
    return found


# ---------------------------------------------------------------------- training


def trained(folder: Path) -> dict[str, Any]:
    """A few steps of a tiny network on phantoms, perturbed in every way: what came of it."""
    from spad import checkpoint
    from spad.annotation import read_progress
    from spad.cases import NewCase
    from spad.train.config import load_config
    from spad.train.data import Samples, write_folder
    from spad.train.loop import prepare, train

    torch.set_num_threads(1)
    made = [phantom.bscan(seed, shape=SIZE) for seed in (1, 7, 17, 28, 8, 34)]
    cases = [
        NewCase(f"p{i}", one.image, one.labels, split="train" if i < 4 else "val", patient=f"P{i}")
        for i, one in enumerate(made)
    ]
    write_folder(folder / "set", cases, dict(enumerate(phantom.CLASS_NAMES)))
    path = folder / "recorded.toml"
    path.write_text(CONFIG, "utf-8")
    config = load_config(path)
    prepared = prepare(config)
    samples = Samples(
        config,
        prepared.training,
        [c.name for c in prepared.card.classes],
        judged=prepared.judged,
        shown=prepared.shown,
        values=prepared.values,
    )
    numbers = range(SAMPLES)
    each = {name: np.stack([samples[n][name] for n in numbers]) for name in samples[0]}
    best = train(config, folder / "run", device="cpu")
    seen = read_progress(folder / "run")
    latest, weights = checkpoint.load(best.with_name("latest.safetensors"))
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name].numpy()).tobytes())
    return {
        "samples": {name: summary(x) for name, x in each.items()},
        "losses": [list(pair) for pair in seen.losses],
        "validations": [
            {
                "step": v.step,
                "images": v.images,
                "patients": v.patients,
                "Dice": {row.name: [row.images, row.dice] for row in (*v.rows, v.mean)},
            }
            for v in seen.validations
        ],
        "best step": checkpoint.read_card(best).scores["validation"]["step"],
        "parameters": sum(x.numel() for x in weights.values()),
        "scores": _plain(latest.scores["validation"]),
        "weights": digest.hexdigest(),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _record() -> None:
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPAD_CACHE"] = f"{folder}/cache"
        content = {
            "drawn": drawn(),
            "perturbed": perturbed(),
            "trained": trained(Path(folder)),
        }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (HERE / "produced.json").write_text(text + "\n", "utf-8")
    for model in MODELS:
        np.savez_compressed(HERE / f"labels-{model}.npz", **label_maps(model))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _record()
