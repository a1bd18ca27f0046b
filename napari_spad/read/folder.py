"""A folder of B-scans as one stack, so that one slider goes through all of them.

B-scans of several sizes are padded below and at the right; the dock segments each within its own
extent (layer metadata ``bscan_sizes``), and the reference is 255 outside it. A case folder, as the
trainer reads it, brings its reference, its structures' names, its patients (as pseudonyms), its
splits and its spacing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.read.opened_layers import LayerData, named_values, placed, pseudonym
from spad.cases import CaseError, composed, is_dangling, is_length, label_names, read_json
from spad.measuring import Scale
from spad.pictures import SUFFIXES, image_files

__all__ = ["folder_stack", "holds_bscans"]

PAD = 255  # of a reference: no score looks there (`spad.checkpoint.labels.IGNORE`)
IN_MEMORY = 2**26
"""A stack of more bytes is read B-scan by B-scan, when it is looked at or segmented."""
_LABEL_FOLDERS = ("masks", "labels")


def holds_bscans(folder: Path) -> bool:
    """Whether a folder, or its ``images``, has image files."""
    return any(_images(place) for place in (folder / "images", folder) if place.is_dir())


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty, or holds empty ones alone: then no other reader finds more."""
    return all(
        path.name.startswith(".") or (path.is_dir() and not any(path.iterdir()))
        for path in folder.iterdir()
    )


def folder_stack(
    images: Path, masks: Path | None = None, *, split: str | None = None
) -> list[LayerData]:
    """Layers of a folder's B-scans, and of their reference where there is one.

    Parameters
    ----------
    images : Path
        PNG, TIFF, JPEG or BMP, in natural order (2 before 10); colours become grey. Or a case
        folder, whose images lie in ``images``.
    masks : Path, optional
        Label maps by the same names; by default the folder ``masks`` or ``labels`` within or
        beside. A ``labels.json`` beside it names their values.
    split : str, optional
        Only the images of this split of the case folder's ``split.json``.

    Returns
    -------
    list of layer data tuples
        The images' metadata: ``bscan_names``, ``bscan_sizes`` and, of a case folder,
        ``bscan_patients`` (pseudonyms) and ``bscan_splits``.

    Raises
    ------
    ValueError, OSError
        No images, or one that cannot be read or has several pages, named.
    """
    images, paths = _folder_of_images(Path(images))
    root = images.parent if images.name == "images" else images
    splits = _splits(root / "split.json")
    cases = {composed(name): case for name, case in _json(root / "cases.json").items()}
    stems = {p: composed(p.stem) for p in paths}
    if split is not None:
        paths = [p for p in paths if splits.get(stems[p]) == split]
        if not paths:
            known = ", ".join(sorted(set(splits.values()))) or "none"
            raise ValueError(f"{root.name} has no images in the split “{split}”; it has: {known}")
    sizes, dtype = _sizes(paths)
    metadata: dict[str, Any] = {"bscan_sizes": sizes, "bscan_names": [stems[p] for p in paths]}
    if splits:
        metadata["bscan_splits"] = [splits.get(stems[p]) for p in paths]
    told = [c if isinstance(c := cases.get(stems[p]), dict) else {} for p in paths]
    if any("patient" in case for case in told):
        metadata["bscan_patients"] = [pseudonym(str(c.get("patient", ""))) for c in told]
    scale = Scale.of(_spacing(told, metadata))
    metadata["scale"] = scale.as_json()
    place = placed(scale, 3)
    name = root.name if split is None else f"{root.name} – {split}"
    settings = {"name": name, "colormap": "gray", "metadata": metadata, **place}
    stack = _stacked([_reader(p, dtype) for p in paths], sizes, dtype)
    layers: list[LayerData] = [(stack, settings, "image")]
    if masks is None:
        places = [p / name for p in (images, images.parent) for name in _LABEL_FOLDERS]
        masks = next((m for m in places if m.is_dir()), None)
    if masks is not None:
        reference, named = _reference(paths, sizes, masks)
        if reference is not None:
            layers.append((reference, named | place, "labels"))
    if gone := [*_gone(images), *(_gone(masks) if masks is not None else ())]:
        metadata["notes"] = [*metadata.get("notes", ()), *gone]
    return layers


def _folder_of_images(folder: Path) -> tuple[Path, list[Path]]:
    """Where the images lie, and which they are."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one with B-scans in it")
    if (folder / "images").is_dir() and not _images(folder):
        folder = folder / "images"
    paths = _images(folder)
    if not paths:
        raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)}); give another folder")
    return folder, paths


def _images(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted((p for p in found if not p.name.startswith(".")), key=_natural)


def _gone(folder: Path) -> list[str]:
    """What to say of images whose links lead to no file."""
    links = (p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES and is_dangling(p))
    return [f"left out {p.parent.name}/{p.name}: its link leads to no file" for p in links]


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key: numbers by their value, all else without regard to case; of equals, the name."""
    parts = re.split(r"(\d+)", path.stem.casefold())
    key = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]
    return key, path.name


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object ({{...}}); mend or remove it")
    return content


def _splits(path: Path) -> dict[str, str]:
    """Split of each image by name."""
    found: dict[str, str] = {}
    for split, members in _json(path).items():
        listed = members.get("images") if isinstance(members, dict) else None
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise ValueError(
                f"{path}: split “{split[:40]}” has no list of images' names; write "
                '{"images": ["NAME", ...]} for it, or remove the file'
            )
        found |= dict.fromkeys(map(composed, listed), split)
    return found


def _spacing(
    cases: Sequence[Mapping[str, Any]], metadata: dict[str, Any]
) -> tuple[float | None, float | None]:
    """Spacing of all B-scans where they have one in common, else a note."""
    given = [case.get("spacing_mm") for case in cases]
    if any(s is not None and not _is_spacing(s) for s in given):
        metadata["notes"] = [
            "a spacing in cases.json is not [row, column] in mm, so sizes are in pixels"
        ]
        return None, None
    found = {None if s is None else tuple(s) for s in given}
    if len(found) == 1 and (only := found.pop()) is not None:
        return float(only[0]), float(only[1])
    if any(s is not None for s in found):
        metadata["notes"] = ["its B-scans have several spacings, so sizes are in pixels"]
    return None, None


def _is_spacing(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_length, value))


def _sizes(paths: Sequence[Path]) -> tuple[list[tuple[int, int]], Any]:
    """Heights and widths, and the type that holds all pixels. Reads the files' headers alone."""
    sizes, kinds = [], set()
    for path in paths:
        shape, dtype = image_files.header(path)
        if len(shape) != 2:
            raise ValueError(
                f"{path}: holds {shape[0]} pages; in a folder each B-scan is a file of its own, so "
                "move it out and open it alone (File › Open), or save each page as a file"
            )
        sizes.append((shape[0], shape[1]))
        kinds.add(dtype)
    return sizes, np.result_type(*kinds)


def _reference(
    paths: Sequence[Path], sizes: Sequence[tuple[int, int]], masks: Path
) -> tuple[Any, dict[str, Any]]:
    maps = _images(masks)
    found = {composed(p.stem): p for p in maps}
    if not any(composed(p.stem) in found for p in paths):
        return None, {}
    for files in (maps, paths):
        _refuse_namesakes(files)

    def reader(path: Path, size: tuple[int, int]) -> Callable[[], NDArray[Any]]:
        def read() -> NDArray[Any]:
            if (file := found.get(composed(path.stem))) is None:
                return np.full(size, PAD, np.uint8)
            label_map = image_files.read_label_file(file)
            if label_map.shape != size:
                raise ValueError(
                    f"{file} has shape {label_map.shape}, its image {size}; "
                    "label maps must lie on their images' grid"
                )
            return label_map

        return read

    readers = [reader(p, s) for p, s in zip(paths, sizes, strict=True)]
    settings: dict[str, Any] = {"name": "reference", "metadata": {"role": "reference"}}
    if (told := masks.parent / "labels.json").is_file():
        from napari_spad.layers import reference_settings

        problems: list[str] = []
        names = label_names(told, problems)
        if problems:
            raise CaseError(problems)
        settings = reference_settings("reference", named_values(names))
        settings["colormap"].color_dict[PAD] = np.zeros(4)
    return _in_memory(readers, sizes, np.dtype(np.uint8), PAD), settings


def _refuse_namesakes(paths: Sequence[Path]) -> None:
    """Raise where nobody can tell which label map is whose."""
    seen: dict[str, Path] = {}
    for path in sorted(paths):
        if (other := seen.setdefault(composed(path.stem), path)) is not path:
            raise ValueError(f"{path}: {other.name} has the same name; remove or rename one")


def _reader(path: Path, dtype: Any) -> Callable[[], NDArray[Any]]:
    return lambda: image_files.read_file(path, quiet=True).astype(dtype, copy=False)


def _stacked(
    readers: Sequence[Callable[[], NDArray[Any]]], sizes: Sequence[tuple[int, int]], dtype: Any
) -> Any:
    """A padded stack: in memory while it is small, else read B-scan by B-scan when needed."""
    height, width = _extent(sizes)
    if len(readers) * height * width * dtype.itemsize <= IN_MEMORY:
        return _in_memory(readers, sizes, dtype, 0)
    import dask.array as da
    from dask import delayed

    def padded(read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        one = read()
        return np.pad(one, ((0, height - one.shape[0]), (0, width - one.shape[1])))

    return da.stack([da.from_delayed(delayed(padded)(r), (height, width), dtype) for r in readers])


def _in_memory(
    readers: Sequence[Callable[[], NDArray[Any]]],
    sizes: Sequence[tuple[int, int]],
    dtype: Any,
    fill: int,
) -> NDArray[Any]:
    out = np.full((len(readers), *_extent(sizes)), fill, dtype)
    with ThreadPoolExecutor() as pool:  # decoders let go of the GIL
        for z, one in enumerate(pool.map(lambda read: read(), readers)):
            out[z, : one.shape[0], : one.shape[1]] = one
    return out


def _extent(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    height, width = (max(s[axis] for s in sizes) for axis in (0, 1))
    return height, width
