"""What changes during a run: started, saved so that nothing is lost, and resumed."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from torch import Tensor, nn

from spad import checkpoint
from spad.cases import file_error
from spad.checkpoint import LabelClass
from spad.network import Network, build, compare, transfer
from spad.train.config import Config, ConfigError, stored_config, without_removed
from spad.train.loop.acceleration import prepare_network
from spad.train.loop.pretrained_encoder import load_pretrained, parameter_groups

__all__ = ["Run", "changed_values", "read_state", "start", "sweep"]

_HARMLESS = (
    "data.workers", "data.licence", "data.source", "name", "optimiser.minutes", "validation",
)  # fmt: skip
"""Settings that may change between a run and its resume: no weight depends on them."""
_PLACES = ("data.folders", "init", "sam")
"""Settings that name folders and files, which may lie elsewhere now: where they are, is no change.
(What is in the folders has a fingerprint; the others are read at the first step alone.)"""


@dataclass
class Run:
    """A run's weights, their averages, the optimiser, the steps done and the best score so far.

    ``forward`` runs the network in training, as `spad.train.loop.acceleration` prepared it.
    ``pending`` says that the validation of this step is still to be done: a state is saved before
    a validation too, so that being killed in it costs no step, and the best score that is saved
    never lags behind the best checkpoint. ``seconds`` are those that the steps took, of a run that
    has a limit in minutes; else 0, so that equal runs have equal states.
    """

    network: Network
    mean: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    forward: nn.Module
    step: int = 0
    best: float = -1.0
    pending: bool = False
    seconds: float = 0.0

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
            "pending": self.pending,
            "seconds": self.seconds,
        }
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)  # a link that lies there is not followed
            with fresh.open("xb") as handle:
                torch.save(state, handle)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(fresh, path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise OSError(
                f"{path} could not be saved ({file_error(error)}); free some space and go on "
                "with --resume"
            ) from error
        finally:
            fresh.unlink(missing_ok=True)

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Take over a saved state, read from `path`.

        Raises
        ------
        ValueError
            It is damaged: something is missing in it, or has another shape.
        """
        try:
            self.network.load_state_dict(state["network"])
            for name, value in state["mean"].items():
                self.mean[name].copy_(value)
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.best = state["step"], float(state["best"])
            self.pending = bool(state.get("pending", False))
            self.seconds = float(state.get("seconds", 0.0))
        except Exception as error:  # torch raises anything on what does not fit
            raise _no_state(path, error) from None


def _no_state(path: Path, error: Exception) -> ValueError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return ValueError(
        f"{path} is no saved state of a run, or damaged ({said}); remove it to start afresh, or "
        "put a copy in its place"
    )


def sweep(out: Path) -> None:
    """Remove what killed saves have left in the folder of a run."""
    for left in out.glob(".latest.pt.*"):
        if not _runs(left.suffix[1:]):
            left.unlink(missing_ok=True)
    for left in out.glob(".spad-*.tmp"):  # of a checkpoint; its process is not told
        left.unlink(missing_ok=True)


def _runs(pid: str) -> bool:
    """Whether there is a process of this number."""
    if os.name == "nt":  # there, os.kill ends the process whatever the signal
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def read_state(
    path: Path, config: Config, data: str, changed: Callable[[], str] = lambda: "the case folders"
) -> dict[str, Any]:
    """Read a saved state and make sure that it is of the same run.

    Parameters
    ----------
    path : Path
    config : Config
    data : str
        Fingerprint of the cases.
    changed : callable, optional
        Says what has changed in them; called if the fingerprint is another.

    Raises
    ------
    ConfigError
        The configuration or the cases have changed; the message lists the differences. (The number
        of steps shapes the learning rate and PaS from the first step on, so it cannot change.) Or
        the run uses an option that was removed.
    ValueError
        The file is no saved state.
    """
    path.open("rb").close()  # a file that cannot be opened is told in the system's words
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        old, step = state["config"], state["step"]
        if not (isinstance(old, dict) and type(step) is int and isinstance(state["data"], str)):
            raise ValueError("its configuration, step or cases are missing")
    except Exception as error:  # torch and pickle raise anything on a damaged file
        raise _no_state(path, error) from None
    afresh = (
        f"train into another folder (init={path.with_name('best.safetensors')} starts from what "
        "was learnt)"
    )
    old = without_removed(old, str(path), afresh)
    with contextlib.suppress(ValueError):  # if it had settings of another version: they are listed
        # Settings that are newer than the state had their defaults.
        old = stored_config(old, path.name).as_json()
    changes = [
        line
        for line in changed_values(old, config.as_json())
        if not line.startswith(tuple(f"{name}{end}" for name in _HARMLESS for end in ".:"))
    ]
    if state["data"] != data:
        changes.append(changed())
    if changes:
        raise ConfigError(
            f"the run in {path.parent} was started with other settings, so that going on from "
            f"step {step} would mix two runs. Changed: {'; '.join(changes)}. Set them back, or "
            f"{afresh}"
        )
    return state


def start(
    config: Config, classes: tuple[LabelClass, ...], device: torch.device, *, blank: bool = False
) -> Run:
    """Build a run: random weights, or those of the checkpoint ``config.init``.

    From a checkpoint every tensor that fits is taken over, classes matched by name; what was not is
    said. ``blank`` leaves all that out, of a run that is to be restored.

    Raises
    ------
    ConfigError
        The checkpoint shares no tensor with this network.
    ImportError
        ImageNet weights are asked for whose package is missing.
    ValueError, OSError
        As of :func:`spad.checkpoint.safetensors_file.load`.
    """
    torch.manual_seed(config.seed)
    network = build(config.network, len(classes), None)
    if not blank:
        _first_weights(network, config, classes)
    network.to(device).train()
    o = config.optimiser
    if o.freeze_encoder:
        for name, p in network.named_parameters():
            p.requires_grad_(not name.startswith("encoder."))
    optimiser = torch.optim.AdamW(
        parameter_groups(network, o),
        lr=o.learning_rate,
        weight_decay=o.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
    mean = {name: t.detach().clone() for name, t in network.state_dict().items()}
    return Run(network, mean, optimiser, prepare_network(network, o))


def _first_weights(network: Network, config: Config, classes: tuple[LabelClass, ...]) -> None:
    """Give a network what it starts from: a checkpoint's tensors, ImageNet's, SAM's."""
    taken: Mapping[str, Tensor] = {}
    if config.init:
        card, tensors = checkpoint.load(checkpoint.model_path(config.init))
        before, now = [c.name for c in card.classes], [c.name for c in classes]
        taken = transfer(tensors, before, network, now)
        if not taken:
            raise ConfigError(
                f"no tensor of {config.init} fits this network; copy its card's network settings "
                "into [network]"
            )
        network.load_state_dict(taken, strict=False)
        left = sorted(network.state_dict().keys() - taken.keys())
        heads = any("head" in name.split(".") for name in taken)
        both = [n for n in now if n in before and heads]
        new = [n for n in now if n not in before]
        dropped = [n for n in before if n not in now]
        warnings.warn(
            f"started from {card.name}: {len(taken)} tensors"
            + (f", {len(left)} left random ({', '.join(left[:3])} ...)" if left else "")
            + f"; classes taken over: {', '.join(both) or 'none'}"
            + (f"; new classes: {', '.join(new)}" if new else "")
            + (f"; classes left out: {', '.join(dropped)}" if dropped else ""),
            stacklevel=3,
        )
    if config.pretrained:
        load_pretrained(network, config.network, taken)
    if config.sam:
        compare.load_sam(network, config.sam)


def changed_values(old: Any, new: Any, where: str = "") -> list[str]:
    """``a.b: old -> new`` for each value that differs; of folders and files the names count."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in changed_values(
                old.get(key), new.get(key), f"{where}.{key}" if where else key
            )
        ]
    if where in _PLACES and _names(old) == _names(new):
        return []
    return [] if old == new else [f"{where}: {old!r} -> {new!r}"]


def _names(paths: Any) -> Any:
    """Names of files and folders, on whatever system they lay."""
    return (
        [_names(one) for one in paths] if isinstance(paths, list) else PureWindowsPath(paths).name
    )
