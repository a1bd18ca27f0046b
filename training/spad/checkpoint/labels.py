"""Classes of a label map: values, names, colours. The same in every host and in every figure.

The colours are those of Okabe and Ito, which colour-blind users can tell apart. A class name keeps
its colour wherever it appears: the known structures have fixed ones, others take the next free one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = [
    "IGNORE",
    "MAX_CLASSES",
    "LabelClass",
    "label_classes",
    "left_and_right",
    "named_like",
    "plain_text",
]

IGNORE = 255
"""Value of a pixel that no loss and no score looks at (and, in a clamp, of a free pixel)."""
MAX_CLASSES = 64
"""Upper limit on the number of classes, background included."""

Color = tuple[int, int, int]
_SIDES = [
    {"left", "right"}, {"l", "r"}, {"links", "rechts"}, {"gauche", "droit"}, {"gauche", "droite"},
    {"izquierdo", "derecho"}, {"izquierda", "derecha"}, {"sinistro", "destro"},
]  # fmt: skip

BACKGROUND_COLOR: Color = (0, 0, 0)
_PALETTE: tuple[Color, ...] = (  # Okabe and Ito (2008), without black
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
)
_KNOWN: Mapping[str, Color] = MappingProxyType(
    dict(zip(("SRF", "IRF", "PED", "SHRM", "IS/OS"), _PALETTE, strict=False))
)


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class of a label map.

    Parameters
    ----------
    value : int
        Its value in label maps, 0 (background) to 63.
    name : str
        Its name, unique among the classes of a model.
    color : tuple of int
        Red, green, blue in 0..255.
    terminology : mapping, optional
        Codes for hosts that know them (DICOM segmentation property), free-form.
    """

    value: int
    name: str
    color: Color
    terminology: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (type(self.value) is int and 0 <= self.value < MAX_CLASSES):
            raise ValueError(
                f"class value {self.value!r} is not an integer in 0..{MAX_CLASSES - 1}; "
                "renumber the classes"
            )
        if not (
            isinstance(self.name, str) and 0 < len(self.name) <= 80 and self.name.isprintable()
        ):
            raise ValueError(
                f"class name {self.name!r} is not 1 to 80 printable characters; rename the class"
            )
        if not (
            isinstance(self.color, tuple)
            and len(self.color) == 3
            and all(type(c) is int and 0 <= c <= 255 for c in self.color)
        ):
            raise ValueError(
                f"colour {self.color!r} of class {self.name!r} is not three integers in 0..255"
            )

    @property
    def hex(self) -> str:
        """The colour as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)

    def as_json(self) -> dict[str, Any]:
        """The class as plain JSON values."""
        out: dict[str, Any] = {"value": self.value, "name": self.name, "color": list(self.color)}
        if self.terminology is not None:
            out["terminology"] = dict(self.terminology)
        return out


def label_classes(names: Iterable[str]) -> tuple[LabelClass, ...]:
    """Classes numbered 0, 1, ... in the order of their names, with the house's colours.

    Parameters
    ----------
    names : iterable of str
        Background first.

    Returns
    -------
    tuple of LabelClass

    Raises
    ------
    ValueError
        Fewer than two classes, more than 64, a repeated or an unprintable name.
    """
    names = tuple(names)
    if not 2 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{len(names)} classes given; a model has 2 to {MAX_CLASSES}")
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(f"class names {repeated} are given twice; each needs a name of its own")
    taken = {_KNOWN[n] for n in names if n in _KNOWN}
    free = [c for c in _PALETTE if c not in taken] or list(_PALETTE)
    others = 0
    classes = [LabelClass(0, names[0], BACKGROUND_COLOR)]
    for value, name in enumerate(names[1:], start=1):
        if name in _KNOWN:
            color = _KNOWN[name]
        else:
            base, lap = free[others % len(free)], others // len(free)
            # Past the palette: the same hues, lighter by 1/2, 1/4, 3/4, 1/8 ... (the lap's bits,
            # mirrored), so that no two classes are equal.
            lighter = int(f"{lap:05b}"[::-1], 2)
            color = tuple(c + (255 - c) * lighter // 32 for c in base)  # type: ignore[assignment]
            others += 1
        classes.append(LabelClass(value, name, color))
    return tuple(classes)


def named_like(name: str, classes: Iterable[LabelClass]) -> LabelClass | None:
    """The class that another annotation means by a name, or None.

    "SRF (neuroepithelium detachment)" is SRF; "drusen/PED-like" is PED, for no other class's name
    is a word of it; "fluid (IRF+SRF)" is none, for two are.

    Parameters
    ----------
    name : str
    classes : iterable of LabelClass

    Returns
    -------
    LabelClass or None
    """
    structures = [c for c in classes if c.value]
    short = name.split(" (")[0].strip().casefold()
    for c in structures:
        if short in (c.name.casefold(), c.name.split(" (")[0].strip().casefold()):
            return c
    words = set(re.findall(r"[^\W_]+", name.casefold()))
    meant = [c for c in structures if c.name.casefold() in words]
    return meant[0] if len(meant) == 1 else None


def left_and_right(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of classes that differ in their side alone ("left lung" and "right lung").

    In a mirrored image each of them looks like the other.
    """
    words = [(name, re.findall(r"[^\W_]+", name.casefold())) for name in names]
    pairs = []
    for (one, its), (other, theirs) in itertools.combinations(words, 2):
        apart = [{*pair} for pair in itertools.zip_longest(its, theirs) if pair[0] != pair[1]]
        if len(apart) == 1 and apart[0] in _SIDES:
            pairs.append((one, other))
    return pairs


def plain_text(text: str) -> str:
    """A name that a spreadsheet takes for text, even where it looks like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
