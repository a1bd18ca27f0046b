"""A model that only a server has: its card and its hash, in a file that stands for the checkpoint.

What goes by a checkpoint's file, a host's choice of models or a lesson, goes by such a file too. It
holds no weights and no token.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from spad.checkpoint.card import Card

__all__ = ["AT_SERVER", "AtServer", "at_server", "refuse_at_server"]

AT_SERVER = ".atserver"
"""Ending of such a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtServer:
    """A model of a server's, as the server tells of it.

    Parameters
    ----------
    name : str
        By which the server offers it.
    sha256 : str
        Of the checkpoint file there, 64 hexadecimal digits.
    size : int
        Of that file, in bytes.
    server : str
        ``https://HOST:PORT``.
    card : Card
    """

    name: str
    sha256: str
    size: int
    server: str
    card: Card

    def as_json(self) -> dict[str, Any]:
        """Give it as plain JSON values; `from_json` takes them back."""
        return {**asdict(self), "card": self.card.as_json()}

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """From parsed JSON.

        Raises
        ------
        ValueError
            It is none, or its card cannot be read by this SPAD.
        """
        try:
            return cls(
                name=str(told["name"]), sha256=str(told["sha256"]), size=int(told["size"]),
                server=str(told["server"]), card=Card.from_json(told["card"]),
            )  # fmt: skip
        except (TypeError, KeyError) as error:
            raise ValueError(f"{error} is missing") from None


def at_server(path: str | os.PathLike[str]) -> AtServer | None:
    """The model that a file stands for; None where it is a checkpoint, or anything else.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is damaged.
    """
    path = Path(path)
    if path.suffix != AT_SERVER:
        return None
    try:
        return AtServer.from_json(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: says no more which model of a server it stands for ({error}); connect to the "
            "server again"
        ) from None


def refuse_at_server(path: str | os.PathLike[str]) -> None:
    """Refuse a model whose weights are needed here, and which only a server has.

    Raises
    ------
    ValueError
    """
    if (there := at_server(path)) is not None:
        raise ValueError(
            f"the model “{there.name}” is on the server {there.server} alone: run it with that "
            "server as the device, or choose a model that is here"
        )
