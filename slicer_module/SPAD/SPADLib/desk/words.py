"""What the images of a volume are called: B-scans of OCT, slices of another volume, or images.

Texts are written for B-scans. They are put into the words of what is on the desk where they are
shown: a sentence on its way to the person, and the panel's own texts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from spad.checkpoint import LabelClass
from spad.phantom import CLASS_NAMES
from SPADLib.scene import dicom_modality

__all__ = [
    "FIRST",
    "OPHTHALMIC",
    "Words",
    "numbered",
    "overlapping",
    "retinal",
    "word_for",
    "worded",
]

FIRST = 1
"""What the first B-scan is called: no number of Slicer's stands beside it, its sliders tell mm."""

OPHTHALMIC = ("OPT", "OP", "OPTBSV", "OPTENF", "OPM")
"""DICOM's codes of images of the eye (PS3.3, C.7.3.1.1.1)."""
_LAYERS = frozenset(
    ("ILM", "NFL", "RNFL", "GCL", "IPL", "GCIPL", "INL", "OPL", "ONL", "ELM", "RPE", "DRUSEN")
)
_QUOTED = re.compile("(“[^”]*”)")
_BSCAN = re.compile(r"(?<![\w/\\])((?:[Aa] )?)B-scan(s?)(?![\w/\\.]*[/\\])")


def numbered(index: float, digits: int = 0) -> str:
    """Say the number of a B-scan or a column, or of a place between two with some digits."""
    return f"{index + FIRST:.{digits}f}"


def overlapping(pixels: int) -> str:
    """Say that segments lie over each other, and which of them counts."""
    many = f"{pixels:,} pixels belong" if pixels != 1 else "1 pixel belongs"
    return f"{many} to several segments: the last of them in the list has them."


def retinal(classes: Iterable[LabelClass]) -> list[str]:
    """Names of the structures that are looked for in retinal OCT."""
    names = [c.name for c in classes if c.value]
    return [n for n in names if n in CLASS_NAMES or _LAYERS & set(re.split(r"\W+", n.upper()))]


def word_for(volume: Any, depth: int, classes: Iterable[LabelClass]) -> str:
    """What one of a volume's images is called.

    Parameters
    ----------
    volume : vtkMRMLVolumeNode or None
    depth : int
        How many there are.
    classes : iterable of LabelClass
        Of the model, background first; these tell where DICOM does not.
    """
    classes = tuple(classes)
    found = "" if volume is None else dicom_modality(volume)
    may_be = found in ("", *OPHTHALMIC) and (not classes or retinal(classes))
    if found.startswith("OPT") or may_be:
        return "B-scan"
    return "image" if depth == 1 else "slice"


def worded(text: str, word: str) -> str:
    """Say a text with another word for B-scan; names in “…” and paths stay."""
    if word == "B-scan":
        return text

    def other(found: re.Match[str]) -> str:
        before = found.string[: found.start()]
        starts = before.endswith(". ") or (not before and found.string is parts[0])
        article, many = found.groups()
        if article and word[0] in "aeiou":
            article = f"{article[0]}n "
        said = f"{article}{word}{many}"
        return said[0].upper() + said[1:] if starts else said

    parts = _QUOTED.split(text)
    return "".join(p if n % 2 else _BSCAN.sub(other, p) for n, p in enumerate(parts))


class Words:
    """The panel's own texts, put into the words of what is chosen.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    """

    def __init__(self, desk: Any, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self._shown: Any = None
        self._texts = [
            (widget, set_, text)
            for widget in vars(ui).values()
            for name, set_ in (("text", "setText"), ("toolTip", "setToolTip"))
            if _BSCAN.search(text := str(widget.property(name) or ""))
        ]
        for what in ("parameters", "result"):
            desk.on(what, self.refresh)

    def refresh(self) -> None:
        """Say them anew, where the word is another."""
        if self._shown == (shown := (self.desk.input_word, self.desk.word)):
            return
        self._shown = shown
        for widget, set_, text in self._texts:
            of_input = self.ui.segmentPage.isAncestorOf(widget)
            getattr(widget, set_)(worded(text, shown[0] if of_input else shown[1]))
