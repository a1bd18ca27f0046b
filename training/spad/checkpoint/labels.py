"""Classes of a label map: values, names, colours. The same in every host and in every figure.

The colours are those of Okabe and Ito, which colour-blind users can tell apart. A class name keeps
its colour wherever it appears: the known structures have fixed ones, others take the next free one.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

__all__ = [
    "IGNORE",
    "MAX_CLASSES",
    "LabelClass",
    "label_classes",
    "left_and_right",
    "meant_by",
    "named_like",
    "own_class",
    "plain_text",
    "refuse_masked",
    "same_name",
]

IGNORE = 255
"""Value of a pixel that no loss and no score looks at (and, in a clamp, of a free pixel)."""
_LONGEST = 80  # characters of a name
MAX_CLASSES = 64
"""Upper limit on the number of classes, background included."""

Color = tuple[int, int, int]
Key = TypeVar("Key", bound=Hashable)
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
            isinstance(self.name, str)
            and 0 < len(self.name) <= _LONGEST
            and self.name.isprintable()
        ):
            raise ValueError(
                f"class name {self.name!r} is not 1 to {_LONGEST} printable characters; rename the "
                "class"
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
        Fewer than two classes, more than 64, a repeated or an unprintable name, or two that people
        take for the same (`same_name`).
    """
    names = tuple(names)
    if not 2 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{len(names)} classes given; a model has 2 to {MAX_CLASSES}")
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(f"class names {repeated} are given twice; each needs a name of its own")
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(_folded(name), name)) != name:
            raise ValueError(
                f"the class names {other!r} and {name!r} differ in capitals or in the making of an "
                "accent alone; rename one, or make both one class"
            )
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


def same_name(one: str, other: str) -> bool:
    """Whether two names are one but for upper and lower case and Unicode's composition."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


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
    if exact := [c for c in structures if c.name == name]:
        return exact[0]
    short = _folded(name.split(" (")[0].strip())
    for c in structures:
        if short in (_folded(c.name), _folded(c.name.split(" (")[0].strip())):
            return c
    words = set(re.findall(r"[^\W_]+", _folded(name)))
    meant = [c for c in structures if _folded(c.name) in words]
    return meant[0] if len(meant) == 1 else None


def meant_by(
    names: Mapping[Key, str], classes: Iterable[LabelClass]
) -> dict[Key, LabelClass | None]:
    """The classes that another annotation means by its names (`named_like`), by their keys.

    Where it has "SRF" and also "srf", the one that is spelt as the class is meant, and the other
    is none.
    """
    classes = tuple(classes)
    meant = {key: named_like(name, classes) for key, name in names.items()}
    exact = {c.name for key, c in meant.items() if c is not None and c.name == names[key]}

    def twin(key: Key, c: LabelClass) -> bool:
        return c.name in exact and c.name != names[key] and same_name(c.name, names[key])

    return {key: None if c is None or twin(key, c) else c for key, c in meant.items()}


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


def own_class(value: int, text: str, color: Color, names: Iterable[str]) -> LabelClass:
    """A class of the person's own, whatever a host let them call it.

    Parameters
    ----------
    value : int
    text : str
        What they called it; unprintable characters, what is too long, and nothing at all give way.
    color : tuple of int
    names : iterable of str
        Of the other classes, from which it is told apart by a number.

    Returns
    -------
    LabelClass
    """
    printable = "".join(c if c.isprintable() else " " for c in text)
    name = " ".join(printable.split())[:_LONGEST] or f"segment {value}"
    taken, number, free = {*names}, 1, name
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST - 6]} ({number})"
    return LabelClass(value, free, color)


def plain_text(text: str) -> str:
    """A name that a spreadsheet takes for text, even where it looks like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def refuse_masked(name: str, array: Any) -> None:
    """A ValueError for an array with masked pixels: below their mask they have values, too."""
    from numpy import ma  # a card is read without NumPy

    if ma.is_masked(array):
        raise ValueError(f"{name} is a masked array: give its masked pixels a value (filled)")
