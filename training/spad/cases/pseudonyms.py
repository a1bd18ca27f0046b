"""A patient's pseudonym: the same on this machine for the same person, and telling nothing.

A keyed hash (HMAC-SHA-256) of what is said of the patient. The key is drawn once and stays in a
folder of the host's choice, so that nobody else can find the person by trying names or numbers, and
splits by patient remain possible.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from pathlib import Path

__all__ = ["pseudonym"]

_BYTES = 32


def pseudonym(*identifiers: str, folder: Path) -> str | None:
    """Pseudonym of a patient.

    Parameters
    ----------
    *identifiers : str
        What a file says of the patient, the surest first (ID, then name, ...): the first that says
        anything is used.
    folder : Path
        Where the key is kept; it is made there the first time.

    Returns
    -------
    str or None
        Such as ``"P-3fkq7hx2ma"``; None where nothing is said of the patient.

    Raises
    ------
    ValueError
        The file of the key is not one.
    OSError
        The key can be neither read nor made.
    """
    known = [" ".join(i.split()).casefold() for i in identifiers]
    first = next((i for i in known if i and i not in ("unknown", "anonymous", "none", "0")), None)
    if first is None:
        return None
    digest = hmac.digest(_key(folder), first.encode(errors="surrogatepass"), "sha256")
    return "P-" + base64.b32encode(digest)[:10].decode().lower()


def _key(folder: Path) -> bytes:
    path = folder / "pseudonym.key"
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        # Written whole under another name, then linked: of two programs at once, one key stays.
        fresh = folder / f".{secrets.token_hex(4)}.key"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        try:
            if path.exists():
                return _key(folder)
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
        key = path.read_bytes()
    if len(key) != _BYTES:
        raise ValueError(
            f"{path} has {len(key)} bytes instead of {_BYTES}; restore it from a copy, or remove "
            "it: patients then get other pseudonyms"
        )
    return key
