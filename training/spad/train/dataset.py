"""Training samples: sample n of a run, from its case to arrays on the training frame."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from spad.frame import frame_of, normalise
from spad.labels import IGNORE
from spad.train import augment
from spad.train.cases import Case, read_image, read_labels
from spad.train.config import Config
from spad.train.draws import case_of, generator
from spad.train.fragments import structure_scales
from spad.train.parallel import ALONE, Group
from spad.train.semantic import target_map

__all__ = ["Batch", "Samples", "batches"]

Batch = dict[str, Tensor]
"""``number`` int64 (B,); ``image`` float32 (B, 1, H, W) in [-1, 1]; ``labels``, ``targets`` uint8
(B, H, W); with ``adapt`` also ``scales`` float32 (B, 256) of the structures; with decoys all but
the image also as ``decoy_labels`` and so on, another case's."""

_CACHED_CASES = 1024  # decoded cases that a worker keeps, about 0.5 MB each


class Samples(Dataset[dict[str, Any]]):
    """Sample n of a run, for any n.

    Parameters
    ----------
    config : Config
    cases : sequence of (Case, array)
        Each case with the table that maps its values to classes.
    names : sequence of str
        The model's classes.
    """

    def __init__(
        self, config: Config, cases: Sequence[tuple[Case, NDArray[np.uint8]]], names: Sequence[str]
    ) -> None:
        self._config = config
        self._cases = list(cases)
        self._swap = augment.swap_table(config.augmentation, names)
        self._decoded = lru_cache(maxsize=_CACHED_CASES)(self._decode)
        self._holders: list[NDArray[np.intp]] = []
        if config.data.balance:
            shown = [np.bincount(read_labels(*c).ravel(), minlength=256) > 0 for c in self._cases]
            table = np.array(shown)[:, 1 : len(names)]
            self._holders = [np.flatnonzero(column) for column in table.T if column.any()]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_decoded"}  # no cache is sent

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._decoded = lru_cache(maxsize=_CACHED_CASES)(self._decode)

    def __len__(self) -> int:
        return len(self._cases)

    def _decode(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image and label map of a case at the network's scale."""
        case, table = self._cases[index]
        image, labels = read_image(case), read_labels(case, table)
        frame = frame_of((image.shape[0], image.shape[1]), self._config.input, 1)
        scaled = frame.scale(normalise(image, self._config.input))
        return scaled, frame.labels(labels, IGNORE)

    def _case(self, n: int) -> int:
        return case_of(
            self._config.seed,
            n,
            len(self._cases),
            balance=self._config.data.balance,
            holders=self._holders,
        )

    def cases_of(self, numbers: Iterable[int]) -> list[str]:
        """Names of the cases that samples are drawn from, each once."""
        return list(dict.fromkeys(self._cases[self._case(n)][0].name for n in numbers))

    def _labels(self, labels: NDArray[np.uint8], matrix: Any, mirrored: bool) -> NDArray[np.uint8]:
        warped = augment.warp(labels, matrix, self._config.input.size, labels=True)
        return self._swap[warped] if mirrored else warped

    def __getitem__(self, n: int) -> dict[str, Any]:
        config, size = self._config, self._config.input.size
        rng = generator(config.seed, n, "augmentation")
        image, labels = self._decoded(self._case(n))
        matrix, mirrored = augment.warp_matrix(config.augmentation, labels.shape, size, rng)
        warped = self._labels(labels, matrix, mirrored)
        out = {
            "number": n,
            "image": augment.tone(
                augment.warp(image, matrix, size, labels=False), config.augmentation, rng
            )[None],
            "labels": warped,
        }
        if config.method == "spad":
            out |= self._what_to_perturb(warped)
            if config.perturbation.decoys:
                rng = generator(config.seed, n, "decoy")
                other = self._decoded(int(rng.integers(len(self._cases))))[1]
                matrix, mirrored = augment.warp_matrix(config.augmentation, other.shape, size, rng)
                decoy = self._labels(other, matrix, mirrored)
                # "Shifted": rolled by any distance, so that it lies on other anatomy.
                decoy = np.roll(decoy, (rng.integers(size[0]), rng.integers(size[1])), axis=(0, 1))
                out["decoy_labels"] = decoy
                out |= {f"decoy_{k}": x for k, x in self._what_to_perturb(decoy).items()}
        return out

    def _what_to_perturb(self, labels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        p = self._config.perturbation
        found: dict[str, NDArray[Any]] = {"targets": target_map(labels, p.targets)}
        if p.adapt:
            found["scales"] = structure_scales(labels, p.adapt_area)
        return found


class _Share(Sampler[int]):
    """A process's share of the samples from ``first`` on, up to ``last``.

    Of every ``whole`` samples in a row, process r has the r-th block of ``own``.
    """

    def __init__(self, first: int, last: int, whole: int, own: int, rank: int) -> None:
        self._starts = range(first + rank * own, last, whole)
        self._own = own

    def __iter__(self) -> Iterator[int]:
        return (n for start in self._starts for n in range(start, start + self._own))

    def __len__(self) -> int:
        return len(self._starts) * self._own


def batches(
    samples: Samples, config: Config, step: int, device: torch.device, group: Group = ALONE
) -> Iterator[Batch]:
    """Batches of the steps from ``step`` to the last, prepared by workers.

    Parameters
    ----------
    samples : Samples
    config : Config
    step : int
        Steps done.
    device : torch.device
        For which the batches are; they come on the CPU, pinned for CUDA.
    group : Group
        The processes that share each batch; this one gets its part of each micro-batch, one after
        the other.
    """
    size, workers = config.optimiser.batch, config.data.workers
    micro = size // config.optimiser.accumulate
    loader: DataLoader[dict[str, Any]] = DataLoader(
        samples,
        batch_size=size // group.size,
        sampler=_Share(
            step * size, config.optimiser.steps * size, micro, micro // group.size, group.rank
        ),
        num_workers=workers,
        # A fork of a process with threads (OpenMP, Qt) can hang for ever.
        multiprocessing_context="spawn" if workers else None,
        pin_memory=device.type == "cuda",
        persistent_workers=False,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker,
    )
    return iter(loader)


def _quiet_worker(_: int) -> None:
    # Ctrl-C and torchrun's SIGTERM reach the workers too; the trainer ends them, having saved.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
