"""One trial of an experiment: an arm with a seed, trained, scored and never trained twice.

Scored are the last averaged weights. Those that were best on the validation cases would flatter:
they were chosen by the very images that score them.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import spad
from spad.cases import file_error, open_folder, read_json, write_bytes, write_json
from spad.checkpoint import load
from spad.network import pick_device
from spad.train.config import Config, ConfigError, stored_config, without_removed
from spad.train.evaluation import diversity, evaluate
from spad.train.experiments.peak_memory import forget_peak, peak_bytes
from spad.train.loop import changed_values, prepare, train
from spad.train.processes import locked

__all__ = ["Sampling", "Trial", "config_changes", "logged", "read_scores", "run_trial", "scored_on"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How trials are scored: chains, reverse steps (None: the configuration's), seed of draws."""

    samples: int = 8
    steps: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An arm with a seed.

    Parameters
    ----------
    arm : str
    seed : int
    config : Config
        With the arm's settings and the seed.
    data : str
        Fingerprint of the cases.
    folder : Path
        Of this trial; two arms of one configuration share it.
    """

    arm: str
    seed: int
    config: Config
    data: str
    folder: Path

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.arm}, seed {self.seed}"

    def check(self) -> None:
        """Refuse a folder that holds a trial of other settings or cases.

        Raises
        ------
        ConfigError
            The message lists the differences.
        """
        path = self.folder / "trial.json"
        if not path.exists():
            return
        stored = read_json(path)
        changes = config_changes(stored["config"], self.config.as_json())
        if stored["data"] != self.data:
            changes.append("the case folders (files, splits or mapping)")
        if changes:
            raise ConfigError(
                f"{self.folder} holds a trial of other settings. Changed: {'; '.join(changes)}. "
                "Set them back, choose another --out, or remove that folder"
            )


def config_changes(stored: Any, now: dict[str, Any]) -> list[str]:
    """``key: old -> new`` of a stored configuration; a setting that it lacks has its default.

    Raises
    ------
    ConfigError
        It uses an option that was removed.
    """
    stored = without_removed(stored, "the folder's configuration", "choose another --out")
    with contextlib.suppress(ValueError):  # of another version: every difference shows
        stored = stored_config(stored, "config").as_json()
    return changed_values(json.loads(json.dumps(stored)), json.loads(json.dumps(now)))


def read_scores(folder: Path, sampling: Sampling) -> dict[str, Any] | None:
    """Scores of a finished trial; None if it is not finished, or was scored otherwise."""
    path = folder / "scores.json"
    if not path.exists():
        return None
    scores: dict[str, Any] = read_json(path)
    return scores if scores["asked"] == asdict(sampling) else None


def run_trial(trial: Trial, sampling: Sampling, *, device: str) -> str:
    """Train a trial, or go on with it, score it and write ``scores.json``.

    Parameters
    ----------
    trial : Trial
    sampling : Sampling
    device : str

    Returns
    -------
    str
        Why it failed, which ``failed.txt`` keeps; empty: it is finished.

    Raises
    ------
    Busy
        Another process is at it.
    KeyboardInterrupt
        Stopped; a training run was saved before.
    ImportError
        A requirement of the trainer is missing.
    """
    out = trial.folder
    out.mkdir(parents=True, exist_ok=True)
    failed = out / "failed.txt"
    with locked(out / "lock"):
        if read_scores(out, sampling) is not None:  # finished by another process meanwhile
            return ""
        trial.check()
        write_json(out / "trial.json", {"config": trial.config.as_json(), "data": trial.data})
        failed.unlink(missing_ok=True)
        try:
            forget_peak(pick_device(device))
            train(trial.config, out, resume=True, device=device)
            write_json(out / "scores.json", _scores(trial, sampling, device))
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            text = file_error(error)
            write_bytes(failed, f"{text}\n".encode())
            return text
    return ""


def _scores(trial: Trial, sampling: Sampling, device: str) -> dict[str, Any]:
    """What ``scores.json`` holds."""
    prepared = prepare(trial.config)
    segmenter = spad.load(trial.folder / "latest.safetensors", device=device)
    names = [c.name for c in segmenter.card.classes]
    spread: list[float] = []
    provenance: dict[str, Any] = {}

    took: list[float] = []

    def segment(image: NDArray[Any]) -> NDArray[np.uint8]:
        start = time.perf_counter()
        result = segmenter.segment(image, **asdict(sampling))
        took.append(time.perf_counter() - start)
        spread.append(diversity(result.samples, len(names)))
        provenance.update(result.provenance)
        return result.labels

    began = time.perf_counter()
    report = evaluate(
        segment,
        [case for case, _ in prepared.validation],
        np.stack([table for _, table in prepared.validation]),
        names,
        judged=prepared.validation_judged,
    )
    c = trial.config
    return {
        "arm": trial.arm,
        "seed": trial.seed,
        "steps": c.optimiser.steps,
        "asked": asdict(sampling),
        "sampling": {**asdict(sampling), "steps": sampling.steps or c.sampling.steps},
        "scored on": scored_on(c),
        **report.as_json(),
        "diversity": float(np.mean(spread)),
        **logged(trial.folder),
        "scoring_seconds": time.perf_counter() - began,
        "inference_seconds": float(np.median(took)),
        "parameters": sum(t.numel() for t in load(trial.folder / "latest.safetensors")[1].values()),
        "peak_bytes": peak_bytes(pick_device(device)),
        "device": _device(device),
        "spad": provenance["spad"],
        "torch": provenance["torch"],
    }


def scored_on(config: Config) -> str:
    """Where a trial's validation cases are from, as `prepare` takes them, for a person."""
    data = config.data
    if not data.folders:
        return "phantoms that never train"
    if data.phantoms == 1 or all(data.validation in open_folder(f).splits for f in data.folders):
        return f"the split {data.validation!r}"
    return f"patients set aside from the split {data.train!r}, others with each seed"


def _device(name: str) -> str:
    """The device for a person."""
    device = pick_device(name)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"
    return str(device)


def logged(folder: Path) -> dict[str, Any]:
    """What the events of a run tell: seconds of training, and soft Dice on training images.

    Returns
    -------
    dict
        ``training_seconds``: from the opening to the last event of every event file, so that all
        attempts count, also those that were killed, and validation during the training too.
        ``leakage``: of each tag ``leakage/...`` the list of [step, value].
    """
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    seconds = 0.0
    leakage: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        times = []
        for event in EventFileLoader(str(path)).Load():
            times.append(event.wall_time)
            for value in event.summary.value:
                if value.tag.startswith("leakage/"):
                    number = float(make_ndarray(value.tensor).item())
                    leakage.setdefault(value.tag, {})[event.step] = number  # a later attempt wins
        seconds += max(times) - min(times) if times else 0.0
    series = {tag: [[s, v] for s, v in sorted(found.items())] for tag, found in leakage.items()}
    return {"training_seconds": seconds, "leakage": series}
