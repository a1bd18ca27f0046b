"""Where a server is and by which token it knows a desk; and the one that a host has chosen.

The token is kept here, in the process, and by the host with its settings: never in the name of a
device, which scenes, logs and sidecars keep.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from spad.inference import forget_models

__all__ = ["SERVER", "Address", "choose", "chosen", "is_server", "server_of"]

SERVER = "server"
"""As a device: the server that the host has chosen."""
PORT = 8750
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """A server.

    Parameters
    ----------
    url : str
        ``https://HOST:PORT``, as `of` makes it.
    token : str
        Empty where the server asks for none.
    """

    url: str
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str, token: str | None = None) -> Address:
        """From what a person typed; the token of the environment variable SPAD_TOKEN if None.

        Raises
        ------
        ValueError
            It is no address of a server, or no token.
        """
        token = os.environ.get("SPAD_TOKEN", "") if token is None else token
        token, text = token.strip(), url.strip()
        if "://" not in text:
            near = text.startswith(LOOPBACK)
            text = f"{'http' if near else 'https'}://{text}"
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
        if parts.scheme not in ("http", "https") or not host or not plain:
            raise ValueError(
                f"“{url.strip()}” is no address of a server; give it as https://HOST:PORT"
            )
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError(
                "the token holds a space or a character beyond ASCII; copy it again from who runs "
                "the server"
            )
        host = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme}://{host}:{port or PORT}", token)


_chosen: list[Address] = []


def choose(url: str, token: str = "") -> Address:
    """Take a server for the device “server”, in this process.

    Raises
    ------
    ValueError
        As :meth:`Address.of`.
    """
    address = Address.of(url, token)
    if _chosen != [address]:
        _chosen[:] = [address]
        forget_models()
    return address


def chosen() -> Address | None:
    """The server of the device “server”."""
    return _chosen[0] if _chosen else None


def is_server(device: str) -> bool:
    """Whether a device is a server: “server”, or its address."""
    return device == SERVER or device.startswith(("http://", "https://"))


def server_of(device: str) -> tuple[str, str] | None:
    """What another process of this desk has to `choose` for a device."""
    at = chosen() if device == SERVER else None
    return None if at is None else (at.url, at.token)
