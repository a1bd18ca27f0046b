"""Writing case folders as PNG: `spad.cases`, with Pillow to encode the pixels."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spad.cases import NewCase, write_cases
from spad.pictures import image_files

__all__ = ["target_problems", "whole_folder", "write_folder"]

_WITHIN = ".partial"


def write_folder(
    path: str | os.PathLike[str],
    cases: Iterable[NewCase],
    names: Mapping[int, str],
    *,
    replace: bool = False,
) -> int:
    """Write cases as :func:`spad.cases.write_cases` does; return how many."""
    written = write_cases(path, cases, names, encode=image_files.png_bytes, replace=replace)
    return len(written.splits)


def target_problems(dst: Path) -> list[str]:
    """Say what stands against a new folder there, for `whole_folder`; [] if nothing does."""
    problems = []
    there = list(dst.iterdir()) if dst.is_dir() else []
    partial = dst / _WITHIN if [one.name for one in there] == [_WITHIN] else _partial(dst)
    if partial.exists():
        problems.append(
            f"{partial}: is left of an import that was killed, or of phantoms; remove it"
        )
    elif dst.exists() and (there or not dst.is_dir()):
        problems.append(f"{dst}: exists and is not empty; choose another folder")
    return problems


@contextmanager
def whole_folder(dst: Path) -> Iterator[Path]:
    """Give a folder that becomes `dst` at the end, and vanishes on a fault.

    It lies beside `dst`, or within one that is there and empty: that may be a mount, or where the
    person stands.
    """
    dst = dst.resolve()
    there = dst.exists()
    partial = dst / _WITHIN if there else _partial(dst)
    partial.mkdir(parents=True)
    try:
        yield partial
        if there:
            for one in sorted(partial.iterdir()):
                one.rename(dst / one.name)
            partial.rmdir()
        else:
            partial.rename(dst)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _partial(dst: Path) -> Path:
    dst = dst.resolve()
    return dst.with_name(f"{dst.name}.partial")
