"""How large an image may be: said before memory is taken for it."""

from __future__ import annotations

__all__ = ["LARGEST_IMAGE", "Refused", "refuse_bomb", "refuse_header", "refuse_large"]

LARGEST_IMAGE = 64_000_000
"""Pixels; more is no B-scan and no radiograph, and its samples would not fit into memory."""
_PLENTY = 2**30  # bytes
_UNPACKED = 64
"""A file may unfold to so many times its own bytes, beyond what is plenty."""


class Refused(ValueError):
    """A whole file, whose content is not what is asked for; the message is for its name to precede.

    Not a fault of the decoder: nobody is told that the file is damaged.
    """


def refuse_large(height: int, width: int) -> None:
    """Raise `Refused` (a ValueError) for an image of more than `LARGEST_IMAGE` pixels."""
    if height * width > LARGEST_IMAGE:
        raise Refused(
            f"has {height} x {width} pixels (rows x columns), more than "
            f"{LARGEST_IMAGE / 1e6:.0f} million; crop it or save it at a lower resolution"
        )


def refuse_bomb(unpacked: int, file_bytes: int) -> None:
    """Raise `Refused` where a small file claims to hold gigabytes."""
    if unpacked > max(_PLENTY, _UNPACKED * file_bytes):
        raise Refused(
            f"says in {file_bytes} bytes that it holds {unpacked / 2**30:.1f} GB; more than "
            f"{_PLENTY / 2**30:.0f} GB is read of files of a like size alone, so save it in parts"
        )


def refuse_header(begins: int, header: int) -> None:
    """Raise `Refused` where a file says that its pixels begin within its header (NIfTI)."""
    if begins < header:
        raise Refused(
            f"says that its pixels begin at byte {begins}, within its header of {header} bytes; "
            "export it again"
        )
