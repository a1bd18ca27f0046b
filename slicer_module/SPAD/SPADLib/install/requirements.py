"""What SPAD needs in Slicer's Python, what of it is there, and how to say so.

This file also runs on the Python of old Slicers: it is what tells them apart.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "ENGINE",
    "SAFETENSORS",
    "TORCH",
    "Host",
    "carried_wheel",
    "missing",
    "offline_command",
    "plan",
    "sha256_of",
    "version_refusal",
    "wheel_argument",
]

OLDEST_SLICER, OLDEST_PYTHON = (5, 10), (3, 11)
TORCH = ">=2.6"
SAFETENSORS = "safetensors>=0.4.3"
ENGINE = "napari-spad"
"""The distribution that holds the engine; of the napari plugin in it nothing is loaded here."""


class Host(Protocol):
    """What an installation needs of Slicer. Tests put another one here."""

    wheel_folder: Path

    def version(self, name: str) -> str | None:
        """Version of an installed distribution; None where there is none."""

    def wheel_sha256(self, name: str) -> str | None:
        """Hash of the wheel that a distribution was installed from; None where none is known."""

    def pip(self, arguments: list[str]) -> Iterator[str]:
        """Run pip; yield its lines as they come; CalledProcessError, with them, if it fails."""

    def torch_installer(self) -> Any:
        """Logic of the PyTorch extension; None where that is not installed."""

    def testing(self) -> bool:
        """Whether this is a self-test."""


def version_refusal(slicer_version: tuple[int, int], python: tuple[int, ...]) -> str:
    """Say why this Slicer cannot run SPAD, and what helps; empty where it can.

    Parameters
    ----------
    slicer_version, python : (major, minor)
    """
    if slicer_version >= OLDEST_SLICER and python[:2] >= OLDEST_PYTHON:
        return ""
    have, need = (".".join(map(str, v)) for v in (slicer_version, OLDEST_SLICER))
    old, new = (".".join(map(str, v[:2])) for v in (python, OLDEST_PYTHON))
    return (
        f"SPAD needs Slicer {need} or newer (Python {new}); this is Slicer {have} with Python "
        f"{old}. Install a newer Slicer beside this one: settings and scenes stay as they are."
    )


def missing(host: Host) -> list[str]:
    """Name what must be installed before SPAD can run, in the order of installation."""
    found = []
    if not _at_least(host.version("torch"), TORCH[2:]):
        found.append("torch")
    if not _at_least(host.version("safetensors"), SAFETENSORS.partition(">=")[2]):
        found.append("safetensors")
    if _engine_is_old(host):
        found.append(ENGINE)
    return found


def _engine_is_old(host: Host) -> bool:
    """Whether there is no engine, or the extension carries another one."""
    have, wheel = host.version(ENGINE), carried_wheel(host)
    if have is None or wheel is None:
        return have is None
    # An extension is updated more often than a version changes. Who installed the engine otherwise,
    # as developers do, has no hash, and is left with it.
    known = host.wheel_sha256(ENGINE)
    if known is not None:
        return known != sha256_of(wheel)
    return _version_of(wheel) != have


def sha256_of(file: Path) -> str:
    """Hash of a file, in hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def wheel_argument(wheel: Path) -> str:
    """A wheel as pip takes it, so that its hash is known afterwards."""
    return f"{ENGINE} @ {wheel.resolve().as_uri()}#sha256={sha256_of(wheel)}"


def plan(host: Host, folder: Path | None = None) -> str:
    """Say what would be installed, for the question that is asked once."""
    steps = {
        "torch": "PyTorch, by the PyTorch extension: a download of 200 MB to 3 GB",
        "safetensors": "safetensors, which reads checkpoints: less than 1 MB",
        ENGINE: "the engine of SPAD, from this extension: no download",
    }
    if folder is not None:
        steps["torch"] = "PyTorch"
        steps["safetensors"] = "safetensors, which reads checkpoints"
    listed = "\n".join(f"•  {steps[name]}" for name in missing(host))
    source = "" if folder is None else f" from “{folder}”, without a network"
    return f"SPAD needs these in Slicer's Python{source}:\n\n{listed}\n\nInstall them now?"


def offline_command(host: Host) -> str:
    """The line that fills a folder, on a computer with a network, for “From a folder…”."""
    version = ".".join(map(str, sys.version_info[:2]))
    numpy = host.version("numpy")
    held = f' "numpy=={numpy}"' if numpy else ""
    return (
        f"python -m pip download --dest spad-offline --only-binary :all: --python-version {version}"
        f' "torch{TORCH}" "{SAFETENSORS}"{held}'
    )


def _at_least(have: str | None, least: str) -> bool:
    return have is not None and _numbers(have) >= _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3])


def carried_wheel(host: Host) -> Path | None:
    """The newest engine that the extension carries."""
    found = sorted(host.wheel_folder.glob("napari_spad-*.whl"), key=lambda p: p.stat().st_mtime)
    return found[-1] if found else None


def _version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]
