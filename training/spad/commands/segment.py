"""``spad segment``: label images of many image files.

Everything that can be refused is refused before the first image is computed; a file that then
turns out to be bad is told and does not end the others.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spad.cases import CaseError, refuse_long_names, sidecar, write_bytes, write_json
from spad.checkpoint import LabelClass, model_path
from spad.commands.options import add_model, add_sampling, sampling, say
from spad.inference import is_out_of_memory
from spad.pictures import image_files

if TYPE_CHECKING:
    from spad.inference import Segmentation

__all__ = ["Result", "add_arguments", "input_files", "run", "segment_files"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad segment``."""
    add_model(parser)
    parser.add_argument("files", nargs="+", metavar="FILES", help="PNG, TIFF, JPEG, or folders")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the results")
    add_sampling(parser)
    parser.add_argument(
        "--uncertainty", action="store_true", help="also write NAME.uncertainty.tif"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    parser.epilog = (
        "--device also takes a server (`spad serve`): https://HOST:PORT, its token in SPAD_TOKEN."
    )


def run(args: argparse.Namespace) -> int:
    """Segment all that can be; 1 if files failed, which are named."""
    import spad

    segmenter = spad.load(model_path(args.model), device=args.device)
    options = sampling(args)

    def segment(image: NDArray[Any]) -> Segmentation:
        steps = segmenter.steps(image, **options)
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                result: Segmentation = stop.value
                return result
            if step.said:
                say(step.said)
            if sys.stderr.isatty():
                print(f"\r{step.done}/{step.total}\r", end="", file=sys.stderr, flush=True)

    failed = segment_files(
        segment,
        args.files,
        args.out,
        uncertainty=args.uncertainty,
        overwrite=args.overwrite,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if failed:
        say(f"{len(failed)} files failed: {', '.join(map(str, failed))}")
    return 1 if failed else 0


class Result(Protocol):
    """What is used of a `spad.Segmentation`."""

    @property
    def labels(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def uncertainty(self) -> NDArray[np.float16]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[LabelClass, ...]: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102


def input_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Image files, in the order given; of a folder those directly in it, sorted.

    Raises
    ------
    CaseError
        Paths that do not exist and folders without images, all of them named.
    """
    found: list[Path] = []
    problems = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in image_files.SUFFIXES and not file.name.startswith(".")
            )
            if not inside:
                problems.append(
                    f"{path}: has no {', '.join(image_files.SUFFIXES)} file; correct the path"
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            problems.append(f"{path}: there is no such file; correct the path")
    if problems:
        raise CaseError(problems)
    return list(dict.fromkeys(found))


def segment_files(
    segment: Callable[[NDArray[Any]], Result],
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    uncertainty: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Segment image files and write label images with a JSON sidecar each.

    ``NAME.png`` (class values as indexes into a palette) for an image, ``NAME.tif`` for a stack,
    ``NAME.spad.json`` beside it and, if asked for, ``NAME.uncertainty.tif`` (float32, 0..1).

    Parameters
    ----------
    segment : callable
        Image (H, W) or stack (Z, H, W) -> result of the same shape.
    inputs : iterable of path
        Files and folders.
    out : path
        Folder; made if missing.
    uncertainty : bool, optional
    overwrite : bool, optional
        Replace results that exist. An input is never replaced.
    say : callable, optional
        Takes a line of progress, or what is wrong with a file.

    Returns
    -------
    list of Path
        Inputs that failed.

    Raises
    ------
    ValueError
        Nothing to do, results that exist or would replace an input or each other; before anything
        is computed.
    OSError
        The folder cannot be made.
    ImportError
        Pillow or tifffile is missing.
    """
    out = Path(out)
    images = input_files(inputs)
    _refuse(images, out, overwrite)
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, path in enumerate(images, start=1):
        head = f"[{number}/{len(images)}] {path}"
        began = time.monotonic()
        try:
            result = segment(image_files.read_file(path))
            target = _write(result, path, out, uncertainty)
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            failed.append(path)
            say(f"{head}: FAILED: {str(error) or 'not enough memory'}")
        else:
            say(f"{head} -> {target} ({time.monotonic() - began:.1f} s)")
    return failed


def _targets(path: Path, out: Path) -> list[Path]:
    """Every file that may be written for an input: its dimensions are not known yet."""
    ends = (".png", ".tif", ".spad.json", ".uncertainty.tif")
    return [out / (path.stem + end) for end in ends]


def _refuse(images: list[Path], out: Path, overwrite: bool) -> None:
    """Raise if results would replace an input, each other, or (unless asked) older results."""
    if not images:
        raise ValueError("there is nothing to segment; name image files or folders")
    problems = []
    for path in images:
        try:
            refuse_long_names(*_targets(path, out))
        except ValueError as error:
            problems.append(str(error))
    if problems:  # to look whether such a file exists is an error already
        raise CaseError(problems)
    sources: dict[str, Path] = {}
    for path in images:
        # Lower case, since some file systems tell no A from a.
        if (other := sources.setdefault(path.stem.lower(), path)) != path:
            problems.append(
                f"{other} and {path} would both be written to {out / path.stem}.*; rename one or "
                "segment them into two folders"
            )
    exist = [file for path in images for file in _targets(path, out) if file.exists()]
    inodes = {(stat.st_dev, stat.st_ino) for stat in (path.stat() for path in images)}
    for file in exist:
        stat = file.stat()
        if (stat.st_dev, stat.st_ino) in inodes:
            problems.append(f"{file} is one of the inputs; choose another output folder")
        elif not overwrite:
            problems.append(f"{file} exists; choose another output folder, or --overwrite")
    if problems:
        raise CaseError(problems)


def _write(result: Result, path: Path, out: Path, uncertainty: bool) -> Path:
    """Write one result; the sidecar comes last and so tells of a complete one."""
    if result.labels.ndim == 2:
        target = out / f"{path.stem}.png"
        palette = [level for one in result.classes for level in one.color]
        data = image_files.png_bytes(result.labels, palette)
    else:
        target = out / f"{path.stem}.tif"
        data = image_files.tiff_bytes(result.labels)
    write_bytes(target, data)
    if uncertainty:
        levels = image_files.tiff_bytes(np.asarray(result.uncertainty, np.float32))
        write_bytes(out / f"{path.stem}.uncertainty.tif", levels)
    content = sidecar(
        labels=target.name,
        image=path.name,
        shape=result.labels.shape,
        spacing_mm=None,
        classes=result.classes,
        provenance=dict(result.provenance),
    )
    write_json(out / f"{path.stem}.spad.json", content)
    return target
