"""What changes during a run: started, saved so that nothing is lost, and resumed bit for bit."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spad import checkpoint
from spad.labels import LabelClass
from spad.network import Network, Outputs, build, transfer
from spad.train.accelerate import prepare_network
from spad.train.config import Config, ConfigError

__all__ = ["Run", "differences", "read_state", "start"]


@dataclass
class Run:
    """A run's weights, their averages, the optimiser, the steps done and the best score so far.

    ``forward`` runs the network in training, as `spad.train.accelerate` prepared it.
    """

    network: Network
    mean: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    forward: Callable[..., Outputs]
    step: int = 0
    best: float = -1.0

    def save(self, path: Path, config: Config, data: str) -> None:
        """Write all that a resume needs; atomic, so that a killed save leaves the last one.

        Raises
        ------
        OSError
            The disk is full or not writable; the last saved state is intact.
        """
        state = {
            "config": config.as_json(),
            "data": data,
            "network": self.network.state_dict(),
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with fresh.open("wb") as handle:
                torch.save(state, handle)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(fresh, path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise OSError(
                f"{path} could not be saved ({error}); free some space and go on with --resume"
            ) from error
        finally:
            fresh.unlink(missing_ok=True)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.network.load_state_dict(state["network"])
        for name, value in state["mean"].items():
            self.mean[name].copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = state["step"], state["best"]


def read_state(path: Path, config: Config, data: str) -> dict[str, Any]:
    """Read a saved state and make sure that it is of the same run.

    Parameters
    ----------
    path : Path
    config : Config
    data : str
        Fingerprint of the cases.

    Raises
    ------
    ConfigError
        The configuration or the cases have changed; the message lists the differences.
    ValueError
        The file is no saved state.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        old, step = state["config"], state["step"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no saved state of a run ({error}); remove it to start afresh"
        ) from None
    changes = differences(old, config.as_json())
    if state["data"] != data:
        changes.append("the case folders (files, splits or mapping)")
    if changes:
        raise ConfigError(
            f"the run in {path.parent} was started with other settings, so that going on from "
            f"step {step} would mix two runs. Changed: {'; '.join(changes)}. Set them back, or "
            "train into another folder"
        )
    return state


def start(config: Config, classes: tuple[LabelClass, ...], device: torch.device) -> Run:
    """Build a run: random weights, or those of the checkpoint ``config.init``.

    From a checkpoint every tensor that fits is taken over, classes matched by name; what was not is
    said.

    Raises
    ------
    ConfigError
        The checkpoint shares no tensor with this network.
    ValueError, OSError
        As of :func:`spad.checkpoint.load`.
    """
    torch.manual_seed(config.seed)
    network = build(config.network, len(classes), None)
    if config.init:
        card, tensors = checkpoint.load(checkpoint.shipped().get(config.init, Path(config.init)))
        before, now = [c.name for c in card.classes], [c.name for c in classes]
        taken = transfer(tensors, before, network, now)
        if not taken:
            raise ConfigError(
                f"no tensor of {config.init} fits this network; copy its card's network settings "
                "into [network]"
            )
        network.load_state_dict(taken, strict=False)
        left = sorted(network.state_dict().keys() - taken.keys())
        new = [n for n in now if n not in before]
        warnings.warn(
            f"started from {card.name}: {len(taken)} tensors"
            + (f", {len(left)} left random ({', '.join(left[:3])} ...)" if left else "")
            + (f"; new classes: {', '.join(new)}" if new else ""),
            stacklevel=2,
        )
    network.to(device).train()
    o = config.optimiser
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=o.learning_rate,
        weight_decay=o.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
    mean = {name: t.detach().clone() for name, t in network.state_dict().items()}
    return Run(network, mean, optimiser, prepare_network(network, o))


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """``a.b: old -> new`` for each value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if old == new else [f"{where}: {old!r} -> {new!r}"]
