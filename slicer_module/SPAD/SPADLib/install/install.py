"""Getting the engine into Slicer's Python without breaking what Slicer ships.

PyTorch comes through the PyTorch extension, the engine from the wheel that this extension carries,
without its dependencies, and safetensors with everything that Slicer ships held at its version.
Nothing is installed at import, nor in tests. This file also runs on the Python of old Slicers: it
is what tells them apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from SPADLib.host import Overheard, run_command
from SPADLib.install.pip_errors import InstallError, in_words

__all__ = [
    "Host",
    "InstallError",
    "SlicerHost",
    "install",
    "missing",
    "offline_command",
    "plan",
    "sha256_of",
    "version_refusal",
    "wheel_argument",
]

OLDEST_SLICER, OLDEST_PYTHON = (5, 10), (3, 11)
TORCH = ">=2.4"
SAFETENSORS = "safetensors>=0.4.3"
ENGINE = "napari-spad"
"""The distribution that holds the engine; of the napari plugin in it nothing is loaded here."""
FROZEN = (
    *("numpy", "scipy", "SimpleITK", "vtk", "requests", "packaging", "pydicom", "pillow"),
    "torch",
)
"""What no installation may change."""
WHEELS = Path(__file__).resolve().parents[2] / "Resources" / "Wheel"


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


class SlicerHost:
    """The Slicer that this runs in."""

    wheel_folder = WHEELS

    def version(self, name: str) -> str | None:
        """Version of an installed distribution; None where there is none."""
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    def wheel_sha256(self, name: str) -> str | None:
        """Hash of the wheel that a distribution was installed from; None where none is known."""
        try:
            origin = json.loads(metadata.distribution(name).read_text("direct_url.json") or "{}")
        except (metadata.PackageNotFoundError, ValueError):
            return None
        info = origin.get("archive_info", {})
        return info.get("hashes", {}).get("sha256") or info.get("hash", "")[7:] or None

    def pip(self, arguments: list[str]) -> Iterator[str]:
        """Run pip in a process of its own; yield its lines, and "" while it says nothing."""
        python = shutil.which("PythonSlicer") or sys.executable
        if "python" not in Path(python).name.lower():  # it would open a second Slicer
            raise OSError("PythonSlicer was not found beside Slicer")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        yield from run_command([*pip, *arguments])

    def torch_installer(self) -> Any:
        """Logic of the PyTorch extension; None where that is not installed."""
        try:
            import PyTorchUtils
        except ImportError:
            return None
        return PyTorchUtils.PyTorchUtilsLogic()

    def testing(self) -> bool:
        """Whether this is a self-test."""
        import slicer

        return bool(slicer.app.testingEnabled())


# ---------------------------------------------------------------------- what there is


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
    have, wheel = host.version(ENGINE), _wheel(host)
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


def _wheel(host: Host) -> Path | None:
    """The newest engine that the extension carries."""
    found = sorted(host.wheel_folder.glob("napari_spad-*.whl"), key=lambda p: p.stat().st_mtime)
    return found[-1] if found else None


def _version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]


# ---------------------------------------------------------------------- the installation


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
    wheel = _wheel(host)
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
