"""What is told before a run of an image that does not suit the model, or whose mm are doubtful."""

from __future__ import annotations

from typing import Any

from SPADLib.desk.words import OPHTHALMIC, retinal
from SPADLib.scene import Source, dicom_modality, spacing_is_default

__all__ = ["warnings_of"]


def warnings_of(source: Source, card: Any) -> list[str]:
    """Say what is unlike the model's training images, and what makes millimetres doubtful.

    Parameters
    ----------
    source : Source
    card : spad.checkpoint.card.Card

    Returns
    -------
    list of str
        A sentence each; none where all is well.
    """
    from spad.annotation import looked_over

    said = [source.said + "."] if source.said else []
    if source.inverted:
        said.append("High values are shown dark (MONOCHROME1): the model sees them turned.")
    if odd := _modality(source.volume, card):
        said.append(odd)
    spacing = None if source.spacing_mm is None else source.spacing_mm[1:]
    said += looked_over(card, source.stack, spacing, inverted=source.inverted)
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
    found, names = dicom_modality(volume), [c.name for c in card.classes[1:]]
    ours = retinal(card.classes)
    if not found or bool(ours) == (found in OPHTHALMIC):
        return ""
    if ours:
        return f"DICOM says {found}; {card.name} looks for {', '.join(ours)} in retinal OCT."
    return f"DICOM says {found}, an image of the eye; {card.name} looks for {', '.join(names)}."
