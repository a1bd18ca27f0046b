"""Texts without what may name a person: paths, files, quoted values, numbers, user, machine."""

from __future__ import annotations

import getpass
import platform
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["nameless"]

_END = r"(?=: |; |, |['\"“”‘’<>|)\]\n]|$)"
_FILES = (
    "png|tiff?|jpe?g|bmp|gif|vol|xml|e2e|fda|fds|oct|dcm|dicom|nii|gz|nrrd|mat|mhd|raw|csv|json|txt"
)
_RULES = (
    # What is quoted, except what a program calls its own parts.
    (r"(?<!module named )(?<!attribute )(?<!device )'[^'\n]*'", "'…'"),
    (r'"[^"\n]*"', '"…"'),
    (r"“[^”\n]*”", "“…”"),
    # From where a path begins to where its sentence goes on: folders' names may hold spaces.
    (rf"(?:(?<![\w.])~?/|\b[A-Za-z]:[\\/]|\\\\)[^\n]*?{_END}", "…"),
    # A file's name, with all before it in its part of the sentence.
    (rf"[^\n:;,'\"“”…]*\.(?P<suffix>{_FILES}|safetensors|toml|pt)\b", r"….\g<suffix>"),
    (r"\b\d{4}-\d\d-\d\d\b|\d{6,}", "#"),  # dates, numbers of patients
)


def nameless(text: str) -> str:
    """Take out of a text what may name a person or a patient; rather too much than too little.

    Parameters
    ----------
    text : str
        An error's message, or a line of a report.

    Returns
    -------
    str
        Paths, files' names, quoted values, dates and long numbers are "…" or "#".
    """
    for pattern, instead in _RULES:
        text = re.sub(pattern, instead, text, flags=re.IGNORECASE)
    for name in _names():
        text = re.sub(rf"\b{re.escape(name)}\b", "…", text, flags=re.IGNORECASE)
    return text


def _names() -> set[str]:
    """How this machine and who works at it are called."""
    names = {platform.node(), Path.home().name}
    with suppress(Exception):  # no such user in a container, no `pwd` on Windows
        names.add(getpass.getuser())
    return {name for name in names if len(name) > 2}
