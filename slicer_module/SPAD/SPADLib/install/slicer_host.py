"""The Slicer that this runs in, as an installation needs it: versions, pip, the PyTorch extension.

This file also runs on the Python of old Slicers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from SPADLib.host import python_program, run_command

__all__ = ["SlicerHost"]

WHEELS = Path(__file__).resolve().parents[2] / "Resources" / "Wheel"


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
        pip = [
            python_program("PythonSlicer"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
        ]
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
