"""Settings of the reverse chain, measured on a model image by image, and summed up."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad import checkpoint
from spad.checkpoint import IGNORE, Card
from spad.inference import Segmenter
from spad.metrics import calibration_error, calibration_histogram, contour_band
from spad.network import Condition, Network, build, pick_device
from spad.train.data import judged_classes, read_image, read_labels
from spad.train.evaluation import compare, diversity, energy_distance, score
from spad.train.tune.measurements import (
    Measured,
    Scan,
    Summary,
    keep_measurement,
    read_measurements,
)
from spad.train.tune.settings import Setting

__all__ = ["Bench"]

_KEPT = 32  # encoded images in memory, a few MB each
_LEAST = 2.0**-24  # the smallest probability that float16 has: what 0 may have been


class _Memory:
    """A network's ``encode`` that knows the last images again: it depends on nothing else."""

    def __init__(self, network: Network) -> None:
        self._encode = network.encode
        self._known: OrderedDict[bytes, tuple[Condition, float]] = OrderedDict()
        self.spent = self.last = 0.0  # seconds of encoding: in all, and for the last image

    def __deepcopy__(self, memo: object) -> _Memory:
        return self  # the copy that a GPU runs in bfloat16 knows the same images

    def __call__(self, image: Tensor) -> Condition:
        key = hashlib.sha256(image.cpu().numpy().tobytes()).digest()
        if key not in self._known:
            began = time.perf_counter()
            condition = self._encode(image)
            if image.is_cuda:
                torch.cuda.synchronize(image.device)
            seconds = time.perf_counter() - began
            self.spent += seconds
            self._known[key] = condition, seconds
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        condition, self.last = self._known[key]
        return condition


@dataclass
class Bench:
    """Measures settings of a model on images, and remembers.

    Parameters
    ----------
    model : Path
        A checkpoint that diffuses.
    table : ndarray of uint8, shape (256,)
        From `spad.train.data.class_table`.
    names : mapping of int to str
        The data set's ``labels.json``.
    file : Path
        Where the measurements are, and go to.
    in_mm : bool
        HD95 in mm instead of pixels.
    seed : int
    device : str

    Raises
    ------
    ValueError
        The file holds another model's measurements, or those of another seed or device.
    """

    model: Path
    table: NDArray[np.uint8]
    names: Mapping[int, str]
    file: Path
    in_mm: bool = False
    seed: int = 0
    device: str = "auto"
    done: dict[tuple[str, str], Measured] = field(default_factory=dict)
    tick: Callable[[Setting], None] = lambda _: None

    def __post_init__(self) -> None:
        self.target = pick_device(self.device)
        card, tensors = checkpoint.load(self.model)
        self.card: Card = card
        self.classes = [c.name for c in card.classes]
        self._network = build(card.network, len(card.classes), tensors)
        self._memory = _Memory(self._network)
        self._network.encode = self._memory  # type: ignore[method-assign]
        about = {
            "checkpoint": checkpoint.sha256(self.model),
            "seed": self.seed,
            "device": self.target.type,
            "classes": hashlib.sha256(self.table.tobytes()).hexdigest(),  # as mapped
        }
        self.done |= read_measurements(self.file, about)

    def known(self, setting: Setting, scan: Scan) -> bool:
        """Whether this was measured already."""
        return (scan.sha256, setting.key) in self.done

    def measure(self, setting: Setting, scans: Sequence[Scan]) -> None:
        """Run a setting on images where it was not yet."""
        for scan in scans:
            if not self.known(setting, scan):
                one = self._run(setting, scan)
                keep_measurement(self.file, scan, setting, one)
                self.done[scan.sha256, setting.key] = one
                self.tick(setting)

    def _run(self, setting: Setting, scan: Scan) -> Measured:
        k = len(self.classes)
        image = read_image(scan.cases[0])
        card = replace(self.card, sampling=setting.sampling(self.card.sampling))
        segmenter = Segmenter(card, self._network, self.target)
        before, began = self._memory.spent, time.perf_counter()
        result = segmenter.segment(image, seed=self.seed, probability=True)
        seconds = time.perf_counter() - began - (self._memory.spent - before)
        assert result.probability is not None  # noqa: S101  (for the type checker)

        raters = np.stack([read_labels(case, self.table) for case in scan.cases])
        histograms: Any = 0
        surprise, pixels = 0.0, 0
        matrices, distances, judged = [], [], np.ones(k, bool)
        for case, labels in zip(scan.cases, raters, strict=True):
            spacing = case.spacing_mm if self.in_mm and case.spacing_mm else (1.0, 1.0)
            matrix, apart = compare(result.labels, labels, k, spacing)
            matrices.append(matrix.tolist())
            distances.append([None if math.isnan(d) else round(d, 6) for d in apart])
            looked = judged_classes(case, self.table, k, self.names)
            judged, unseen = judged & looked, ~looked
            p = _merged(result.probability.astype(np.float32), unseen)
            near = contour_band(labels)
            histograms = histograms + np.stack(
                [calibration_histogram(p, labels, where=part) for part in (None, near)]
            )
            known = labels != IGNORE
            of_truth = np.take_along_axis(p[:, known], labels[known][None].astype(np.intp), 0)
            surprise -= float(np.log(np.maximum(of_truth, _LEAST)).sum())
            pixels += int(known.sum())
        return Measured(
            matrices=matrices,
            distances=distances,
            histograms=histograms.round(3).tolist(),
            surprise=(surprise, pixels),
            diversity=diversity(result.samples, k),
            energy=energy_distance(result.samples, raters, k, judged=judged),
            encode_seconds=self._memory.last,
            chain_seconds=seconds,
        )

    def summary(self, setting: Setting, scans: Sequence[Scan]) -> Summary:
        """Sums over images, all of them measured with the setting."""
        found = [self.done[scan.sha256, setting.key] for scan in scans]
        cases = [case for scan in scans for case in scan.cases]
        k = len(self.classes)
        distances = np.array([row for one in found for row in one.distances], np.float64)
        report = score(
            np.array([matrix for one in found for matrix in one.matrices]),
            [case.patient for case in cases],
            self.classes,
            hd95=distances.reshape(-1, k),
            judged=np.array([judged_classes(c, self.table, k, self.names) for c in cases]),
            resamples=0,
        )
        histograms = np.sum([np.array(one.histograms) for one in found], axis=0)
        (*by_class, top), (*by_class_near, top_near) = calibration_error(histograms)
        pixels = sum(one.surprise[1] for one in found)
        return Summary(
            images=len(scans),
            dice=report.mean.dice_pooled.value,
            dice_per_image=report.mean.dice_per_image.value,
            hd95=report.mean.hd95.value,
            ece=float(top),
            ece_classwise=float(np.mean(by_class)),
            ece_band=float(top_near),
            ece_band_classwise=float(np.mean(by_class_near)),
            diversity=float(np.mean([one.diversity for one in found])),
            energy=float(np.mean([one.energy for one in found])),
            surprise=sum(one.surprise[0] for one in found) / max(1, pixels),
            seconds=statistics.median(one.encode_seconds + one.chain_seconds for one in found),
        )


def _merged(p: NDArray[np.float32], unseen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probabilities (K, H, W), those of classes that nobody looked for as background's."""
    unseen[0] = False
    if unseen.any():
        p[0] += p[unseen].sum(0)
        p[unseen] = 0
    return p
