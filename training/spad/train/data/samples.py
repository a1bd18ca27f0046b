"""Training samples: sample n of a run, from its case to arrays on the training frame."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from spad.cases import Case, CaseError
from spad.train.config import Config, Data
from spad.train.data import augmentation
from spad.train.data.cache import Cache
from spad.train.data.decoding import Decoded, Decoder, UnreadableCase
from spad.train.data.inspection import Inspector, shown_classes
from spad.train.data.phantoms import ENDLESS_SEEDS, endless, phantom_table
from spad.train.data.sample_order import case_of, generator
from spad.train.method import Batch, target_map
from spad.train.processes import ALONE, Group

__all__ = ["PHANTOM_EPOCH", "Samples", "batches", "epoch_length"]


_CACHED_CASES = 1024  # decoded cases that a worker keeps, about 0.5 MB each
PHANTOM_EPOCH = 1000
"""Samples that count as an epoch where none ever comes again."""
_STRIPS_FROM = ENDLESS_SEEDS // 4  # numbers of the samples that lend strips of columns
_DECOYS_FROM, _DECOYS = ENDLESS_SEEDS // 2, 64  # phantoms that lend their label maps as decoys


def _epoch(data: Data, cases: Sequence[Case]) -> NDArray[np.intp]:
    """An epoch's draws, indexes of cases: each as often as its folder's weight says."""
    weights = dict(zip(map(Path, data.folders), data.weights, strict=False))
    times = np.array([weights.get(case.folder, 1) for case in cases], np.intp)
    return np.repeat(np.arange(len(times)), times // max(1, np.gcd.reduce(times)))


def epoch_length(data: Data, cases: Sequence[Case]) -> int:
    """Samples of an epoch: of the cases, or of phantoms where there are none."""
    return len(_epoch(data, cases)) or PHANTOM_EPOCH


class Samples(Dataset[dict[str, Any]]):
    """Sample n of a run, for any n.

    Parameters
    ----------
    config : Config
    cases : sequence of (Case, array)
        Each case with the table that maps its values to classes.
    names : sequence of str
        The model's classes.
    judged : array of bool, shape (N, K), optional
        Which classes were looked for in each case; None: all.
    shown : array of bool, shape (N, K), optional
        Which classes each case shows, for ``data.balance``; found out if None.
    values : mapping of Path to mapping of int to str, optional
        ``labels.json`` of the case folders; with it, a label map is checked when it is read.
    """

    def __init__(
        self,
        config: Config,
        cases: Sequence[tuple[Case, NDArray[np.uint8]]],
        names: Sequence[str],
        *,
        judged: NDArray[np.bool_] | None = None,
        shown: NDArray[np.bool_] | None = None,
        values: Mapping[Path, Mapping[int, str]] | None = None,
    ) -> None:
        data = config.data
        self._config = config
        self._cases = list(cases)
        self._swap = augmentation.swap_table(config.augmentation, names)
        cache = Cache() if data.cache else None
        self._read = Decoder(config.input, values or {}, cache)
        self._decoded = lru_cache(maxsize=_CACHED_CASES)(self._decode)
        self._drawn = _epoch(data, [case for case, _ in self._cases])
        self._phantom_table, self._phantom_judged = phantom_table(names)
        if judged is None:
            judged = np.ones((len(self._cases), len(names)), bool)
        partial = not judged.all() or (data.phantoms > 0 and not self._phantom_judged.all())
        self._judged = judged if partial else None
        self._holders: list[NDArray[np.intp]] = []
        if data.balance and self._cases:
            if shown is None:
                shown = shown_classes(self._cases, len(names), Inspector(cache))
            table = (shown & judged)[self._drawn, 1:]
            self._holders = [np.flatnonzero(column) for column in table.T if column.any()]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_decoded"}  # no cache is sent

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._decoded = lru_cache(maxsize=_CACHED_CASES)(self._decode)

    def __len__(self) -> int:
        """Samples of an epoch."""
        return len(self._drawn) or PHANTOM_EPOCH

    def _decode(self, index: int) -> Decoded:
        """Image and label map of a case at the network's scale."""
        return self._read(*self._cases[index])

    def _case(self, n: int) -> int:
        """Index of the case of sample n; -1: a fresh phantom."""
        config = self._config
        share = config.data.phantoms
        if share and generator(config.seed, n, "phantoms").random() < share:
            return -1
        drawn = case_of(
            config.seed,
            n,
            len(self._drawn),
            balance=config.data.balance,
            holders=self._holders,
        )
        return int(self._drawn[drawn])

    def _phantom(self, n: int) -> Decoded:
        config = self._config
        diseases = config.data.diseases
        disease = diseases[int(generator(config.seed, n, "disease").integers(len(diseases)))]
        return self._read(
            endless(config.seed, n, config.input.size, disease=disease), self._phantom_table
        )

    def _other(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Label map of another case, for decoys."""
        if self._cases:
            return self._decoded(int(rng.integers(len(self._cases))))[1]
        # Made anew for each sample they would double its cost; a few will do to mark no place.
        return self._phantom(_DECOYS_FROM + int(rng.integers(_DECOYS)))[1]

    def cases_of(self, numbers: Iterable[int]) -> list[str]:
        """Names of the cases that samples are drawn from, each once."""
        drawn = ((n, self._case(n)) for n in numbers)
        return list(
            dict.fromkeys(self._cases[c][0].name if c >= 0 else f"phantom {n}" for n, c in drawn)
        )

    def _labels(self, labels: NDArray[np.uint8], matrix: Any, mirrored: bool) -> NDArray[np.uint8]:
        warped = augmentation.warp(labels, matrix, self._config.input.size, labels=True)
        return self._swap[warped] if mirrored else warped

    def _seen(
        self, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Image, label map and which classes count (None: all) of sample n, augmented."""
        config, size, case = self._config, self._config.input.size, self._case(n)
        image, labels = self._phantom(n) if case < 0 else self._decoded(case)
        matrix, mirrored = augmentation.warp_matrix(config.augmentation, labels.shape, size, rng)
        seen = augmentation.tone(
            augmentation.warp(image, matrix, size, labels=False), config.augmentation, rng
        )
        judged = None
        if self._judged is not None:
            judged = self._phantom_judged if case < 0 else self._judged[case]
            judged = judged[self._swap[: len(judged)]] if mirrored else judged
        return seen, self._labels(labels, matrix, mirrored), judged

    def __getitem__(self, n: int) -> dict[str, Any]:
        config, size = self._config, self._config.input.size
        rng = generator(config.seed, n, "augmentation")
        image, warped, judged = self._seen(n, rng)
        if config.augmentation.strips and self._cases:
            rng = generator(config.seed, n, "strip")
            if rng.random() < config.augmentation.strips:
                lent = self._seen(_STRIPS_FROM + n, rng)
                image, warped = augmentation.strip(image, warped, *lent[:2], rng)
                judged = judged if judged is None or lent[2] is None else judged & lent[2]
        out = {"number": n, "image": image[None], "labels": warped}
        if judged is not None:
            out["judged"] = judged
        if config.method == "spad":
            targets = config.perturbation.targets
            out["targets"] = target_map(warped, targets)
            if config.perturbation.decoys:
                rng = generator(config.seed, n, "decoy")
                other = self._other(rng)
                matrix, mirrored = augmentation.warp_matrix(
                    config.augmentation, other.shape, size, rng
                )
                decoy = self._labels(other, matrix, mirrored)
                # "Shifted": rolled by any distance, so that it lies on other anatomy.
                decoy = np.roll(decoy, (rng.integers(size[0]), rng.integers(size[1])), axis=(0, 1))
                out["decoy_labels"] = decoy
                out["decoy_targets"] = target_map(decoy, targets)
        return out


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

    Raises
    ------
    CaseError
        While iterating: a case that cannot be read, also one that a worker reads.
    """
    size, workers = config.optimiser.batch, workers_of(config, device)
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
    return _explained(iter(loader))


def workers_of(config: Config, device: torch.device) -> int:
    """Processes that prepare samples: as many as are asked for, or as the machine has cores for."""
    if config.data.workers >= 0:
        return config.data.workers
    if device.type == "cpu":  # the cores are the training's
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # trainings on this machine, one a GPU
    return max(1, min(8, ((cores or 1) - 1) // beside))


def _explained(arriving: Iterator[Batch]) -> Iterator[Batch]:
    """Tell a faulty case without the worker's traceback."""
    try:
        yield from arriving
    except UnreadableCase as error:
        text = str(error).rpartition(f"{UnreadableCase.__name__}: ")[2].strip()
        raise CaseError([text]) from None


def _quiet_worker(_: int) -> None:
    # The trainer ends its workers, having saved. Ctrl-C and torchrun's SIGTERM go to its whole
    # process group, so a worker leaves that; it must not ignore SIGTERM, by which Python ends what
    # is left of its processes before it exits.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
