"""Downloads: resumed where they broke off, believed by their hash, put in place as a whole."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import shutil
import time
import urllib.error
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from spad.checkpoint import model_folders, read_card, sha256
from spad.models.manifest import Entry
from spad.models.web import DownloadError, host_of, is_on_disk, opened

__all__ = ["download_steps", "fetch", "places"]

PATIENCE_S = 60.0
"""How long a server may be slower than `SLOWEST`."""
SLOWEST = 1024
"""Bytes a second below which a download is given up: days for a model."""
ATTEMPTS = 4
"""How often a server is asked to go on where it broke off."""
_CHUNK = 1 << 18


def places(entry: Entry) -> tuple[str, ...]:
    """Where a model is looked for: its URLs, or its file on the mirror ``$SPAD_MODELS_MIRROR``.

    What lies on the disk is taken from there, for no network is asked.
    """
    if mirror := os.environ.get("SPAD_MODELS_MIRROR"):
        names = [urlsplit(url).path.rpartition("/")[2] for url in entry.urls]
        name = next(filter(None, names), f"{entry.stem}.safetensors")
        there = urljoin(mirror.rstrip("/") + "/", name)
        return (*filter(is_on_disk, entry.urls), there)
    return entry.urls


def fetch(entry: Entry, *, told: Callable[[int], None] | None = None) -> Path:
    """Download a model; see `download_steps`. `told` takes the bytes that are there so far."""
    steps = download_steps(entry)
    while True:
        try:
            done = next(steps)
        except StopIteration as stop:
            path: Path = stop.value
            return path
        if told is not None:
            told(done)


def download_steps(entry: Entry) -> Generator[int, None, Path]:
    """Download a model into the user's folder; yields the bytes that are there so far.

    What has come stays beside it (``NAME.safetensors.part``) where it breaks off or is given up
    (drop the generator), and the next download goes on from there.

    Parameters
    ----------
    entry : Entry

    Returns
    -------
    Path
        The checkpoint; the one that is there if it has the hash.

    Raises
    ------
    DownloadError
        No place has it, or what came is not what the list says; a sentence for each place.
    ValueError
        The file is what the list says and no checkpoint that this SPAD reads.
    OSError
        The disk is full, or may not be written to.
    """
    folder = model_folders()[-1]
    target = folder / f"{entry.stem}.safetensors"
    if target.is_file() and sha256(target) == entry.sha256:
        return target
    part = target.with_name(target.name + ".part")
    urls = places(entry)
    if not urls:
        raise DownloadError(
            f"the list names no place for {entry.stem}; copy its file into {folder}, or into a "
            "folder that SPAD_MODELS names"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_full_disk(entry, part)
    problems = []
    for url in urls:
        try:
            yield from _from(url, entry, part)
        except DownloadError as error:
            problems.append(str(error))
            continue
        read_card(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        return target
    raise DownloadError("; ".join(problems))


def _from(url: str, entry: Entry, part: Path) -> Generator[int, None, None]:
    """Bring `part` to the whole file; twice from its beginning at most."""
    for last in (False, True):
        begun = _size(part)
        for _ in range(ATTEMPTS):
            before = _size(part)
            yield from _go_on(url, entry, part)
            size = _size(part)
            if size >= entry.size or size <= before:
                break
        if (size := _size(part)) < entry.size:
            raise DownloadError(
                f"{url}: broke off after {size} of {entry.size} bytes; download it again, which "
                "goes on from there"
            )
        found = sha256(part)
        if found == entry.sha256:
            return
        part.unlink()
        if last or not begun:  # else what lay there from before may have been the fault
            raise DownloadError(
                f"{url}: its SHA-256 is {found}, and the list says {entry.sha256}: it is another "
                "file, or was changed on its way; it was not kept. Ask who keeps the list of models"
            )


def _go_on(url: str, entry: Entry, part: Path) -> Generator[int, None, None]:
    """Ask for what is missing, and add what comes of it."""
    have = _size(part)
    if have == entry.size:
        yield have
        return
    if have > entry.size:
        have = 0
    try:
        answer = opened(url, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError:  # 416
        part.unlink(missing_ok=True)
        answer = opened(url)
    with answer:
        sent = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
        goes_on = answer.status == 206 and sent is not None and int(sent[1]) == have
        if answer.status == 206 and not goes_on:
            raise DownloadError(f"{url}: the server sent another part than asked for; try again")
        with _open(part, "ab" if goes_on else "wb") as file:
            yield from _copy(answer, file, url, entry.size)


def _copy(answer: Any, file: BinaryIO, url: str, size: int) -> Generator[int, None, None]:
    began, at_begin = time.monotonic(), file.tell()
    while True:
        try:
            data = answer.read1(_CHUNK)
        except TimeoutError as error:
            raise DownloadError(
                f"{url}: {host_of(url)} fell silent after {file.tell()} of {size} bytes; download "
                "it again, which goes on from there"
            ) from error
        except (OSError, http.client.HTTPException):
            return  # the line broke: it is asked again for the rest
        if not data:
            return
        if file.tell() + len(data) > size:
            raise DownloadError(
                f"{url}: sends more than the {size} bytes of the list: it is another file; ask who "
                "keeps the list of models"
            )
        with _disk(file.name):
            file.write(data)
            file.flush()
        yield file.tell()
        now = time.monotonic()
        if now - began > PATIENCE_S:
            if file.tell() - at_begin < SLOWEST * (now - began):
                raise DownloadError(
                    f"{url}: {host_of(url)} sent {file.tell() - at_begin} bytes in "
                    f"{now - began:.0f} s, which would take days; try later, it goes on from there"
                )
            began, at_begin = now, file.tell()


def _open(part: Path, mode: str) -> BinaryIO:
    with _disk(str(part)):
        return part.open(mode)  # type: ignore[return-value]


@contextlib.contextmanager
def _disk(name: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise
        raise OSError(
            error.errno, "the disk is full: free space and download again, it goes on", name
        ) from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _refuse_full_disk(entry: Entry, part: Path) -> None:
    missing = entry.size - _size(part)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise OSError(
            errno.ENOSPC,
            f"{entry.stem} needs {missing / 1e6:.1f} MB more, the disk has {free / 1e6:.1f}; free "
            "space, or choose another folder with SPAD_CACHE",
            str(part.parent),
        )
