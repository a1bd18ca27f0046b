"""The manifest: a JSON file that says which models can be downloaded, from where, and their hashes.

A manifest is kept as ``manifest.json`` in a folder of models, so that to list them asks no network.
Files are believed by the SHA-256 that it gives; it is itself believed because it came by HTTPS,
from a disk, or had the SHA-256 that a person was told (``URL#sha256=...``); where a site has named
keys, because one of them signed it, each time it is read.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.parse import urldefrag, urljoin, urlsplit

from spad.cases import file_error, parsed_json, reserved_name, write_bytes
from spad.checkpoint import Checked, Within, from_json, model_folders, plain, short
from spad.models.signature import ENDING, refuse_unsigned, signatures_wanted
from spad.models.web import DownloadError, host_of, is_on_disk, opened

__all__ = ["FILE", "FORMAT", "Entry", "as_manifest", "keep_manifest", "known_entries", "on_disk"]

FILE = "manifest.json"
FORMAT = 1
_CAME_FROM = "manifest.json.from"
"""Beside a manifest that was fetched: where from, for its relative URLs."""
_LARGEST = 4 << 20
_LARGEST_SIGNATURE = 1024
Text = Annotated[str, Within(1, 200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Checked):
    """A model of a manifest.

    Parameters
    ----------
    name, version : str
        Letters, digits and ``.-_``; together (``NAME-VERSION``) what the model goes by.
    sha256 : str
        Of the checkpoint file, 64 hexadecimal digits.
    size : int
        Of the file, in bytes.
    licence : str
        Of the model, best by its SPDX name.
    classes : tuple of str
        Names of the classes, background first.
    urls : tuple of str
        Where the file lies; all are tried in turn. Relative ones count from the manifest.
    card : mapping
        The checkpoint's card, for its scores and to be read before a download; may be empty.

    Raises
    ------
    ValueError
        A value of the wrong type or outside its limits.
    """

    name: Annotated[str, Within(1, 80)]
    version: Annotated[str, Within(1, 32)]
    sha256: Annotated[str, Within(64, 64)]
    size: Annotated[int, Within(1, 1 << 40)]
    licence: Text
    classes: Annotated[tuple[Text, ...], Within(2, 64)]
    urls: Annotated[tuple[Annotated[str, Within(1, 2000)], ...], Within(0, 16)] = ()
    card: Mapping[str, Any] = field(default_factory=dict)

    def _check(self) -> None:
        for what, text in (("name", self.name), ("version", self.version)):
            if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*", text) or reserved_name(text):
                raise ValueError(
                    f"manifest: {what} {short(text)} cannot be part of a file's name; use letters, "
                    "digits and . _ - after the first"
                )
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(
                f"manifest: sha256 {short(self.sha256)} is not 64 hexadecimal digits in small "
                "letters; take it from sha256sum"
            )

    @property
    def stem(self) -> str:
        """The name by which the model is found once it is on the disk."""
        return f"{self.name}-{self.version}"


def as_manifest(entries: tuple[Entry, ...]) -> dict[str, Any]:
    """A manifest of these models, in JSON values."""
    return {"format": FORMAT, "models": [plain(entry) for entry in entries]}


def on_disk(path: Path) -> tuple[Entry, ...]:
    """Read a manifest from a file; none is there where the file is not.

    Raises
    ------
    ValueError
        It is no manifest, of a newer SPAD, or not signed as the site wants it.
    OSError
        It cannot be read.
    ImportError
        A signature cannot be checked.
    """
    if not path.is_file():
        return ()
    content, came_from = path.read_bytes(), path.with_name(_CAME_FROM)
    refuse_unsigned(content, _beside(path), str(path))
    base = came_from.read_text("utf-8") if came_from.is_file() else path.resolve().as_uri()
    return _entries(content, str(path), base)


def known_entries() -> tuple[dict[str, Entry], list[str]]:
    """Entries of the manifests in the folders of models, by what they go by; asks no network.

    Returns
    -------
    entries : dict of str to Entry
        Of two with one name that of the first folder, as with the files.
    faults : list of str
        What is wrong with a manifest: that of one folder does not hide the others.
    """
    found: dict[str, Entry] = {}
    faults = []
    for folder in model_folders():
        try:
            found |= {e.stem: e for e in on_disk(folder / FILE) if e.stem not in found}
        except (ValueError, OSError, ImportError) as error:
            faults.append(file_error(error))
    return found, faults


def keep_manifest(source: str) -> tuple[Path, tuple[Entry, ...]]:
    """Get a manifest and keep it among the user's models, as it is, in place of the one before.

    Parameters
    ----------
    source : str
        A URL or a file; ``#sha256=...`` behind it is the SHA-256 that it must have.

    Returns
    -------
    path : Path
    entries : tuple of Entry

    Raises
    ------
    ValueError
        Not a manifest, of a newer SPAD, not the one whose SHA-256 was given, not signed as the site
        wants it, or nothing vouches for it: plain HTTP without a SHA-256 or a signature.
    OSError
        It cannot be got or written.
    ImportError
        A signature cannot be checked.
    """
    place, fragment = urldefrag(source)
    pin = fragment.removeprefix("sha256=").lower()
    if fragment and not re.fullmatch("[0-9a-f]{64}", pin):
        raise ValueError(
            f"{source}: what stands behind # is not sha256= and 64 hexadecimal digits; correct it"
        )
    web = urlsplit(place).scheme in ("http", "https")
    vouched = bool(pin) or signatures_wanted()
    content, came_from = _got(place, vouched) if web else (Path(place).read_bytes(), place)
    if pin and (found := hashlib.sha256(content).hexdigest()) != pin:
        raise ValueError(
            f"{place}: its SHA-256 is {found}, not {pin}: it is another manifest, or was changed "
            "on its way; nothing was kept. Ask who gave you the line"
        )
    signature = None
    if signatures_wanted():
        signature = _signature_at(place) if web else _beside(Path(place))
        refuse_unsigned(content, signature, place)
    base = came_from if web else Path(place).resolve().as_uri()
    entries = _entries(content, place, base)
    path = model_folders()[-1] / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    if signature is not None:
        write_bytes(path.with_name(FILE + ENDING), signature)
    write_bytes(path.with_name(_CAME_FROM), base.encode())
    write_bytes(path, content)
    return path, entries


def _got(url: str, pinned: bool) -> tuple[bytes, str]:
    """Content of a manifest on the web, and the URL that it came from in the end."""
    with opened(url) as answer:
        came_from: str = answer.geturl()
        for place in (url, came_from):
            if not (pinned or urlsplit(place).scheme == "https" or _here(host_of(place))):
                raise ValueError(
                    f"{place}: plain HTTP can be changed on its way, and this list says which "
                    "files to believe; use https, or give the manifest's SHA-256: URL#sha256=..."
                )
        try:
            content: bytes = answer.read(_LARGEST + 1)
        except OSError as error:
            raise DownloadError(f"{url}: broke off ({error}); try again") from error
    if len(content) > _LARGEST:
        raise ValueError(f"{url}: is larger than {_LARGEST >> 20} MiB; is it a manifest of SPAD?")
    return content, came_from


def _signature_at(url: str) -> bytes | None:
    """The signature of a manifest on the web; None where the server has none."""
    parts = urlsplit(url)
    try:
        with opened(parts._replace(path=parts.path + ENDING).geturl()) as answer:
            signature: bytes = answer.read(_LARGEST_SIGNATURE)
            return signature
    except DownloadError as error:
        if isinstance(error.__cause__, HTTPError) and error.__cause__.code in (403, 404, 410):
            return None
        raise


def _beside(path: Path) -> bytes | None:
    """The signature of a manifest on the disk."""
    try:
        with path.with_name(path.name + ENDING).open("rb") as file:
            return file.read(_LARGEST_SIGNATURE)
    except FileNotFoundError:
        return None


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _entries(content: bytes, where: str, base: str) -> tuple[Entry, ...]:
    """Entries of a manifest, their URLs as seen from where it came from."""
    try:
        told = parsed_json(content)
    except ValueError as error:
        raise ValueError(f"{where}: is not JSON ({error}); is it a manifest of SPAD?") from None
    if not isinstance(told, dict) or not isinstance(told.get("models"), list):
        raise ValueError(f"{where}: has no list “models”; is it a manifest of SPAD?")
    version = told.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ValueError(
            f"{where}: format {short(version)} is not one that this SPAD reads (1 to {FORMAT}); "
            "update napari-spad, or ask for an older manifest"
        )
    entries: list[Entry] = []
    for number, one in enumerate(told["models"]):
        try:
            entry: Entry = from_json(Entry, one, f"models[{number}]")
            entry = replace(entry, urls=tuple(urljoin(base, url) for url in entry.urls))
            if not is_on_disk(base) and (ours := [u for u in entry.urls if is_on_disk(u)]):
                raise ValueError(
                    f"{ours[0]} is a file of this machine, which no list from elsewhere may name; "
                    "ask who keeps it"
                )
            entries.append(entry)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    names = [entry.stem for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{where}: {', '.join(twice)} stands there twice; give each its version")
    return tuple(entries)
