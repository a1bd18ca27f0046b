"""Settings of the reverse chain, measured image by image; what is measured is never lost.

Each measurement is a line of a file that is written at once, so that an interrupted search goes on
where it was. Sums over any set of images follow from the lines, hence settings can be compared on
the very images that both were measured on.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad import checkpoint
from spad.cases import Case
from spad.checkpoint import IGNORE, Card, SamplingConfig
from spad.inference import Segmenter, pick_device
from spad.metrics import calibration_error, calibration_histogram, contour_band
from spad.network import Condition, Network, build
from spad.train.data import judged_classes, read_image, read_labels
from spad.train.evaluation import compare, diversity, energy_distance, score

__all__ = ["Bench", "Measured", "Scan", "Setting", "Summary", "scans_of"]

_KEPT = 32  # encoded images in memory, a few MB each
_LEAST = 2.0**-24  # the smallest probability that float16 has: what 0 may have been


@dataclass(frozen=True, slots=True)
class Setting:
    """How chains run: times visited, number of chains, divisor of the logits, the first draw."""

    times: tuple[int, ...]
    samples: int
    temperature: float
    first: Literal["encoder", "denoiser"] = "encoder"
    coherence_px: int = 0

    @property
    def key(self) -> str:
        """What a line of the file is found by."""
        times = "-".join(map(str, self.times))
        coherent = f" ~ {self.coherence_px}" if self.coherence_px else ""
        return f"{self.first} {times} x {self.samples} / {self.temperature:g}{coherent}"

    @property
    def passes(self) -> int:
        """Passes of the denoiser for an image: at T, where all is noise, one or none serves all."""
        return (self.first == "denoiser") + self.samples * (len(self.times) - 1)

    def sampling(self) -> SamplingConfig:
        """The same as a card says it."""
        return SamplingConfig(
            steps=len(self.times),
            samples=self.samples,
            grid="learnt",
            times=self.times,
            temperature=self.temperature,
            first=self.first,
            coherence_px=self.coherence_px,
        )


@dataclass(frozen=True, slots=True)
class Scan:
    """An image and its annotations, one a rater, each a case of the folder."""

    cases: tuple[Case, ...]
    sha256: str  # of all its files

    @property
    def patient(self) -> str:
        """The patient's name."""
        return self.cases[0].patient


def scans_of(cases: Sequence[Case]) -> list[Scan]:
    """Group cases into images: those whose image files are equal show several raters' readings."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(checkpoint.sha256(case.image), []).append(case)
    return [
        Scan(
            tuple(own),
            hashlib.sha256(
                "".join(
                    [image, *(checkpoint.sha256(c.labels) for c in own if c.labels is not None)]
                ).encode()
            ).hexdigest(),
        )
        for image, own in groups.items()
    ]


@dataclass(frozen=True, slots=True)
class Measured:
    """One setting on one image with R annotations; lists, as JSON has them.

    ``matrices`` (R, K, K) and ``distances`` (R, K) as of
    :func:`spad.train.evaluation.scores.compare`, None for NaN; ``histograms`` (2, K + 1, bins, 3)
    of all pixels and of those near a contour, summed over the annotations; ``surprise``: sum of
    -log p of the annotated class, and its pixels.
    """

    matrices: list[Any]
    distances: list[Any]
    histograms: list[Any]
    surprise: tuple[float, int]
    diversity: float
    energy: float
    encode_seconds: float
    chain_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One setting on a set of images. What does not exist is NaN."""

    images: int
    dice: float  # pooled, mean over the structures
    dice_per_image: float
    hd95: float
    ece: float  # of the most probable class (Guo)
    ece_classwise: float  # mean over the classes (Nixon)
    ece_band: float  # of the most probable class, near a contour
    ece_band_classwise: float
    diversity: float
    energy: float  # GED squared
    surprise: float  # -log p of the annotated class, mean over the pixels
    seconds: float  # an image, encoding included; median

    def as_json(self) -> dict[str, float | None]:
        """Plain JSON values, rounded."""
        return {
            key: None if math.isnan(value) else float(f"{value:.4g}")
            for key, value in asdict(self).items()
        }


class _Memory:
    """A network's ``encode`` that knows the last images again: it depends on nothing else."""

    def __init__(self, network: Network) -> None:
        self._encode = network.encode
        self._known: OrderedDict[bytes, tuple[Condition, float]] = OrderedDict()
        self.spent = self.last = 0.0  # seconds of encoding: in all, and for the last image

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
        From `spad.train.data.cases.class_table`.
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
        self._read()

    def _read(self) -> None:
        about = {
            "checkpoint": checkpoint.sha256(self.model),
            "seed": self.seed,
            "device": self.target.type,
            "classes": hashlib.sha256(self.table.tobytes()).hexdigest(),  # as mapped
        }
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        if not lines:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(about) + "\n", "utf-8")
            return
        try:
            found = [json.loads(line) for line in lines[:-1]]
            if lines[-1].endswith("}"):  # else it was cut off when the process was killed
                found.append(json.loads(lines[-1]))
            if found[:1] != [about]:
                raise ValueError("it is of another checkpoint, seed, device or mapping")
            for one in found[1:]:
                key = one.pop("scan"), one.pop("setting")
                self.done[key] = Measured(**one)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self.file} holds no measurements that this search can go on with ({error}); "
                "remove it, or choose another --out"
            ) from None
        if not lines[-1].endswith("}"):
            text = "".join(line + "\n" for line in lines[:-1])
            self.file.write_text(text, "utf-8")

    def known(self, setting: Setting, scan: Scan) -> bool:
        """Whether this was measured already."""
        return (scan.sha256, setting.key) in self.done

    def measure(self, setting: Setting, scans: Sequence[Scan]) -> None:
        """Run a setting on images where it was not yet."""
        for scan in scans:
            if not self.known(setting, scan):
                one = self._run(setting, scan)
                line = {"scan": scan.sha256, "setting": setting.key, **asdict(one)}
                with self.file.open("a", encoding="utf-8") as handle:
                    handle.write(json.dumps(line, allow_nan=False) + "\n")
                self.done[scan.sha256, setting.key] = one
                self.tick(setting)

    def _run(self, setting: Setting, scan: Scan) -> Measured:
        k = len(self.classes)
        image = read_image(scan.cases[0])
        card = replace(self.card, sampling=setting.sampling())
        segmenter = Segmenter(card, self._network, self.target)
        before, began = self._memory.spent, time.perf_counter()
        result = segmenter.segment(image, seed=self.seed, probability=True)
        seconds = time.perf_counter() - began - (self._memory.spent - before)
        assert result.probability is not None  # noqa: S101  (for the type checker)

        raters = np.stack([read_labels(case, self.table) for case in scan.cases])
        histograms: Any = 0
        surprise, pixels = 0.0, 0
        matrices, distances = [], []
        for case, labels in zip(scan.cases, raters, strict=True):
            spacing = case.spacing_mm if self.in_mm and case.spacing_mm else (1.0, 1.0)
            matrix, apart = compare(result.labels, labels, k, spacing)
            matrices.append(matrix.tolist())
            distances.append([None if math.isnan(d) else round(d, 6) for d in apart])
            p = self._judged(result.probability.astype(np.float32), case)
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
            energy=energy_distance(result.samples, raters, k),
            encode_seconds=self._memory.last,
            chain_seconds=seconds,
        )

    def _judged(self, p: NDArray[np.float32], case: Case) -> NDArray[np.float32]:
        """Probabilities (K, H, W), those of classes that nobody looked for as background's."""
        unseen = ~judged_classes(case, self.table, len(p), self.names)
        unseen[0] = False
        if unseen.any():
            p[0] += p[unseen].sum(0)
            p[unseen] = 0
        return p

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
