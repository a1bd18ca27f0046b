"""Files that are replaced as a whole, and JSON in them: a killed process leaves the old one."""

from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from spad.cases.file_errors import meant

__all__ = [
    "half_written",
    "json_bytes",
    "make_writable",
    "parsed_json",
    "read_json",
    "refuse_long_names",
    "replaced",
    "replaced_together",
    "reserved_name",
    "set_aside",
    "write_bytes",
    "write_json",
]

LONGEST = 255
"""Bytes of a file name, where the system does not say."""
LONGEST_PATH = 259
"""Characters of a whole path on Windows, unless it was told to take longer ones."""
BESIDE = 29
"""Characters of the longest name that `_beside` gives."""
PATIENCE_S = (0.05, 0.1, 0.2, 0.4) if os.name == "nt" else ()
"""Windows replaces no file that is open: a virus scanner or an indexer has it for a moment."""


def parsed_json(text: str | bytes | bytearray, objects: Callable[..., Any] | None = None) -> Any:
    """Parse JSON that anybody may have written; whatever is wrong with it is a ValueError.

    `objects` makes an object of its list of pairs.
    """
    try:
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} is given twice; keep one")
        found[key] = value
    return found


def read_json(path: Path) -> Any:
    """Parse a JSON file: UTF-8, or as Windows' editors save it, with a byte order mark or UTF-16.

    A fault is a ValueError that names the file; a key that an object has twice is one, for which
    of both is meant nobody knows.
    """
    try:
        return parsed_json(path.read_bytes(), _unique)
    except ValueError as error:  # also UnicodeDecodeError
        raise ValueError(f"{path}: is not JSON ({error}); correct it") from error


def set_aside(path: Path) -> Path:
    """Rename a damaged file so that nothing overwrites it; give its new name."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    return aside


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a killed process leaves the old one, or none, but never half a file."""
    temporary = path.with_name(_beside(".tmp"))
    try:
        with meant(path, temporary):
            with temporary.open("xb") as file:  # follows no link that lies there
                file.write(data)
            _put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def json_bytes(content: Any) -> bytes:
    """JSON for people to read, in UTF-8; escaped where a file's name is none and comes as it is."""
    try:
        return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(content, indent=1).encode() + b"\n"


def write_json(path: Path, content: Any) -> None:
    """Write JSON, as `write_bytes` does."""
    write_bytes(path, json_bytes(content))


def make_writable(folder: Path) -> None:
    """Make a folder for results where it is missing, and see that files can be made in it.

    So that nothing is computed for hours that cannot be written then.

    Raises
    ------
    OSError
        They cannot; of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a file beside `path` to write to; it takes the place of `path` if nothing is raised.

    Whatever ends the process, `path` holds what it held before or all of what was written.

    Parameters
    ----------
    path : Path
        Its folder must exist. The yielded name ends as this one does, for writers that go by it.
    """
    beside = path.with_name(_beside("".join(path.suffixes[-2:])[-16:]))
    try:
        with meant(path, beside):
            yield beside
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            _put(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def replaced_together(*paths: Path) -> Iterator[list[Path]]:
    """`replaced` for files that belong together: each in its turn, when all of them are written.

    After a fault all is as it was before. A process that is killed amid the turns leaves the first
    ones.
    """
    new = [path for path in paths if not os.path.lexists(path)]
    kept = {path: path.with_name(_beside(".old")) for path in paths if path.is_file()}
    try:
        with ExitStack() as last_first:
            yield [last_first.enter_context(replaced(path)) for path in reversed(paths)][::-1]
            for path, copy in kept.items():
                shutil.copy2(path, copy)
    except BaseException:  # Ctrl-C too
        for path in new:
            path.unlink(missing_ok=True)
        for path, copy in kept.items():
            with suppress(OSError):  # not copied yet, or held open, and so as it was
                os.replace(copy, path)
        raise
    finally:
        for copy in kept.values():
            copy.unlink(missing_ok=True)


def _put(fresh: Path, path: Path) -> None:
    for wait_s in PATIENCE_S:
        try:
            os.replace(fresh, path)
        except PermissionError:
            time.sleep(wait_s)
        else:
            return
    os.replace(fresh, path)


def reserved_name(name: str) -> bool:
    """Whether Windows takes a file's name for a device, whatever its extension: ``nul.tif``."""
    return (
        re.fullmatch(r"(con|prn|aux|nul|(com|lpt)[0-9]) *(\..*)?", name, re.IGNORECASE) is not None
    )


def file_stem(name: str, otherwise: str) -> str:
    """A name without what file systems refuse, for a file that is called after it.

    Parameters
    ----------
    name : str
        Of a layer, a segmentation, an image: any text.
    otherwise : str
        What is given where nothing is left of it.
    """
    name = name.encode(errors="ignore").decode()
    clean = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", name).strip(" .") or otherwise
    if reserved_name(clean):
        clean = f"_{clean}"
    # In bytes, as file systems count them, with room for numbers and the sidecar's end.
    return clean.encode()[:200].decode(errors="ignore")[:120]


def refuse_long_names(*paths: Path) -> None:
    """Refuse, before there is anything to lose, files whose names the system does not take.

    Parameters
    ----------
    paths : Path
        Their folders need not exist yet.

    Raises
    ------
    ValueError
        A name, or on Windows a whole path, is too long, with how long it may be.
    """
    for path in paths:
        limit, size = _longest(path.parent), len(os.fsencode(path.name))
        if size > limit:
            raise ValueError(
                f"“{path.name[:40]}…” is a file name of {size} bytes, and {path.parent} takes "
                f"{limit}: shorten the name by {size - limit}"
            )
        whole = path.absolute()
        size = len(str(whole.parent)) + 1 + max(len(path.name), BESIDE)
        if size > LONGEST_PATH and not _takes_long_paths():
            raise ValueError(
                f"“{whole}” is a path of {size} characters with the file that is written first, "
                f"and Windows takes {LONGEST_PATH}: choose a folder whose path is shorter by "
                f"{size - LONGEST_PATH}, or switch “long paths” on in Windows"
            )


def _takes_long_paths() -> bool:
    if os.name != "nt":
        return True
    try:
        return bool(ctypes.windll.ntdll.RtlAreLongPathsEnabled())  # type: ignore[attr-defined, unused-ignore]
    except (AttributeError, OSError):  # a Windows from before them
        return False


def _longest(folder: Path) -> int:
    there = next((f for f in (folder, *folder.parents) if f.is_dir()), None)
    try:
        return os.pathconf(there, "PC_NAME_MAX") if there is not None else LONGEST
    except (AttributeError, OSError, ValueError):  # Windows has no pathconf
        return LONGEST


def half_written(name: str) -> bool:
    """Whether a file of this name is what a killed process had begun to write beside another."""
    return re.fullmatch(r"\.[0-9a-f]{12}(\..*)?", name) is not None


def _beside(suffix: str) -> str:
    """A name for a file that is to replace another: short, however long that one's is."""
    return f".{secrets.token_hex(6)}{suffix}"
