"""Installing the engine in Slicer's Python without breaking what Slicer ships.

PyTorch comes through the PyTorch extension, the engine from the wheel that this extension carries,
without its dependencies, and safetensors with everything that Slicer ships held at its version.
Nothing is installed at import, nor in tests. This file also runs on the Python of old Slicers.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from SPADLib.host import Overheard
from SPADLib.install.pip_errors import InstallError, in_words
from SPADLib.install.requirements import (
    ENGINE,
    SAFETENSORS,
    TORCH,
    Host,
    carried_wheel,
    missing,
    wheel_argument,
)

__all__ = ["InstallError", "install"]

FROZEN = (
    *("numpy", "scipy", "SimpleITK", "vtk", "requests", "packaging", "pydicom", "pillow"),
    "torch",
)
"""What no installation may change."""


def install(host: Host, folder: Path | None = None) -> Iterator[str]:
    """Install what is missing, step by step; the person was asked before.

    Parameters
    ----------
    host : Host
    folder : Path, optional
        Of wheels, where there is no network: all comes from there.

    Yields
    ------
    str
        What is going on.

    Raises
    ------
    InstallError
        With the problem and the remedy.
    """
    if host.testing():
        raise InstallError("Nothing is installed in a self-test", "Install by hand first")
    lacking = missing(host)
    if folder is not None and not folder.is_dir():
        raise InstallError(f"There is no folder “{folder}”", "Choose the one with the wheels")
    wheel = carried_wheel(host)
    if ENGINE in lacking and wheel is None:
        raise InstallError(
            f"The extension carries no engine in {host.wheel_folder}",
            "Reinstall the extension; from its sources, “make slicer” builds the engine",
        )
    source = [] if folder is None else ["--no-index", "--find-links", str(folder)]
    for name in lacking:
        if name == "torch" and folder is None:
            yield "installing PyTorch: this takes minutes, and Slicer waits for it…"
            _install_torch(host)
        elif name == ENGINE and wheel is not None:
            yield "installing the engine…"
            yield from _pip(
                host, ["--no-deps", "--no-index", "--force-reinstall", wheel_argument(wheel)]
            )
        else:
            wanted = f"torch{TORCH}" if name == "torch" else SAFETENSORS
            yield f"installing {name}…"
            with _constraints(host, name) as held:
                yield from _pip(host, [*source, "--constraint", held, wanted])
    importlib.invalidate_caches()  # Python remembers the folders' contents, without the new files
    if still := missing(host):
        raise InstallError(
            f"{' and '.join(still)} {'is' if len(still) == 1 else 'are'} still not found",
            "Restart Slicer: what was in use could not be replaced",
        )


def _install_torch(host: Host) -> None:
    logic = host.torch_installer()
    if logic is None:
        raise InstallError(
            "PyTorch is missing, and so is the extension that installs it",
            "Install “PyTorch” in the Extensions Manager, restart Slicer, and try again",
        )
    said = Overheard(sys.stdout)
    try:
        with contextlib.redirect_stdout(said):
            done = logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH)
    except Exception as error:
        parts = [said.getvalue(), _output_of(error)]
        # Where nothing is recognized, the last line is told: an exit status says less than a log.
        at = 0 if isinstance(error, subprocess.CalledProcessError) else len(parts)
        parts.insert(at, str(error))
        raise in_words("\n".join(parts)) from error
    if done is None:
        raise InstallError(
            "The PyTorch extension did not install PyTorch",
            "Open the module PyTorch Utils and install it there: it says what is wrong",
        )


def _pip(host: Host, arguments: list[str]) -> Iterator[str]:
    try:
        for line in host.pip(["install", *arguments]):
            yield line.strip()[:120]
    except (subprocess.CalledProcessError, OSError) as error:
        raise in_words(_output_of(error) or str(error)) from error


def _output_of(error: BaseException) -> str:
    """What a command said before it failed. Slicer puts the stream there, which is read out."""
    output = getattr(error, "output", None)
    return output if isinstance(output, str) else ""


class _constraints:
    """A file that holds what Slicer ships at its version, all but what is to be installed."""

    def __init__(self, host: Host, wanted: str) -> None:
        known = ((name, host.version(name)) for name in FROZEN if name != wanted)
        # A local version, as of "2.4.0+cpu", is not on an index: the public part holds it.
        self._lines = [f"{n}=={v.partition('+')[0]}" for n, v in known if v is not None]

    def __enter__(self) -> str:
        handle, self._path = tempfile.mkstemp(".txt", "spad-constraints-", text=True)
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(self._lines) + "\n")
        return self._path

    def __exit__(self, *_: object) -> None:
        os.unlink(self._path)
