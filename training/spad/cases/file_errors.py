"""What the system or a reader says of a file, in a sentence that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["file_error", "foreign", "is_dangling", "meant"]

_OTHER_PLACE = "free some space there, or choose another place"
_PERMISSIONS = "change its permissions, or choose another place"
REMEDIES = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "correct the path",
    errno.EEXIST: "choose another name",
    errno.ENOTDIR: "a part of the path is a file; correct it",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "a link leads back to itself; remove it",
    errno.ENOSPC: _OTHER_PLACE,
    errno.EDQUOT: _OTHER_PLACE,
}
"""What to do, by what the system says of a file."""
NAMELESS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
"""What the system says of a file that is being written, without its name."""


def is_dangling(path: Path) -> bool:
    """Whether there is a link, but not what it leads to."""
    return path.is_symlink() and not path.exists()


def file_error(error: BaseException) -> str:
    """An error of the system's in words, with what to do; others say it themselves."""
    if isinstance(error, OSError) and error.strerror:
        named = "" if error.filename is None else f"{error.filename}: "
        told = ";" in error.strerror  # the remedy, by who knows more of it
        remedy = "" if told else REMEDIES.get(error.errno or 0, "")
        return f"{named}{error.strerror}" + (f"; {remedy}" if remedy else "")
    return str(error).strip() or type(error).__name__


@contextmanager
def meant(path: Path, beside: Path) -> Iterator[None]:
    """Tell what fails at a file that is written beside another as of that other.

    Parameters
    ----------
    path : Path
        What the person knows of.
    beside : Path
        What takes its place when it is whole.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        ours = error.errno in NAMELESS if named is None else str(named) == str(beside)
        if not ours:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def foreign() -> Iterator[None]:
    """Around a reader that is not ours: all that it raises can be told, and costs one B-scan.

    A chunk of a lazy stack may raise SystemExit, a decoder written in Rust a panic. No ``except
    Exception`` sees them, so that a worker would end without a word, or the program with it. They
    become an OSError; KeyboardInterrupt, by which a person ends the program, stays itself.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
