"""Checked dataclasses: every field brought to its declared type and limits, to and from JSON.

Cards and configurations come from files of unknown origin. What is refused is refused in words that
name the value, the limit and the remedy; what is kept can ask for nothing that hurts.
"""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

__all__ = ["Checked", "Within", "from_json", "plain", "short"]

_MAX_DEPTH = 8
_MAX_ITEMS = 10_000
_MAX_TEXT = 10_000


class Within(NamedTuple):
    """Limits of a number, or of the length of a text or tuple."""

    low: float
    high: float
    step: int = 1


class Checked:
    """Base of checked dataclasses: each field is brought to its declared type and limits."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            value = _convert(hint, getattr(self, name), f"{type(self).__name__}.{name}")
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Check what concerns more than one field."""


def _hints(cls: type) -> dict[str, Any]:
    """Resolve the types of a dataclass's fields, limits included."""
    hints = get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in fields(cls)}


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Bring `value` to the type `hint`: lists become tuples, JSON objects dataclasses."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _within(args[1], _convert(args[0], value, where), where)
    if origin in (UnionType, Union):  # only X | None occurs
        return None if value is None else _convert(args[0], value, where)
    if origin is Literal:
        if not (isinstance(value, str) and value in args):
            raise ValueError(f"{where} is {short(value)}, not one of {', '.join(args)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where} is {short(value)}, not a list")
        items = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(items) != len(value):
            raise ValueError(f"{where} has {len(value)} items; give {len(items)}")
        return tuple(
            _convert(h, v, f"{where}[{i}]")
            for i, (h, v) in enumerate(zip(items, value, strict=True))
        )
    if is_dataclass(hint):
        return from_json(hint, value, where)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is {short(value)}, not a JSON object")
        return _free_form(value, where, _MAX_DEPTH, iter(range(_MAX_ITEMS)))
    if hint is float and type(value) is int:
        value = _number(value, where)
    # `bool` is an `int` to isinstance, and no number to anyone who writes a card.
    if isinstance(value, bool) != (hint is bool) or not isinstance(value, hint):
        raise ValueError(f"{where} is {short(value)}, not of type {hint.__name__}")
    return hint(value)


def from_json(cls: Any, value: Any, where: str) -> Any:
    """Build a dataclass from a JSON object, or again from an instance, whose fields are checked."""
    hints = _hints(cls)
    if isinstance(value, cls):
        value = {name: getattr(value, name) for name in hints}
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {short(value)}, not a JSON object")
    for key in value:
        if key not in hints:
            near = difflib.get_close_matches(str(key)[:80], hints, n=1, cutoff=0)[0]
            raise ValueError(f"{where} has an unknown key {short(key)}; did you mean {near!r}?")
    for f in fields(cls):
        if f.name not in value and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{where} lacks {f.name!r}; add it")
    return cls(**{k: _convert(hints[k], v, f"{where}.{k}") for k, v in value.items()})


def _within(limits: Within, value: Any, where: str) -> Any:
    """Check `value`, or its length, against the limits; a text must be printable."""
    low, high, step = limits
    sized = isinstance(value, (str, tuple))
    number = len(value) if sized else value
    if not low <= number <= high or (step > 1 and number % step):  # NaN fails the comparison too
        raise ValueError(
            f"{where} {'has length' if sized else 'is'} {short(number)}; allowed are {low:g} to "
            f"{high:g}{f' in multiples of {step}' if step > 1 else ''}"
        )
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(f"{where} {short(value)} has control characters; remove them")
    return value


def _number(value: Any, where: str) -> float:
    """`value` as a finite float."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{where} is {short(value)}, not a finite number; None says 'no value'")
    return number


def _free_form(value: Any, where: str, depth: int, budget: Any) -> Any:
    """Copy `value` in plain JSON types, bounded in depth, in items and in length of texts.

    `budget` is an iterator with one element for each value still allowed, shared by the recursion.
    """
    if next(budget, None) is None:
        raise ValueError(f"{where}: more than {_MAX_ITEMS} values; shorten it")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise ValueError(f"{where} has {len(value)} characters; allowed are {_MAX_TEXT}")
        return str(value)
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError(f"{where} is {short(value)}, beyond 64 bits; store it as a text")
        return int(value)
    if isinstance(value, float):
        return _number(value, where)
    if depth == 0:
        raise ValueError(f"{where} is nested more than {_MAX_DEPTH} deep; flatten it")
    if isinstance(value, Mapping):
        if bad := [
            k for k in value if not (isinstance(k, str) and k.isprintable() and len(k) <= 200)
        ]:
            raise ValueError(
                f"{where}: key {short(bad[0])} is not a text of up to 200 printable letters"
            )
        return {k: _free_form(v, f"{where}.{k}", depth - 1, budget) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_free_form(v, f"{where}[{i}]", depth - 1, budget) for i, v in enumerate(value)]
    raise ValueError(
        f"{where} is of type {type(value).__name__}, which JSON lacks; convert it (.item(), "
        ".tolist(), str())"
    )


def plain(value: Any) -> Any:
    """JSON values of a dataclass; None (no terminology) is left out."""
    if is_dataclass(value):
        pairs = {f.name: getattr(value, f.name) for f in fields(value)}
        return {k: plain(v) for k, v in pairs.items() if v is not None}
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return copy.deepcopy(dict(value))
    return value


def short(value: Any) -> str:
    """`value` for a message: never longer than a line, whatever the file holds."""
    if isinstance(value, int) and value.bit_length() > 200:  # repr may refuse to print it
        return f"an integer of {value.bit_length()} bits"
    text = repr(value) if isinstance(value, (int, float, str, type(None))) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
