"""The line to a server: requests over HTTP, and what goes wrong with them in words."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from spad.cases import parsed_json
from spad.inference import ServerError
from spad.remote.address import Address
from spad.remote.messages import PROTOCOL

__all__ = ["DOWN", "Line", "NoLine", "Refusal", "engine_version"]

CONNECT_S = 5.0
SILENCE_S = 30.0
"""So long a server may say nothing: a run that goes on says something each ten seconds."""
BETWEEN = (502, 503, 504)
"""What a proxy says for a server that it does not reach."""
DOWN = (OSError, http.client.HTTPException)
"""What a line raises that is down."""


class NoLine(ServerError):
    """A server that is not reached, or not any more."""


class Refusal(ServerError):
    """A server's “no”; `code` says it in one word, the text in a sentence."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


def engine_version() -> str:
    """Of the SPAD that is installed here."""
    try:
        return version("napari-spad")
    except PackageNotFoundError:
        return "unknown"


class Line:
    """A server as a desk reaches it.

    Parameters
    ----------
    address : Address

    Attributes
    ----------
    was_there : bool
        Whether it has answered before: then it is worth waiting for.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.was_there = False

    def hello(self) -> dict[str, Any]:
        """What the server says of itself.

        Raises
        ------
        ServerError
            It is not reached, refuses the token, or speaks another language.
        """
        said = self.ask("GET", "/v1/hello")
        if said.get("protocol") != PROTOCOL:
            raise ServerError(
                f"{self.address.url} runs SPAD {said.get('engine')} and speaks protocol "
                f"{said.get('protocol')}; this is SPAD {engine_version()} with protocol "
                f"{PROTOCOL}: update the older of the two"
            )
        return said

    def ask(
        self, method: str, path: str, content: Any = None, *, body: Iterable[bytes] | None = None
    ) -> dict[str, Any]:
        """One request and its answer.

        Parameters
        ----------
        method, path : str
        content : JSON value, optional
        body : iterable of bytes, optional
            Instead, in chunks.

        Raises
        ------
        NoLine, Refusal
        """
        sent = None if content is None else json.dumps(content).encode()
        line = self._connection()
        try:
            line.request(
                method,
                path,
                body=body if sent is None else sent,
                headers=self._headers(),
                encode_chunked=body is not None,
            )
            answer = line.getresponse()
            return self._understood(answer.status, answer.read())
        except DOWN as error:
            raise self.down(error) from error
        finally:
            line.close()

    def listen(self, path: str, start: int) -> http.client.HTTPResponse:
        """The answer to a GET, from a byte on, to be read as it comes.

        Raises
        ------
        NoLine, Refusal
        """
        line = self._connection()
        try:
            line.request("GET", path, headers={**self._headers(), "Range": f"bytes={start}-"})
            answer = line.getresponse()
            if answer.status not in (200, 206):
                self._understood(answer.status, answer.read())
            return answer  # it closes its line when it is closed
        except DOWN as error:
            line.close()
            raise self.down(error) from error

    def _connection(self) -> http.client.HTTPConnection:
        at = urlsplit(self.address.url)
        host, port = str(at.hostname), at.port
        if at.scheme == "http":
            line = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        else:
            context = ssl.create_default_context()  # SSL_CERT_FILE names a hospital's own authority
            line = http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=context)
        try:
            line.connect()
        except OSError as error:
            raise self.down(error) from error
        line.sock.settimeout(SILENCE_S)
        self.was_there = True
        return line

    def _headers(self) -> dict[str, str]:
        token = self.address.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _understood(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            said = parsed_json(body)
        except ValueError:
            said = None
        if status in BETWEEN and not (isinstance(said, dict) and "text" in said):
            raise self.down(ConnectionError(f"it answers {status}"))
        if not isinstance(said, dict):
            raise ServerError(
                f"{self.address.url} answers ({status}), but is no server of SPAD; correct the "
                "address"
            )
        if status >= 400:
            text = said.get("text") or f"it answers {status}: {said.get('detail', '')}"
            raise Refusal(f"{self.address.url} refuses: {text}", str(said.get("code", "")))
        return said

    def down(self, error: BaseException) -> NoLine:
        """Say that the line is down, and why."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return NoLine(
                f"{self.address.url}: its certificate is not trusted here "
                f"({error.verify_message}); ask who runs it for the certificate of its authority, "
                "and name that file in the environment variable SSL_CERT_FILE"
            )
        why = str(error) or type(error).__name__
        return NoLine(
            f"the server {self.address.url} cannot be reached ({why}). Your image and your edits "
            "are as they were. Try again, ask who runs it, or choose another device"
        )
