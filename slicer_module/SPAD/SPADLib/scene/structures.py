"""A model's structures as segments: their ids, tags, colours and codes; and what nodes keep.

A segment keeps its class value in a tag, so that it is known again by whatever name. Nodes keep
JSON in attributes; a scene may come from anywhere: no trust.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import slicer
import vtk

from spad.cases import parsed_json
from spad.checkpoint import LabelClass, label_classes, same_name
from SPADLib.scene.terminology import entry

__all__ = [
    "TAG",
    "add_structure",
    "as_called",
    "class_segments",
    "classes_in",
    "kept",
    "segment_id",
    "structures_of",
    "tag_of",
]

TAG = "SPAD.label"
T = TypeVar("T", dict[str, Any], list[Any])


def class_segments(classes: Sequence[LabelClass], *, tagged: bool = True) -> list[tuple[str, Any]]:
    """Ids and segments of a model's structures: named, coloured, coded, and still without pixels.

    Parameters
    ----------
    classes : sequence of LabelClass
        Background first.
    tagged : bool
        Mark them as a model's, with their class values.
    """
    out = []
    for c in classes[1:]:
        segment = slicer.vtkSegment()
        segment.SetName(c.name)
        segment.SetColor(*(level / 255 for level in c.color))
        segment.SetLabelValue(c.value)
        _mark(segment, c, tagged=tagged)
        out.append((segment_id(c.value), segment))
    return out


def segment_id(value: int) -> str:
    """Id of a class's segment in a result."""
    return f"SPAD_{value}"


@lru_cache(maxsize=32)  # asked for at every stroke
def classes_in(text: str) -> tuple[LabelClass, ...]:
    """Classes, background first, in the text that a result keeps them in.

    Raises
    ------
    ValueError, KeyError, TypeError
        There are none in it.
    """
    return tuple(
        LabelClass(c["value"], c["name"], tuple(c["color"]), c.get("terminology"))
        for c in parsed_json(text)
    )


def as_called(segmentation: Any) -> tuple[LabelClass, ...]:
    """A result's classes with the names and colours that their segments have now.

    For what a person reads. A model, and what it learns from, knows them by the names of
    `classes_in`, which stay where a name cannot be one (empty, say), or two would be one.
    """
    classes = classes_in(segmentation.GetAttribute("SPAD.classes"))
    inner, called = segmentation.GetSegmentation(), list(classes)
    for segment, value in structures_of(segmentation).items():
        at = next((n for n, c in enumerate(classes) if c.value == value), 0)
        if not at:
            continue
        one = inner.GetSegment(segment)
        red, green, blue = (round(255 * level) for level in one.GetColor())
        called[at] = replace(classes[at], color=(red, green, blue))
        with suppress(ValueError):
            called[at] = replace(called[at], name=(one.GetName() or "").strip())
    names = [c.name for c in called]
    if any(same_name(*pair) for pair in itertools.combinations(names, 2)):
        called = [replace(c, name=was.name) for c, was in zip(called, classes, strict=True)]
    return tuple(called)


def add_structure(segmentation: Any, name: str) -> LabelClass:
    """Add a structure that the model does not know to a result: a class, and a segment to paint.

    A segment of the person's own that has this name becomes the structure, with all that is painted
    in it. A class of this name whose segment is gone (removed, or undone) gets one again.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    name : str

    Returns
    -------
    LabelClass
        With the next value, and a free colour or the one that its segment has.

    Raises
    ------
    ValueError
        The name is taken, perhaps but for upper and lower case, or cannot be one; or there are too
        many structures.
    """
    name, inner = name.strip(), segmentation.GetSegmentation()
    classes = classes_in(segmentation.GetAttribute("SPAD.classes"))
    there = structures_of(segmentation)
    names = {s: inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs() if s not in there}
    alike = [s for s in names if same_name(names[s], name)]
    own = next((s for s in alike if names[s] == name), alike[0] if alike else None)
    lost = [c for c in classes[1:] if same_name(c.name, name) and c.value not in there.values()]
    called = name if own is None else names[own]
    new = lost[0] if lost else label_classes([*(c.name for c in classes), called])[-1]
    if own is None:
        color = [level / 255 for level in new.color]
        own = inner.AddEmptySegment(segment_id(new.value), name, color)
    else:
        red, green, blue = (round(255 * level) for level in inner.GetSegment(own).GetColor())
        new = replace(new, color=(red, green, blue))
    _mark(inner.GetSegment(own), new)
    every = sorted([*(c for c in classes if c.value != new.value), new], key=lambda c: c.value)
    segmentation.SetAttribute("SPAD.classes", json.dumps([c.as_json() for c in every]))
    return new


def _mark(segment: Any, structure: LabelClass, *, tagged: bool = True) -> None:
    segment.SetNameAutoGenerated(False)  # else a change of its code would rename it
    if tagged:
        segment.SetTag(TAG, str(structure.value))
    if text := entry(structure.name, structure.terminology):
        segment.SetTag(segment.GetTerminologyEntryTagName(), text)


def structures_of(segmentation: Any) -> dict[str, int]:
    """Segments that stand for classes of a model, by the tag that a result gives them.

    One a class: a copy that came from another result, tag and all, is the person's own.
    """
    inner = segmentation.GetSegmentation()
    found: dict[int, str] = {}
    for segment in inner.GetSegmentIDs():
        text = tag_of(inner.GetSegment(segment), TAG)
        if text.isdecimal() and (int(text) not in found or segment == segment_id(int(text))):
            found[int(text)] = segment
    return {segment: value for value, segment in found.items()}


def tag_of(segment: Any, name: str) -> str:
    """Value of a segment's tag; empty where it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def kept(node: Any, name: str, otherwise: T) -> T:
    """Read an attribute.

    Parameters
    ----------
    node : vtkMRMLNode
    name : str
    otherwise : dict or list
        What is given where there is none, or another kind of value than this.
    """
    try:
        found = parsed_json(node.GetAttribute(name) or "null")
    except ValueError:
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise
