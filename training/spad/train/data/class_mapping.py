"""Which values of a data set are which class of a model.

Data sets number and name their structures as they like; a mapping ``{class: [values or names]}``
brings them to a model's classes, so that several sets train one model and any set can score it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import Case, CaseError, CaseFolder, composed
from spad.checkpoint import IGNORE, MAX_CLASSES

__all__ = [
    "IGNORED",
    "class_table",
    "judged_classes",
    "misplaced_background",
    "model_mapping",
    "named_members",
    "parse_mapping",
    "unknown_members",
]

IGNORED = "ignore"
"""The key of a mapping whose values no loss and no score shall see."""


def class_table(
    names: Mapping[int, str], mapping: Mapping[str, Sequence[int | str]] | None = None
) -> NDArray[np.uint8]:
    """Build the table that turns a data set's values into a model's classes.

    Parameters
    ----------
    names : mapping of int to str
        The data set's values and their names.
    mapping : mapping of str to sequence of int or str, optional
        For each class of the model, in the model's order, the data set's values (or names) that
        become it. The key ``ignore`` collects those that no loss and no score shall see. Values
        that this data set does not have are another's (`unknown_members` finds those that none
        has). Without a mapping the data set's values, in ascending order, are the classes.

    Returns
    -------
    ndarray of uint8, shape (256,)
        Entry v is the class of value v; 255 (ignore) for 255 and for values that do not exist.

    Raises
    ------
    CaseError
        A repeated or an unmapped value, too many or too few classes, or a first class that is not
        the background; all of them listed.
    """
    table, by_value = np.full(256, IGNORE, np.uint8), mapping is None
    if mapping is None:
        mapping = {name: [value] for value, name in names.items()}
    problems = []
    classes = [name for name in mapping if name != IGNORED]
    if not 2 <= len(classes) <= MAX_CLASSES:
        problems.append(f"{len(classes)} classes given; a model has 2 to {MAX_CLASSES}")
    owner: dict[int, str] = {}
    for name, members in mapping.items():
        for member in _members(members):
            value = _value(member, names)
            if value is None:
                continue
            if owner.setdefault(value, name) != name:
                problems.append(
                    f"value {value} ({names[value]!r}) is in the classes {owner[value]!r} and "
                    f"{name!r}; keep it in one"
                )
            elif name != IGNORED and len(classes) <= MAX_CLASSES:
                table[value] = classes.index(name)
    if missing := [f"{v} {n!r}" for v, n in names.items() if v not in owner]:
        problems.append(
            f"the values {', '.join(missing)} are in no class; map them to one "
            f'("{classes[0] if classes else "background"}", perhaps) or to "{IGNORED}"'
        )
    if classes and not problems:
        first = "" if by_value and 0 not in names else owner.get(0, classes[0])
        problems += filter(None, [misplaced_background(classes, first)])
    if problems:
        raise CaseError(problems)
    return table


def misplaced_background(classes: Sequence[str], of_zero: str) -> str:
    """What is wrong with the order of a model's classes, whose first is its background.

    Parameters
    ----------
    classes : sequence of str
        In the model's order.
    of_zero : str
        The class of the data set's value 0, if no class is called background; empty: none.

    Returns
    -------
    str
        Empty where nothing is.
    """
    named = next((name for name in classes if name.casefold() == "background"), of_zero)
    if named in (classes[0], IGNORED):
        return ""
    place = "put it first in [classes]" if named else "give [classes] that begins with it"
    return (
        f"the first class is {classes[0]!r}, and a model's first class is its background, which no "
        f"score counts; {f'that is {named!r} here' if named else 'value 0 is none here'}: {place}"
    )


def named_members(
    names: Mapping[int, str], mapping: Mapping[str, Sequence[int | str]]
) -> dict[str, list[str]]:
    """Give a mapping as names of a data set's values, which mean the same in any other set."""
    return {
        name: [names[v] for one in _members(members) if (v := _value(one, names)) is not None]
        for name, members in mapping.items()
    }


def judged_classes(
    case: Case, table: NDArray[np.uint8], k: int, names: Mapping[int, str] | None
) -> NDArray[np.bool_]:
    """Which classes the annotator of a case looked for, bool of shape (k,).

    Parameters
    ----------
    case : Case
    table : ndarray of uint8, shape (256,)
        From `class_table`. A class that no value becomes was not looked for.
    k : int
        Classes of the model, background included.
    names : mapping of int to str, optional
        The data set's ``labels.json``; with it, a class is left out if one of its values is no
        structure of the case's ``annotated``.
    """
    judged = np.isin(np.arange(k), table)
    if case.annotated is not None and names is not None:
        for value, name in names.items():
            if name not in case.annotated and table[value] not in (0, IGNORE):
                judged[table[value]] = False
    return judged


def unknown_members(
    sets: Sequence[Mapping[int, str]], mapping: Mapping[str, Sequence[int | str]]
) -> list[str]:
    """List what a mapping says that fits none of some data sets, or means two things in them.

    Parameters
    ----------
    sets : sequence of mapping of int to str
        The data sets' values and names.
    mapping : mapping
        As for `class_table`.

    Returns
    -------
    list of str
        Faults, in words.
    """
    problems = []
    for name, members in mapping.items():
        for member in _members(members):
            meant = {names[value] for names in sets if (value := _value(member, names)) is not None}
            if not meant:
                known = dict.fromkeys(f"{v} {n!r}" for names in sets for v, n in names.items())
                problems.append(
                    f"class {name!r} is made of {member!r}, which labels.json does not know; it "
                    f"has {', '.join(known)}"
                )
            elif len(meant) > 1:
                problems.append(
                    f"class {name!r} is made of {member!r}, which means "
                    f"{' and '.join(map(repr, sorted(meant)))} in different folders; map names "
                    "instead of numbers"
                )
    return problems


def _members(members: Any) -> Sequence[Any]:
    """Accept ``SRF = 1`` for ``SRF = [1]``."""
    return members if isinstance(members, list | tuple) else [members]


def _value(member: Any, names: Mapping[int, str]) -> int | None:
    """Give the data set's value that a mapping's number or name stands for, if it has it."""
    wanted = composed(member) if isinstance(member, str) else member
    for value, name in names.items():
        if wanted == (name if isinstance(member, str) else value) and member is not True:
            return value
    return None


def model_mapping(
    folder: CaseFolder,
    classes: Sequence[str],
    *,
    given: Mapping[str, Sequence[int | str]] | None = None,
    stored: Any = None,
) -> dict[str, list[int | str]]:
    """Find the mapping of a folder to a model's classes: as given, by equal names, or as stored.

    Parameters
    ----------
    folder : CaseFolder
    classes : sequence of str
        Names of the model's classes.
    given : mapping, optional
        What the person says.
    stored : mapping, optional
        What the checkpoint says about this folder; not trusted.

    Returns
    -------
    dict
        An entry for every class, in the model's order, and for ``ignore``; `class_table` checks
        the values.

    Raises
    ------
    CaseError
        A class that the model does not have, or no mapping can be found.
    """
    found: dict[str, list[int | str]] = {}
    own = {composed(name): name for name in classes}
    if given is not None:
        found = {own.get(composed(name), name): list(members) for name, members in given.items()}
    elif set(folder.names.values()) <= own.keys():
        found = {own[name]: [name] for name in folder.names.values()}
    elif remembered := _remembered(folder, stored):
        found = remembered
    else:
        has = ", ".join(f"{value} {name!r}" for value, name in folder.names.items())
        raise CaseError(
            [
                f"{folder.path / 'labels.json'}: its classes ({has}) are not the model's "
                f"({', '.join(classes)}), and the model was not trained on this folder; say what "
                'is what: --map "background=0,5 SRF=1 ..."'
            ]
        )
    if unknown := [name for name in found if name not in (*classes, IGNORED)]:
        raise CaseError(
            [
                f"the model has no class {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(classes)} (and {IGNORED})"
            ]
        )
    return {name: found.get(name, []) for name in (*classes, IGNORED)}


def _remembered(folder: CaseFolder, stored: Any) -> dict[str, list[int | str]]:
    """What a checkpoint says about a folder; empty if of another folder of that name.

    Older checkpoints have numbers, which tell no folder from another.
    """
    found: dict[str, list[int | str]] = {}
    for name, members in stored.items() if isinstance(stored, Mapping) else ():
        known = (composed(one) if isinstance(one, str) else one for one in _members(members))
        found[str(name)] = [
            one for one in known if type(one) is int or one in folder.names.values()
        ]
    said = [one for members in found.values() for one in members]
    whole = any(type(one) is int for one in said) or set(said) >= set(folder.names.values())
    return found if whole else {}


def parse_mapping(parts: Iterable[str]) -> dict[str, list[int | str]]:
    """Parse ``SRF=1 background=0,5``, in one text or several; a name with spaces in its own.

    Raises
    ------
    ValueError
        A part that does not read so.
    """
    found: dict[str, list[int | str]] = {}
    for part in parts:
        for item in [part] if part.count("=") == 1 else part.split():
            name, _, values = item.partition("=")
            try:
                found.setdefault(name.strip(), []).extend(int(v) for v in values.split(","))
            except ValueError:
                raise ValueError(
                    f"--map {item!r} is not CLASS=VALUES, such as SRF=1 or background=0,5"
                ) from None
    return found
