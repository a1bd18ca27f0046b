"""A small training set of phantoms and the configuration of a tiny network, for every test here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from spad import phantom
from spad.cases import NewCase
from spad.train.config import load_config
from spad.train.data import write_folder
from spad.train.loop.loop import train
from spad.train.method.perturbed_image import Batch
from spad.train.method.scd import target_map

SIZE = (64, 96)
TINY = """
name = "tiny"
[data]
folders = ["set"]
workers = 0
[input]
size = [64, 96]
[network]
widths = [8, 16, 16]
blocks = 1
denoiser_widths = [8, 16]
time_width = 16
[optimiser]
steps = 6
batch = 2
warmup = 2
[validation]
every = 3
save_every = 2
samples = 1
steps = 2
[sampling]
samples = 1
"""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests, and the processes that they start, out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _write(path: Path) -> Path:
    made = [phantom.bscan(seed, shape=SIZE) for seed in (1, 7, 17, 28, 8, 34)]
    cases = [
        NewCase(f"p{i}", one.image, one.labels, split="train" if i < 4 else "val", patient=f"P{i}")
        for i, one in enumerate(made)
    ]
    write_folder(path / "set", cases, dict(enumerate(phantom.CLASS_NAMES)))
    config = path / "tiny.toml"
    config.write_text(TINY)
    return config


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A configuration beside the case folder ``set``: 4 phantoms train, 2 validate."""
    return _write(tmp_path)


@pytest.fixture(scope="session")
def shared_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for runs that change neither; each trains into a folder of its own."""
    return _write(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def long(shared_tiny: Path) -> Path:
    """The same with 30 steps, for a run that is stopped on its way."""
    path = shared_tiny.with_name("long.toml")
    text = TINY.replace("steps = 6\n", "steps = 30\n").replace("every = 3\n", "every = 15\n", 1)
    path.write_text(text.replace("save_every = 2\n", "save_every = 4\n"))
    return path


@pytest.fixture(scope="session")
def whole(long: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole")
    train(load_config(long), out, device="cpu")
    return out


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., Batch]:
    """Make a batch of phantoms as the trainer gets it: sample n is phantom n, its decoy another."""
    seeds = (1, 7, 17, 28, 8, 34, 36, 29)

    def make(count: int, *, kind: str = "components", first: int = 0) -> Batch:
        numbers = range(first, first + count)
        own = [phantom.bscan(seeds[n % 8], shape=SIZE) for n in numbers]
        labels = [one.labels for one in own]
        others = [
            np.roll(phantom.bscan(seeds[(n + 3) % 8], shape=SIZE).labels, 20, 0) for n in numbers
        ]
        arrays = {
            "number": np.array(numbers),
            "image": np.stack([one.image for one in own]).astype(np.float32)[:, None] / 127.5 - 1,
            "labels": np.stack(labels),
            "targets": np.stack([target_map(one, kind) for one in labels]),
            "decoy_labels": np.stack(others),
            "decoy_targets": np.stack([target_map(one, kind) for one in others]),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return make
