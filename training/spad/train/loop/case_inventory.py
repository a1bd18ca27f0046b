"""The cases of a run, one a line, so that a resume can say which of them have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spad.cases import Case
from spad.train.loop.preparation import Prepared

__all__ = ["changed_cases", "inventory"]

_SHOWN = 5


def inventory(prepared: Prepared) -> list[str]:
    """``split<TAB>folder/name<TAB>stamps`` of each case: sizes and times of its files."""
    return [
        f"{split}\t{case.folder.name}/{case.name}\t{_stamps(case)}"
        for split, cases in (("train", prepared.training), ("validation", prepared.validation))
        for case, _ in cases
    ]


def changed_cases(old: Path, now: Sequence[str]) -> str:
    """Say what has changed since an inventory was written; of each kind up to five cases."""
    try:
        was = _parsed(old.read_text("utf-8", "surrogateescape").splitlines())
    except (OSError, ValueError):
        return "the case folders (files, splits or mapping)"
    new = _parsed(now)
    kinds = {
        "added": [case for case in new if case not in was],
        "removed": [case for case in was if case not in new],
        "changed": [case for case in new if case in was and new[case] != was[case]],
    }
    said = [
        f"{kind} {', '.join(cases[:_SHOWN])}"
        + (f" and {len(cases) - _SHOWN} more" if len(cases) > _SHOWN else "")
        for kind, cases in kinds.items()
        if cases
    ]
    return f"the case folders ({'; '.join(said) or 'their splits or the mapping of classes'})"


def _parsed(lines: Sequence[str]) -> dict[str, str]:
    rows = [line.split("\t") for line in lines]
    return {f"{case} ({split})": stamps for split, case, stamps in rows}


def _stamps(case: Case) -> str:
    stats = [
        file.stat() for file in (case.image, case.labels) if file is not None and file.exists()
    ]
    return " ".join(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)
