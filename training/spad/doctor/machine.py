"""What the machine is: system, memory, disk, GPU, and which versions of what are installed."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["devices", "system", "versions"]

PACKAGES = (
    "napari-spad", "numpy", "scipy", "torch", "safetensors", "napari", "npe2", "qtpy", "superqt",
    "vispy", "PySide6-Essentials", "PySide6", "PyQt6", "PyQt5", "opencv-python-headless",
    "opencv-python", "pillow", "tifffile", "nibabel", "pynrrd", "eyepy", "pydicom", "tensorboard",
)  # fmt: skip
_GIB = 1 << 30


def system() -> Iterator[tuple[str, str]]:
    """Name what the machine is, a line each."""
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "Python", f"{platform.python_version()} ({sys.implementation.name})"
    threads = {key: os.environ[key] for key in ("OMP_NUM_THREADS",) if key in os.environ}
    yield "processors", f"{os.cpu_count()}" + "".join(f", {k}={v}" for k, v in threads.items())
    yield "memory", _memory()
    for what, folder in (("disk, home", Path.home()), ("disk, temporary", Path(_temporary()))):
        with suppress(OSError):
            free = shutil.disk_usage(folder)
            yield what, f"{free.free / _GIB:.0f} of {free.total / _GIB:.0f} GiB free"


def _temporary() -> str:
    import tempfile

    return tempfile.gettempdir()


def _memory() -> str:
    with suppress(ImportError, OSError):
        psutil: Any = importlib.import_module("psutil")  # napari brings it, the engine does not
        found = psutil.virtual_memory()
        return f"{found.available / _GIB:.1f} of {found.total / _GIB:.1f} GiB free"
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return f"{total / _GIB:.1f} GiB"
    return "unknown"


def versions() -> Iterator[tuple[str, str]]:
    """Name the versions of what is installed and matters, a line each."""
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)
    found = [e.name for e in metadata.entry_points(group="napari.manifest")]
    yield "napari plugin", "found" if "napari-spad" in found else "not found"


def devices() -> Iterator[tuple[str, str]]:
    """Name what a model can run on, and the GPU behind it. Loads PyTorch."""
    try:
        import torch

        from spad.network import devices as names
        from spad.network import gpus
    except Exception as error:  # a broken PyTorch is what a report is often about
        yield "PyTorch", f"does not load: {type(error).__name__}: {error}"
        return
    yield "devices", ", ".join(names())
    yield "PyTorch for", f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU, or MPS"
    for index, (gpu, fault) in enumerate(gpus().items()):
        yield gpu, f"{torch.cuda.get_device_name(index)}, {_free(index)}"
        if fault:
            yield f"{gpu} is not taken", fault
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        yield "GPU", "nvidia-smi is there, but this PyTorch cannot use it"


def _free(index: int) -> str:
    import torch

    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError as error:  # to ask takes some of it
        return f"its memory cannot be asked for: {str(error).partition(chr(10))[0]}"
    return f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
