"""What is told before a run: whether the image suits the model, and how long it will take."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from SPADLib.scene import Input, dicom_modality, spacing_is_default

__all__ = ["Pace", "device_line", "duration", "warnings_of"]

OPHTHALMIC = ("OPT", "OP", "OPTBSV", "OPTENF", "OPM")
"""DICOM's codes of images of the eye (PS3.3, C.7.3.1.1.1)."""
LOOKED_AT = 5
"""B-scans of a stack that are measured: evenly spaced, so that a large one takes no time."""


def warnings_of(source: Input, card: Any) -> list[str]:
    """Say what is unlike the model's training images, and what makes millimetres doubtful.

    Parameters
    ----------
    source : Input
    card : spad.checkpoint.card.Card

    Returns
    -------
    list of str
        A sentence each; none where all is well.
    """
    from spad.annotation import reasons

    said = [source.said + "."] if source.said else []
    if source.inverted:
        said.append("High values are shown dark (MONOCHROME1): the model sees them turned.")
    if odd := _modality(source.volume, card):
        said.append(odd)
    depth = source.depth
    looked = sorted({round(n * (depth - 1) / max(LOOKED_AT - 1, 1)) for n in range(LOOKED_AT)})
    spacing = None if source.spacing_mm is None else source.spacing_mm[1:]
    found: dict[str, list[tuple[int, str]]] = {}
    for z in looked:
        try:
            unlike = reasons(card, source.stack[z], spacing, inverted=source.inverted)
        except ValueError as error:  # NaN
            unlike = {"unreadable": str(error)}
        for about, text in unlike.items():
            found.setdefault(about, []).append((z, text))
    for places in found.values():
        z, text = places[0]
        where = "this image" if depth == 1 else f"B-scan {z + 1}"
        more = f" (so are {len(places) - 1} more of {len(looked)} looked at)"
        said.append(
            f"Look closely: {where} is unlike the training images of {card.name}: {text}"
            f"{more if len(places) > 1 else ''}."
        )
    if spacing_is_default(source.volume):
        said.append(
            "The spacing is 1 mm along every axis, as a file without any gets: distances in mm "
            "and volumes would be false. Set it in the Volumes module, under Volume Information."
        )
    if transform := source.volume.GetParentTransformNode():
        said.append(
            f"The volume is under the transform “{transform.GetName()}”: the segmentation will be "
            "too. Distances in mm are those of the volume before it."
        )
    return said


def _modality(volume: Any, card: Any) -> str:
    """Say where DICOM calls an image something else than the model's structures are drawn on."""
    from spad.phantom import CLASS_NAMES

    found, names = dicom_modality(volume), [c.name for c in card.classes[1:]]
    retinal = [n for n in names if n in CLASS_NAMES]
    if not found or bool(retinal) == (found in OPHTHALMIC):
        return ""
    if retinal:
        return f"DICOM says {found}; {card.name} looks for {', '.join(retinal)} in retinal OCT."
    return f"DICOM says {found}, an image of the eye; {card.name} looks for {', '.join(names)}."


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
            found = json.loads(self._kept.get(self.KEY) or "{}")
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
        A torch device.
    seconds : float or None
        Of `Pace.seconds`.
    bscans : int
    """
    name = "CPU" if device == "cpu" else device
    what = "this B-scan" if bscans == 1 else f"these {bscans} B-scans"
    if seconds is None:
        return f"{name}: how long it takes is known after a first run on this computer"
    return f"{name}: about {duration(seconds)} for {what}"


def duration(seconds: float) -> str:
    """A time in round words: “3 s”, “40 s”, “7 min”, “2 h”."""
    if seconds < 10:
        return f"{max(round(seconds), 1)} s"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
