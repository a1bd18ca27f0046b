"""HTTP as this room uses it: Python's own client, whose proxies are the environment's."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["DownloadError", "host_of", "is_on_disk", "opened"]

TIMEOUT_S = 30.0
"""Without a byte from a server for so long, it is given up."""


_NOT_FOLLOWED = (
    "which is not followed (only https, or http from http); ask who keeps the list of models"
)


class DownloadError(OSError):
    """Something could not be downloaded; in words."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to HTTP and HTTPS alone, and never from HTTPS to HTTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before, after) == ("https", "http"):
            raise DownloadError(f"{req.full_url}: the server sends on to {newurl}, {_NOT_FOLLOWED}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_on_disk(url: str) -> bool:
    """Whether a URL names a file of the disk, or of a share."""
    return urlsplit(url).scheme == "file"


def host_of(url: str) -> str:
    """Name of the machine that a URL asks."""
    return "the disk" if is_on_disk(url) else urlsplit(url).hostname or "?"


def opened(url: str, headers: Mapping[str, str] | None = None) -> Any:
    """Open a URL of HTTP or HTTPS, proxies as the environment says; or a file of the disk.

    Parameters
    ----------
    url : str
    headers : mapping, optional

    Returns
    -------
    http.client.HTTPResponse

    Raises
    ------
    DownloadError
        It cannot be had; why, and what helps.
    urllib.error.HTTPError
        The server answered 416: it has no such part of the file.
    """
    if is_on_disk(url):
        return _file(url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url}: only http and https are asked; correct the list of models")
    opener = urllib.request.build_opener(_Redirects())
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - checked above
    try:
        return opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            raise
        raise DownloadError(f"{url}: the server answered {_answer(error)}") from error
    except DownloadError:
        raise
    except urllib.error.URLError as error:
        raise DownloadError(
            f"{url}: {host_of(url)} cannot be reached ({error.reason}); is there a network? Behind "
            "a proxy set HTTPS_PROXY, without a network see SPAD_MODELS"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a torn URL
        raise DownloadError(
            f"{url}: {host_of(url)} does not answer as a web server does "
            f"({error or type(error).__name__}); try again later"
        ) from error


def _file(url: str) -> Any:
    path = Path(url2pathname(url.removeprefix("file:")))  # with the host: of a share, on Windows
    try:
        return urllib.response.addinfourl(path.open("rb"), Message(), url)
    except OSError as error:
        raise DownloadError(
            f"{path}: cannot be read ({error.strerror}); correct the manifest that names it, or "
            "copy the file there"
        ) from error


def _answer(error: urllib.error.HTTPError) -> str:
    words = {
        401: "401: it wants a login, which SPAD has none for; get the file by hand (SPAD_MODELS)",
        403: "403: it does not give the file to everyone; get it by hand (SPAD_MODELS)",
        404: "404: it has no such file; get a newer list of models, or ask who keeps it",
        407: "407: the proxy wants a login; set HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",
    }
    if "is not allowed" in str(error.reason):  # urllib's own refusal, of file: and the like
        return f"{error.code}: it sends on to another place, {_NOT_FOLLOWED}"
    if "infinite loop" in str(error.reason):
        return f"{error.code}: it sends on in a circle; ask who keeps the list of models"
    return words.get(error.code, f"{error.code} ({error.reason}); try again later")
