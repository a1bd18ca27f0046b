"""Finding structures' masks of radiographs, however their folders are arranged.

=========================  ====================================================
``masks/NAME.png``         indexed: values that ``labels.json`` names
``masks/NAME/<s>.png``     binary, one folder an image
``masks/<s>/NAME.png``     binary, one folder a structure
=========================  ====================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from spad.cases import CaseError, file_error, read_json
from spad.checkpoint import IGNORE, MAX_CLASSES
from spad.pictures import image_files
from spad.train.imports.overlap_order import normal
from spad.train.imports.patient_splits import natural
from spad.train.imports.report import listed

__all__ = ["Layout", "Radiograph", "find_layout"]

Kind = Literal["indexed", "a folder an image", "a folder a structure"]
_STRUCTURES = MAX_CLASSES - 1


@dataclass(frozen=True, slots=True)
class Radiograph:
    """An image and its masks.

    Parameters
    ----------
    name : str
    image : Path
    masks : mapping of str to Path
        Structure -> binary mask; of an indexed one, "" -> file.
    """

    name: str
    image: Path
    masks: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Layout:
    """A data set as it lies on the disk.

    Parameters
    ----------
    kind : str
    radiographs : tuple of Radiograph
        In natural order.
    names : mapping of int to str
        Value -> class. Of binary masks: structures in natural order ("rib 2" before "rib 10"),
        from 1; of indexed ones as labels.json says.
    idle : tuple of str
        Masks without an image.
    """

    kind: Kind
    radiographs: tuple[Radiograph, ...]
    names: Mapping[int, str]
    idle: tuple[str, ...]

    def missing(self) -> dict[str, list[str]]:
        """Structures whose mask some images lack, with the names of these images."""
        if self.kind == "indexed":
            return {}
        structures = [name for value, name in self.names.items() if value]
        found = {s: [r.name for r in self.radiographs if s not in r.masks] for s in structures}
        return {structure: images for structure, images in found.items() if images}


def find_layout(src: Path) -> Layout:
    """Find images, masks and structures.

    Raises
    ------
    CaseError
        No images or masks, a mixture of layouts, images without masks, names that are given twice,
        more than 63 structures, a faulty labels.json; all faults of one kind together.
    """
    problems: list[str] = []
    images = _by_name(src / "images", problems)
    if not (src / "masks").is_dir():
        problems.append(f"{src / 'masks'}: there is no such folder; put the masks there")
    if problems:
        raise CaseError(problems)
    loose = _by_name(src / "masks", problems, needed=False)
    folders = {
        path.name: _by_name(path, problems, needed=False)
        for path in sorted((src / "masks").iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    kind = _kind(src, images, loose, folders, problems)
    if problems or kind is None:
        raise CaseError(problems)
    masks, idle = _masks(src, kind, images, loose, folders, problems)
    if bare := [name for name, found in masks.items() if not found]:
        problems.append(
            f"{src / 'masks'}: has no mask for {len(bare)} images: {listed(bare)}; add them, or "
            "remove the images"
        )
    names = (
        _indexed_names(src, problems)
        if kind == "indexed"
        else _names({s for found in masks.values() for s in found}, src, problems)
    )
    if problems:
        raise CaseError(problems)
    radiographs = tuple(
        Radiograph(name, images[name], MappingProxyType(masks[name]))
        for name in sorted(images, key=natural)
    )
    return Layout(kind, radiographs, MappingProxyType(names), tuple(idle))


def _masks(
    src: Path,
    kind: Kind,
    images: Mapping[str, Path],
    loose: Mapping[str, Path],
    folders: Mapping[str, Mapping[str, Path]],
    problems: list[str],
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Masks of each image by structure, and those that belong to none."""
    if kind == "indexed":
        flat = [(name, "", path) for name, path in loose.items()]
    elif kind == "a folder an image":
        flat = [
            (name, _structure(stem, name), path)
            for name, inner in folders.items()
            for stem, path in inner.items()
        ]
    else:
        flat = [
            (name, normal(folder), path)
            for folder, inner in folders.items()
            for name, path in inner.items()
        ]
    masks: dict[str, dict[str, Path]] = {name: {} for name in images}
    idle = []
    for name, structure, path in flat:
        if name not in masks:
            idle.append(path.relative_to(src).as_posix())
        elif structure in masks[name]:
            problems.append(
                f"{path}: is a second mask of {structure!r} for {name!r}, beside "
                f"{masks[name][structure].relative_to(src).as_posix()}; remove one"
            )
        else:
            masks[name][structure] = path
    return masks, idle


def _by_name(folder: Path, problems: list[str], *, needed: bool = True) -> dict[str, Path]:
    """Image files of a folder by name without extension."""
    found: dict[str, Path] = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            hidden = path.name.startswith(".")
            if path.suffix.lower() not in image_files.SUFFIXES or hidden or not path.is_file():
                continue
            if path.stem in found:
                problems.append(f"{path}: {found[path.stem].name} has the same name; remove one")
            found.setdefault(path.stem, path)
    if needed and not found:
        problems.append(
            f"{folder}: holds no {', '.join(image_files.SUFFIXES)} files; put the images there"
        )
    return found


def _kind(
    src: Path,
    images: Mapping[str, Path],
    loose: Mapping[str, Path],
    folders: Mapping[str, Mapping[str, Path]],
    problems: list[str],
) -> Kind | None:
    """Tell the layout by where the images' names stand."""
    by_image = [name for name, inner in folders.items() if name in images and inner]
    by_structure = [n for n, inner in folders.items() if n not in images and images.keys() & inner]
    matched = images.keys() & loose.keys()
    kinds: dict[Kind, str] = {}
    if matched:
        kinds["indexed"] = f"masks/{loose[min(matched)].name}"
    if by_image:
        kinds["a folder an image"] = f"masks/{by_image[0]}/"
    if by_structure:
        kinds["a folder a structure"] = f"masks/{by_structure[0]}/"
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds:
        both = " and ".join(f"{example} ({kind})" for kind, example in kinds.items())
        problems.append(f"{src}: mixes layouts, {both}; use one for all images")
    else:
        problems.append(
            f"{src / 'masks'}: nothing in it bears the name of an image such as {min(images)!r}; "
            "give masks/NAME.png with labels.json, masks/NAME/<structure>.png or "
            "masks/<structure>/NAME.png"
        )
    return None


def _structure(stem: str, image: str) -> str:
    """Structure of a mask in its image's folder; NAME_heart.png means heart."""
    for mark in "_- .":
        stem = stem.removeprefix(image + mark)
    return normal(stem)


def _names(structures: Iterable[str], src: Path, problems: list[str]) -> dict[int, str]:
    """Number the structures in natural order, from 1."""
    every = sorted(structures, key=natural)
    if len(every) > _STRUCTURES:
        problems.append(
            f"{src / 'masks'}: {len(every)} structures found, from {every[0]!r} to {every[-1]!r}; "
            f"a model has at most {_STRUCTURES}, so remove or merge some"
        )
    if reserved := {"background", "ignore", ""} & set(every):
        problems.append(
            f"{src / 'masks'}: a structure cannot be named {min(reserved)!r}; rename or remove it"
        )
    return {0: "background", **dict(enumerate(every, 1))}


def _indexed_names(src: Path, problems: list[str]) -> dict[int, str]:
    """Read ``labels.json``, of the data set or of its masks."""
    places = [src / "labels.json", src / "masks" / "labels.json"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        problems.append(f'{places[0]}: is missing; write {{"0": "background", "1": "heart", ...}}')
        return {}
    try:
        content = read_json(path)
    except (ValueError, OSError) as error:
        problems.append(file_error(error))
        return {}
    if not isinstance(content, dict) or not all(isinstance(n, str) for n in content.values()):
        problems.append(f'{path}: is not of the form {{"1": "heart", ...}}; correct it')
        return {}
    names = {0: "background"}
    for key, name in content.items():
        value = int(key) if key.isascii() and key.isdigit() else -1
        if value == IGNORE and normal(name) == "ignore":
            continue
        if not 0 <= value < IGNORE:
            problems.append(f"{path}: value {key!r} is not an integer in 0..{IGNORE - 1}")
        elif value and normal(name) in names.values():
            problems.append(f"{path}: the name {normal(name)!r} is given twice; names must differ")
        elif value:
            names[value] = normal(name)
        elif normal(name) != "background":
            problems.append(f"{path}: value 0 is {name!r}; 0 must be the background")
    if not 1 <= len(names) - 1 <= _STRUCTURES:
        problems.append(
            f"{path}: names {len(names) - 1} structures; a model has 1 to {_STRUCTURES}"
        )
    return dict(sorted(names.items()))
