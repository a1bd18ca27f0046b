"""Who may use a server: tokens, from a file or the environment, compared in constant time."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Tokens"]

SHORTEST = 16


class Tokens:
    """The tokens of a server.

    Parameters
    ----------
    tokens : sequence of str
        None: whoever reaches the server may use it.

    Raises
    ------
    ValueError
        One is too short to keep anybody out, or stands twice.
    """

    def __init__(self, tokens: Sequence[str] = ()) -> None:
        for number, token in enumerate(tokens, 1):
            if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
                raise ValueError(
                    f"token {number} has {len(token)} characters; give at least {SHORTEST} of "
                    "ASCII, as `python -c 'import secrets; print(secrets.token_urlsafe())'` does"
                )
        if len(set(tokens)) < len(tokens):
            raise ValueError("a token stands twice: each desk has its own turn by its token")
        self._tokens = [token.encode() for token in tokens]

    @classmethod
    def read(cls, file: Path | None) -> Tokens:
        """From a file of one token a line (``#`` begins a remark), else from SPAD_TOKEN.

        Raises
        ------
        ValueError
            As of the class; or the file holds none, or everybody on the machine can read it.
        OSError
            It cannot be read.
        """
        if file is None:
            return cls(os.environ.get("SPAD_TOKEN", "").split())
        mode = file.stat().st_mode
        if os.name != "nt" and mode & stat.S_IROTH:
            raise ValueError(f"{file} can be read by everybody: chmod 600 {file}")
        text = file.read_text("utf-8-sig")  # the mark would be a part of the first token
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        tokens = [line for line in lines if line]
        if not tokens:
            raise ValueError(f"{file} holds no token: write one a line")
        return cls(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def owner(self, given: str) -> int | None:
        """The number of a token, from 1; 0 for whoever comes where there are none; None: nobody's.

        Each token is compared, and each comparison takes as long whatever is alike.
        """
        if not self._tokens:
            return 0
        said, found = given.encode(), None
        for number, token in enumerate(self._tokens, 1):
            if hmac.compare_digest(said, token):
                found = number
        return found
