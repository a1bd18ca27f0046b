"""From checked sources to a case folder that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from spad.cases import CaseError, NewCase, faults, file_error
from spad.train.data import target_problems, whole_folder, write_folder
from spad.train.imports.report import Report

__all__ = ["Progress", "check_folders", "transfer"]

Progress = Callable[[str, int, int], None]
"""Told what is done, how many are done, and of how many."""
T = TypeVar("T")


def check_folders(src: Path, read: Sequence[Path], dst: Path) -> None:
    """Refuse a source that is no folder, and a target that holds or would mix with anything.

    Parameters
    ----------
    src : Path
        The data set.
    read : sequence of Path
        Folders whose files are read.
    dst : Path
        The case folder to come.

    Raises
    ------
    CaseError
    """
    problems = []
    if not src.is_dir():
        problems.append(f"{src}: there is no such folder; name the folder of the data set")
    problems += target_problems(dst)
    for folder in read:
        if folder.resolve() in (dst.resolve(), *dst.resolve().parents):
            problems.append(f"{dst}: lies within {folder}, which is read; choose another folder")
    if problems:
        raise CaseError(problems)


def transfer(
    dst: Path,
    entries: Sequence[T],
    read: Callable[[T, bool], NewCase],
    names: Mapping[int, str],
    report: Report,
    progress: Progress,
) -> None:
    """Check every case, then write all of them; one case is in memory at a time.

    Parameters
    ----------
    dst : Path
        Absent or empty; it appears when all is written.
    entries : sequence
        What each case is read from.
    read : callable
        Reads a case from its entry; the flag is True while checking, when things are counted.
    names : mapping of int to str
        Value -> name.
    report : Report
        Filled.
    progress : callable

    Raises
    ------
    CaseError
        All faults of all cases; nothing is written.
    OSError
        The disk is full or not writable; what was written is removed.
    """
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            case = read(entry, True)
        except CaseError as error:
            problems += error.problems
        except (ValueError, OSError) as error:
            problems.append(file_error(error))
        else:
            problems += [f"{case.name}: {problem}" for problem in faults(case, names)]
            report.add(case)
        progress("checked", number, len(entries))
    if problems:
        raise CaseError(problems)

    def cases() -> Iterator[NewCase]:
        for number, entry in enumerate(entries, 1):
            yield read(entry, False)
            progress("written", number, len(entries))

    with whole_folder(dst) as folder:
        write_folder(folder, cases(), names)
