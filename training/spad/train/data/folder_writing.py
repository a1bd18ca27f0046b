"""Writing case folders as PNG: `spad.cases`, with Pillow to encode the pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from spad.cases import NewCase, write_cases
from spad.pictures import image_files

__all__ = ["write_folder"]


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
