"""Structures of one label map found in another: by their names, else by their values.

A reference comes from elsewhere, with values and names of its own. Here they become the classes of
the label map that it is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, MAX_CLASSES, LabelClass, meant_by

__all__ = ["class_table", "match", "nothing_known", "translate", "values_in"]


def values_in(data: Any) -> list[int]:
    """Values that occur in a label map, read slice by slice: lazy arrays stay lazy.

    Parameters
    ----------
    data : array of int or bool, shape (H, W), (Z, H, W) or more axes

    Returns
    -------
    list of int
        Ascending. Of a map with far more values than there can be classes, only the first ones.
    """
    data = data if data.ndim > 2 else data[None]
    found: set[int] = set()
    for part in data:
        part = np.asarray(part)
        if part.dtype.itemsize == 1 and part.dtype.kind != "i":
            found.update(np.flatnonzero(np.bincount(part.ravel(), minlength=2)).tolist())
        else:
            found.update(np.unique(part).tolist())
        if len(found) > 4 * MAX_CLASSES:
            break
    return sorted(found)


def match(
    names: Mapping[int, str], classes: Sequence[LabelClass], values: Sequence[int] | None = None
) -> tuple[dict[int, int | None], bool]:
    """Guess which class another label map means by each of its values.

    By name (`meant_by`) where any name agrees, else by value.

    Parameters
    ----------
    names : mapping of int to str
        Of the other map's values; an empty text where a value has none. Background and `IGNORE`
        are left out.
    classes : sequence of LabelClass
    values : sequence of int, optional
        Values of the classes in their own label map; those of `classes` by default.

    Returns
    -------
    table : dict of int to (int or None)
        Class value of every value in `names`; None where there is no such class.
    named : bool
        Whether names decided.
    """
    meant = meant_by({v: n for v, n in names.items() if v not in (0, IGNORE)}, classes)
    if any(meant.values()):
        return {v: c.value if c else None for v, c in meant.items()}, True
    own = [c.value for c in classes] if values is None else values
    by_value = {v: c.value for v, c in zip(own, classes, strict=True)}
    return {v: by_value.get(v) for v in meant}, False


def class_table(
    theirs: Mapping[int, str],
    data: Any,
    classes: Sequence[LabelClass],
    values: Sequence[int] | None = None,
) -> tuple[dict[int, int], str]:
    """Return how another label map's values become classes, and what there is to say about it.

    Parameters
    ----------
    theirs : mapping of int to str
        Names of the other map's values, as far as it has any.
    data : array of int or bool
        The other map.
    classes, values
        As for `match`.

    Returns
    -------
    table : dict of int to int
        For `translate`; values that are no class are not in it.
    remark : str
        Empty where all went well.
    """
    found = [v for v in values_in(data) if v not in (0, IGNORE)]
    meant, named = match({**dict.fromkeys(found, ""), **theirs}, classes, values)
    table, unknown = {IGNORE: IGNORE}, []
    for value in found:
        code = meant[value]
        if code is None:
            unknown.append(theirs.get(value, "") or str(value))
        else:
            table[value] = code
    said = []
    listed = ", ".join(unknown[:4]) + (" …" if len(unknown) > 4 else "")
    if nothing_known(data, table):
        return table, f"Nothing to compare: no structure here is in the reference, only {listed}."
    if unknown:
        said.append(f"In the reference only, counted as background: {listed}.")
    if any(v for v in theirs) and not named:
        said.append("No names agree: structures are matched by value.")
    return table, " ".join(said)


def nothing_known(data: Any, table: Mapping[int, int]) -> bool:
    """Whether a label map holds structures, and none of them is in the table of `class_table`."""
    return set(table) <= {IGNORE} and bool(set(values_in(data)) - {0, IGNORE})


def translate(data: NDArray[Any], table: Mapping[int, int], other: int) -> NDArray[np.uint8]:
    """Values to classes; what the table lacks becomes `other`, but 0 stays 0.

    Parameters
    ----------
    data : array of int or bool, any shape
    table : mapping of int to int
        Class value, 0..255, of each value; these may be negative or beyond 255.
    other : int

    Returns
    -------
    ndarray of uint8
        A new array of the same shape.
    """
    if data.ndim > 2:  # `take` makes int64 of its indices, which a stack should not pay for
        out = np.empty(data.shape, np.uint8)
        for part, into in zip(data, out, strict=True):
            into[...] = translate(part, table, other)
        return out
    if data.dtype == np.bool_:
        data = data.view(np.uint8)
    look_up = np.full(257, other, np.uint8)  # the last entry is for all values past 255
    look_up[0] = 0
    far = {v: c for v, c in table.items() if not 0 <= v <= 255}
    for value, code in table.items():
        if value not in far:
            look_up[value] = code
    out = np.empty(data.shape, np.uint8)
    if data.dtype == np.uint8:
        np.take(look_up, data, out=out)
        return out
    inside = (data >= 0) & (data <= 255)
    np.take(look_up, np.where(inside, data, 256).astype(np.int64), out=out)
    for value, code in far.items():
        out[data == value] = code
    return out
