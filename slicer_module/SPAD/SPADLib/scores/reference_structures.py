"""Which structure of the model each structure of a reference is.

They are matched by name (a result of ours by the class behind each segment), by value only where
there are no names; what the user changes is kept with the result's segmentation, and so with the
scene.
"""

from __future__ import annotations

import json
from typing import Any

from numpy.typing import NDArray

from spad.checkpoint import IGNORE, LabelClass, meant_by
from spad.metrics import match, values_in
from SPADLib.scene import Result, as_called, kept, labels_of_volume, structures_of

__all__ = ["MatchedNode"]

MATCH = "SPAD.match"
"""Attribute of a result's segmentation: {number: {key: class value or null}}.

The node reference ``SPAD.match.NUMBER`` tells of which reference: Slicer gives other ids to the
nodes of a scene that is added, and knows references. 0.1 kept the id itself in place of a number.
"""


class MatchedNode:
    """A segmentation or label map whose structures stand for those of a result.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
    result : Result
    """

    def __init__(self, node: Any, result: Result) -> None:
        self.node, self.result = node, result
        self._seen: tuple[tuple[int, int], dict[int, str], bool] | None = None

    @property
    def is_segmentation(self) -> bool:
        """Whether it is a segmentation, not a label map."""
        return bool(self.node.IsA("vtkMRMLSegmentationNode"))

    @property
    def names(self) -> dict[str, str]:
        """Its structures: key (segment id, or label value as text) and name."""
        if self.is_segmentation:
            inner = self.node.GetSegmentation()
            return {s: inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs()}
        named, own = self._values()
        listed = own or self._match(named)[1]
        return {str(v): (n if listed else "") or f"label {v}" for v, n in named.items()}

    @property
    def match(self) -> dict[str, int | None]:
        """Class value that each structure stands for, by key.

        None where it is none of the model's, `spad.checkpoint.labels.IGNORE` where its pixels are
        not counted.
        """
        chosen = self.chosen()
        return {key: chosen.get(key, value) for key, value in self.guess()[0].items()}

    def set_match(self, key: str, value: int | None) -> None:
        """Say which structure of the model one of the reference's is.

        Parameters
        ----------
        key : str
            From `names`.
        value : int or None
            A class value; None or 0: none of them; `spad.checkpoint.labels.IGNORE`: do not count
            there.

        Raises
        ------
        ValueError
            There is no such structure.
        """
        guessed = self.guess()[0]
        value = value or None
        known = {c.value for c in self.result.classes[1:]}
        if key not in guessed:
            raise ValueError(
                f"“{self.node.GetName()}” has no structure {key!r} (it has "
                f"{', '.join(guessed) or 'none'}): choose again"
            )
        if value not in {None, IGNORE, *known}:
            raise ValueError(
                f"{value!r} is no structure of the model, which has {sorted(known)}: choose again"
            )
        chosen = {k: v for k, v in self.chosen().items() if k in guessed and k != key}
        if value != guessed[key]:
            chosen[key] = value
        every, number = self._kept(), self._number()
        if number is None or not number.isdecimal():
            every.pop(number, None)
            number = next(str(n) for n in range(len(every) + 1) if str(n) not in every)
        every[number] = chosen
        node = self.result.segmentation
        node.SetNodeReferenceID(f"{MATCH}.{number}", self.node.GetID() if chosen else None)
        node.SetAttribute(MATCH, json.dumps({k: v for k, v in every.items() if v}))

    def _kept(self) -> dict[str | None, dict[str, int | None]]:
        found = kept(self.result.segmentation, MATCH, {})
        return {k: v for k, v in found.items() if isinstance(v, dict)}

    def _number(self) -> str | None:
        """Under which the match with this reference is kept; None where it is not."""
        own, node = self.node.GetID(), self.result.segmentation
        for number in self._kept():
            if own in (number, node.GetNodeReferenceID(f"{MATCH}.{number}")):
                return number
        return None

    def chosen(self) -> dict[str, int | None]:
        """What a person has said of the match, by key."""
        return self._kept().get(self._number(), {})

    def guess(self) -> tuple[dict[str, int | None], str]:
        """Match by key, and a remark on how it came about."""
        classes = self.result.classes
        if self.is_segmentation:
            tags = structures_of(self.node)
            theirs = {
                c["value"]: c["name"]
                for c in kept(self.node, "SPAD.classes", [])
                if isinstance(c, dict) and {"value", "name"} <= set(c)
            }
            names = {k: theirs.get(tags.get(k), name) for k, name in self.names.items()}
            called = meant_by(names, as_called(self.result.segmentation))
            like = {k: called[k] or c for k, c in meant_by(names, classes).items()}
            return {
                key: self._meant(name, tags.get(key), like[key], bool(theirs))
                for key, name in names.items()
            }, ""
        named, own = self._values()
        table, by_name = self._match(named)
        if by_name or not named:
            return {str(v): c for v, c in table.items()}, ""
        if own:
            remark = "No names agree: say which structure is which."
            return {str(v): None for v in table}, remark
        remark = "The reference has no names that agree: structures are matched by value."
        return {str(v): c for v, c in table.items()}, remark

    def _match(self, named: dict[int, str]) -> tuple[dict[int, int | None], bool]:
        """Match values by what a person, or else the model, calls the structures."""
        table, by_name = match(named, as_called(self.result.segmentation))
        return (table, by_name) if by_name else match(named, self.result.classes)

    def _meant(
        self, name: str, tag: int | None, like: LabelClass | None, theirs: bool
    ) -> int | None:
        """Class of a segment by its name, what that means, and the tag of a result, if it has."""
        classes = self.result.classes
        same = [c.value for c in classes[1:] if c.value == tag and c.name == name]
        if same:
            return same[0]
        if like is not None:
            return like.value
        # Without its model's classes beside it, as in a file, a renamed segment has only the tag.
        known = {c.value for c in classes[1:]}
        return tag if not theirs and tag in known else None

    def own(self) -> NDArray[Any]:
        """Values of a label map on its own grid, (K, J, I)."""
        return labels_of_volume(self.node, self.node).labels

    def _values(self) -> tuple[dict[int, str], bool]:
        """Values of a label map with their names, and whether the names are its own."""
        display = self.node.GetDisplayNode()
        table = display.GetColorNode() if display is not None else None
        if table is not None and not table.IsA("vtkMRMLColorTableNode"):
            table = None
        image = self.node.GetImageData()
        stamp = image.GetMTime() if image else 0, table.GetMTime() if table else 0
        if self._seen is None or self._seen[0] != stamp:
            values = set(values_in(self.own())) - {0, IGNORE}
            named = {v: _color_name(table, v) for v in sorted(values)}
            # Slicer gives label maps a table of its own unasked; its names say nothing.
            own = table is not None and not table.GetSingletonTag() and any(named.values())
            self._seen = stamp, named, own
        return self._seen[1], self._seen[2]


def _color_name(table: Any, value: int) -> str:
    if table is None or not 0 <= value < table.GetNumberOfColors():
        return ""
    name = table.GetColorName(value) or ""
    return "" if name == "(none)" else name  # how a table calls what it has no entry for
