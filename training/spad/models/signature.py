"""Who vouches for a list of models: Ed25519 signatures by keys that a site has named.

A signature is a file of 64 bytes, ``manifest.json.sig``, as ``openssl pkeyutl -sign -rawin`` makes
of ``manifest.json``. Nothing is signed here: who keeps a list has its private key elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["ENDING", "KEYS", "refuse_unsigned", "signatures_wanted"]

KEYS = "SPAD_MODELS_KEY"
"""Files of public keys (PEM), several as in ``PATH``; where it is set, lists have to be signed."""
ENDING = ".sig"


def signatures_wanted() -> bool:
    """Whether a list has to be signed."""
    return bool(os.environ.get(KEYS))


def refuse_unsigned(content: bytes, signature: bytes | None, where: str) -> None:
    """Refuse a list that none of the site's keys has signed; none is refused where it has no keys.

    Parameters
    ----------
    content : bytes
        Of the list, as it was signed.
    signature : bytes or None
        What lies beside it; None where nothing does.
    where : str
        The list's place.

    Raises
    ------
    ValueError
        It is not signed by one of them; or a key's file is none.
    OSError
        A key cannot be read.
    ImportError
        The extra is missing.
    """
    if not signatures_wanted():
        return
    try:
        from cryptography.exceptions import InvalidSignature
    except ImportError as error:
        raise ImportError(
            f"{KEYS} is set, and to check signatures needs cryptography ({error}): pip install "
            "'napari-spad[signed]'"
        ) from error
    keys = [_key(Path(file)) for file in os.environ[KEYS].split(os.pathsep) if file]
    if signature is None:
        raise ValueError(
            f"{where}: is not signed (there is no {where}{ENDING}), and {KEYS} wants it to be; ask "
            "who keeps the list to sign it"
        )
    for key in keys:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return
    raise ValueError(
        f"{where}: its signature is by none of the keys of {KEYS}: it was changed, or somebody "
        "else signed it; nothing of it is believed. Ask who keeps the list"
    )


def _key(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise OSError(
            error.errno, f"the key of {KEYS} cannot be read; correct it", str(path)
        ) from None
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(
            f"{path}: is no public key of Ed25519 in PEM; {KEYS} names what `openssl pkey -in "
            "private.pem -pubout` writes"
        )
    return key
