"""A device's scan as any host takes it, and how its parsers refuse."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spad.measuring import Scale
from spad.pictures.limits import Refused

__all__ = ["Scan", "day", "parsing"]


@dataclass(frozen=True)
class Scan:
    """What a file holds; nothing of the patient.

    Parameters
    ----------
    pixels : array, shape (Z, H, W)
        B-scans, rows from the vitreous down, columns from left to right; in the file's dtype.
    scale : Scale
    date : str
        Of the examination, "2026-01-31"; empty where the file does not tell it.
    notes : tuple of str
        What the user should know about how the file was read.
    """

    pixels: NDArray[Any]
    scale: Scale
    date: str = ""
    notes: tuple[str, ...] = ()


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Around the parsing of a vendor's bytes: whatever is raised becomes a ValueError in words."""
    try:
        yield
    except Refused as error:
        raise ValueError(f"{path.name} {error}; export it as DICOM or as images") from None
    except Exception as error:  # a parser of bytes raises anything on a damaged file
        raise ValueError(
            f"{path.name} is damaged or cut short ({type(error).__name__}); copy or export it again"
        ) from None


def day(year: object, month: object, of_month: object) -> str:
    """A day that a file tells, as "2026-01-31"; empty where it is none."""
    try:
        return datetime.date(*(int(str(part)) for part in (year, month, of_month))).isoformat()
    except (ValueError, OverflowError):
        return ""
