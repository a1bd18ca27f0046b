"""How long a run will take: by the last one with the same model on the same device."""

from __future__ import annotations

import json
from collections.abc import MutableMapping

from spad.annotation import duration
from spad.cases import parsed_json

__all__ = ["Pace", "device_line"]


class Pace:
    """How fast this machine was with a model, remembered between sessions.

    Parameters
    ----------
    kept : mutable mapping of str to str
        Where it is remembered: the application's settings.
    """

    KEY = "SPAD/pace"

    def __init__(self, kept: MutableMapping[str, str]) -> None:
        self._kept = kept

    def _all(self) -> dict[str, float]:
        try:
            found = parsed_json(self._kept.get(self.KEY) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @staticmethod
    def _name(model: str, device: str) -> str:
        return f"{model} {device.partition(':')[0]}"

    def note(
        self, model: str, device: str, bscans: int, samples: int, steps: int, seconds: float
    ) -> None:
        """Remember how long a run of a model, by its name, took."""
        each = seconds / max(bscans * samples * steps, 1)
        self._kept[self.KEY] = json.dumps({**self._all(), self._name(model, device): each})

    def seconds(
        self, model: str, device: str, bscans: int, samples: int, steps: int
    ) -> float | None:
        """How long a run will take, by the last one with this model; None before the first."""
        each = self._all().get(self._name(model, device))
        return None if not isinstance(each, float) else each * bscans * samples * steps


def device_line(device: str, seconds: float | None, bscans: int) -> str:
    """An honest line on where a run takes place, and how long it takes.

    Parameters
    ----------
    device : str
        A torch device, or "server".
    seconds : float or None
        Of `Pace.seconds`.
    bscans : int
    """
    name = {"cpu": "CPU", "server": "the server"}.get(device, device)
    what = "this B-scan" if bscans == 1 else f"these {bscans} B-scans"
    if seconds is None:
        return f"{name}: how long it takes is known after a first run there"
    return f"{name}: about {duration(seconds)} for {what}"
