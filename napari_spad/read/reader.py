"""What napari calls to open files: which reader takes a path, errors and notes in words.

A reader that raises leaves the user with napari's own sentence and a traceback, for napari keeps
the reason to itself. So errors are told as a notification, and no layer is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["get_reader", "read"]

Reader = Callable[[Any], list[Any]]

_BY_SUFFIX = {
    ".vol": ("vol", "read_vol"),
    ".xml": ("heyex_xml", "read_heyex"),
    ".e2e": ("e2e", "read_e2e"),
    ".fda": ("topcon", "read_topcon"),
    ".fds": ("topcon", "read_topcon"),
    ".oct": ("opened_layers", "scan_layers"),
    ".img": ("opened_layers", "scan_layers"),
    ".dcm": ("dicom", "read_dicom"),
    ".dicom": ("dicom", "read_dicom"),
    ".nii": ("nifti", "read_nifti"),
    ".nii.gz": ("nifti", "read_nifti"),
}
_SIDECAR = ".spad.json"
_LINES = {".lines.csv": b"bscan_", ".lines.npz": b"PK"}
"""How files of lines begin, by how we name them; a spreadsheet may put a mark before it."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what reads a path, or None (npe2).

    Parameters
    ----------
    path : str or sequence of str
        Files that are opened as a stack come together; each gets layers of its own.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    try:
        if not all(_reader_of(p) for p in paths):
            return None
    except OSError:  # the reader's own words say more
        pass
    return lambda given: _told(paths)


def read(path: str | Path) -> list[Any]:
    """Layers of a file or folder.

    Raises
    ------
    ValueError, OSError, ImportError
        In words: what is wrong with which file, and what to do.
    """
    path = Path(path)
    reader = _reader_of(path)
    if reader is None:
        raise ValueError(f"{path.name} is of no kind that SPAD opens; convert it to PNG or TIFF")
    if path.name.lower().endswith(_SIDECAR):
        from napari_spad.read.exported_labels import label_file

        path = label_file(path)
        if path.name.lower().endswith((".nii", ".nii.gz")):
            reader = _BY_SUFFIX[".nii"]
    module, function = reader
    layers: list[Any] = getattr(import_module(f"napari_spad.read.{module}"), function)(path)
    return layers


def _reader_of(path: Path) -> tuple[str, str] | None:
    """Module and function that read a path."""
    if path.is_dir():
        from napari_spad.read.folder import holds_bscans, holds_nothing

        ours = holds_bscans(path) or holds_nothing(path)
        return ("folder", "folder_stack") if ours else None
    name = path.name.lower()
    if name.endswith(_SIDECAR):
        return "exported_labels", "exported_labels"
    if start := next((_LINES[end] for end in _LINES if name.endswith(end)), b""):
        with path.open("rb") as file:
            return ("opened_layers", "lines_told") if start in file.read(9) else None
    suffix = ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
    if suffix == ".xml":
        from napari_spad.read.heyex_xml import is_heyex

        if not is_heyex(path):
            return None
    return _BY_SUFFIX.get(suffix)


def _opened(path: Path) -> list[Any]:
    """Layers of a file; the person is asked for a size that it does not tell."""
    from spad.pictures import UnknownSize  # loads NumPy, which choosing a reader does not need

    try:
        return read(path)
    except UnknownSize as error:
        from napari_spad.read.cube_size import opened_with_size

        return opened_with_size(path, str(error))


def _told(paths: Sequence[Path]) -> list[Any]:
    """Read all paths; what goes wrong, or should be known, becomes a notification."""
    from napari.utils.notifications import show_error, show_info

    from spad.cases import file_error

    layers: list[Any] = []
    for path in paths:
        try:
            found = _opened(path)
        except (ValueError, OSError, ImportError) as error:
            show_error(file_error(error))
            continue
        except MemoryError:
            show_error(f"{path.name} does not fit into memory; close other layers, or export less")
            continue
        for _, settings, _ in found:
            for note in settings["metadata"].get("notes", ()):
                show_info(f"{settings['name']}: {note}.")
        layers += found
    return layers or [(None,)]  # napari's sign for: dealt with, and nothing to show
