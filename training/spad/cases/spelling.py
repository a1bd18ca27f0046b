"""One spelling of a name: what people take for the same text is the same."""

from __future__ import annotations

import unicodedata

__all__ = ["composed", "same_patient"]


def composed(name: str) -> str:
    """A file's name with its accents composed (NFC).

    macOS and some programs keep a letter and its accent as two characters; a person cannot tell.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def same_patient(patient: str) -> str:
    """What all spellings of a patient's id have in common: without case and surplus blanks."""
    return " ".join(composed(patient).split()).casefold()
