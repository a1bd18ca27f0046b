"""A patient's pseudonym, by the key in the user's data folder; see `spad.cases.pseudonyms`."""

from __future__ import annotations

from pathlib import Path

import spad.cases.pseudonyms

__all__ = ["pseudonym"]


def pseudonym(*identifiers: str, folder: Path | None = None) -> str | None:
    """Pseudonym of a patient, as `spad.cases.pseudonyms.pseudonym` gives it.

    Parameters
    ----------
    *identifiers : str
        What a file says of the patient, the surest first.
    folder : Path, optional
        Where the key is kept; by default in the user's data.
    """
    return spad.cases.pseudonyms.pseudonym(*identifiers, folder=folder or _data_folder())


def _data_folder() -> Path:
    from napari_spad.desk import data_folder

    return data_folder()
