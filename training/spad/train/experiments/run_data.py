"""What a figure shows, from a run's folder: its settings, its card, and the scalars it logged."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spad.checkpoint import Card, read_card
from spad.train.config import Config, stored_config
from spad.train.data import PHANTOM_EPOCH

__all__ = ["RunData", "Series", "read_run"]

_DICE = "validation/pooled Dice/"


@dataclass(frozen=True, slots=True)
class Series:
    """A scalar against the steps done; two arrays of one length."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunData:
    """A run, as far as it has come.

    Parameters
    ----------
    config : Config
    card : Card
        Of its best checkpoint.
    dice : dict of str to Series
        Pooled Dice on the validation cases, of each structure and of their ``mean``.
    loss : Series
    """

    config: Config
    card: Card
    dice: dict[str, Series]
    loss: Series

    @property
    def steps_per_epoch(self) -> float:
        """Steps of an epoch; cards of older versions tell of the training cases alone."""
        told = self.card.training
        samples = told.get("epoch") or told["cases"]["training"] or PHANTOM_EPOCH
        return float(samples / self.config.optimiser.batch)


def read_run(folder: Path) -> RunData:
    """Read the folder of a run.

    Raises
    ------
    ValueError
        It is no run, its state cannot be read, or it was not validated yet.
    ImportError
        TensorBoard is missing.
    """
    state_file, best = folder / "latest.pt", folder / "best.safetensors"
    if not state_file.is_file():
        raise ValueError(
            f"{folder} is no run: it has no latest.pt; give the folder that `spad train` wrote "
            "(its --out)"
        )
    try:
        state = torch.load(state_file, map_location="cpu", weights_only=True, mmap=True)
        stored = state["config"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            f"{state_file} is no saved state of a run ({error}); give another run"
        ) from None
    config = stored_config(
        stored, str(state_file), "draw this run with the SPAD that trained it, or train it again"
    )
    series = _scalars(folder)
    dice = {tag.removeprefix(_DICE): one for tag, one in series.items() if tag.startswith(_DICE)}
    if not dice or not best.is_file():
        raise ValueError(
            f"{folder} has no validation yet; the first comes at step "
            f"{min(config.validation.every, config.optimiser.steps)} (validation.every), this run "
            f"is at step {state['step']}: train on with --resume"
        )
    empty = Series(np.zeros(0, np.int64), np.zeros(0))
    return RunData(config, read_card(best), dice, series.get("train/loss", empty))


def _scalars(folder: Path) -> dict[str, Series]:
    """All scalars of TensorBoard's events in a folder; of a resumed run each step once."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise ImportError(
            f'reading a run needs {error.name or error}: pip install "napari-spad[train]"'
        ) from None
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    out = {}
    for tag in events.Tags()["scalars"]:
        by_step = {event.step: event.value for event in events.Scalars(tag)}
        steps = sorted(by_step)
        out[tag] = Series(np.array(steps), np.array([by_step[step] for step in steps]))
    return out
