"""``spad segment``: label images of many image files.

Everything that can be refused is refused before the first image is computed; a file that then
turns out to be bad is told and does not end the others.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from spad.annotation import images_in
from spad.cases import CaseError, file_error, make_writable, refuse_long_names
from spad.checkpoint import read_card, sha256
from spad.cohort import (
    Ledger,
    Progress,
    Result,
    SegmentJob,
    cluster,
    count,
    handed_out,
    on_all,
    opened,
    ready_to_segment,
    segment_file,
    targets,
    write_result,
)
from spad.commands.options import (
    add_model,
    add_sampling,
    add_workers,
    among_workers,
    length,
    positive,
    refuse_no_folder,
    refuse_swapped,
    sampling,
    say,
)
from spad.inference import ServerError, drained, is_out_of_memory, refuse_sampling
from spad.pictures import SCANS, CubeSize, image_files
from spad.remote import NoLine, model_on

if TYPE_CHECKING:
    from spad.inference import Segmentation, Step

__all__ = ["add_arguments", "input_files", "run", "segment_files"]

_OTHERS = (".nii", ".nii.gz", ".vol", ".e2e", ".fda", ".fds", ".dcm")
"""Scans that napari or 3D Slicer opens, and this does not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad segment``."""
    add_model(parser)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILES",
        help="images, .OCT, .img, or folders of them; of a case folder its images",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the results")
    add_sampling(parser)
    parser.add_argument(
        "--uncertainty", action="store_true", help="also write NAME.uncertainty.tif"
    )
    axes = ("BSCANS", "ROWS", "COLUMNS")
    parser.add_argument(
        "--cube", nargs=3, type=positive, metavar=axes, help="size of .img files that tell none"
    )
    parser.add_argument(
        "--cube-mm", nargs=3, type=length, metavar=axes,
        help="how long such a scan is in mm: across the B-scans, down, along; 0 is unknown",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    add_workers(parser)
    parser.epilog = (
        "--device also takes a server (`spad serve`): https://HOST:PORT, its token in SPAD_TOKEN."
    )


def run(args: argparse.Namespace) -> int:
    """Segment all that can be; 1 if files failed, which are named."""
    import spad

    job = _job(args)
    if among_workers(args):
        return _cohort(args, job)
    segmenter = spad.load(job.model, device=args.device)
    options = job.options

    def segment(image: NDArray[Any]) -> Segmentation:
        return drained(segmenter.steps(image, **options), show)

    def show(step: Step) -> None:
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
        key=job.key,
        cube=job.cube,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if failed:
        say(f"{count(len(failed), 'file')} failed: {', '.join(map(str, failed))}")
    return 1 if failed else 0


def _job(args: argparse.Namespace) -> SegmentJob:
    refuse_swapped(args, args.files)
    _refuse_file(args.out)
    path = model_on(args.model, args.device).resolve()
    refuse_sampling(read_card(path), args.samples, args.steps)  # says what is wrong with the card
    return SegmentJob(
        model=str(path), sha256=sha256(path), out=str(args.out.resolve()), options=sampling(args),
        device=args.device, uncertainty=args.uncertainty, overwrite=args.overwrite,
        cube=CubeSize.of(args.cube, args.cube_mm),
    )  # fmt: skip


def _refuse_file(out: Path) -> None:
    """Raise a ValueError where the file of a result is named, and not the folder."""
    refuse_no_folder(out)
    if out.suffix.lower() in image_files.SUFFIXES and not out.exists():
        raise ValueError(
            f"{out} is the name of a file; results get the names of their images, so name the "
            f"folder to put them in, such as {out.with_suffix('')}"
        )


def _cohort(args: argparse.Namespace, job: SegmentJob) -> int:
    """Segment on the workers of a cluster what is not done yet; 1 if files failed."""
    images = input_files(args.files)
    _refuse(images, args.out, True, args.uncertainty)  # what is done is passed over, file by file
    make_writable(args.out)
    ledger = Ledger(args.out / "failures.jsonl")
    work = ((str(path.absolute()), job) for path in images)
    with cluster(args.workers, args.dask) as client:
        on_all(client, ready_to_segment, job)
        progress = Progress(len(images), say)
        for file, outcome in handed_out(client, segment_file, work, progress.tick):
            if outcome.state == "failed":
                ledger.failed(file, outcome.text)
                say(f"{file}: FAILED: {outcome.text}")
            elif outcome.said:
                say(f"{file}: {outcome.said}")
            progress.update(outcome.state)
    say(progress.text())
    if number := progress.counts["failed"]:
        say(f"{count(number, 'file')} failed; which and why stands in {ledger.path}")
    return 1 if number else 0


def input_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Image files, in the order given; of a folder those directly in it, or its cases', sorted.

    Raises
    ------
    CaseError
        Paths that do not exist and folders without images, all of them named.
    """
    found: list[Path] = []
    problems = []
    suffixes = (*image_files.SUFFIXES, *SCANS)
    for path in map(Path, paths):
        if path.is_dir():
            inside = images_in(path, lambda file: file.suffix.lower() in suffixes)
            if not inside:
                within = path / "images"
                remedy = f"give {within}" if within.is_dir() else "correct the path"
                problems.append(f"{path}: has no {', '.join(suffixes)} file; {remedy}")
            found += inside
            _say_passed_over(path)
        elif path.exists():
            found.append(path)
        else:
            problems.append(f"{path}: there is no such file; correct the path")
    if problems:
        raise CaseError(problems)
    return list(dict.fromkeys(found))


def _say_passed_over(folder: Path) -> None:
    """Warn of scans in a folder that are not segmented."""
    others = images_in(folder, lambda file: file.name.lower().endswith(_OTHERS))
    if others:
        kinds = {kind for file in others for kind in _OTHERS if file.name.lower().endswith(kind)}
        warnings.warn(
            f"{folder}: {count(len(others), 'file')} passed over ({', '.join(sorted(kinds))}), "
            "which napari or 3D Slicer opens: docs/files.md",
            stacklevel=3,
        )


def segment_files(
    segment: Callable[[NDArray[Any]], Result],
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    uncertainty: bool = False,
    overwrite: bool = False,
    key: Callable[[Path], str] | None = None,
    cube: CubeSize | None = None,
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
    key : callable, optional
        Gives what a result's sidecar keeps, for a later run to know it by.
    cube : CubeSize, optional
        Of ``.img`` files that tell none.
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
        The folder cannot be made, or written to.
    ImportError
        Pillow or tifffile is missing.
    """
    out = Path(out)
    images = input_files(inputs)
    _refuse(images, out, overwrite, uncertainty)
    make_writable(out)
    failed = []
    for number, path in enumerate(images, start=1):
        head = f"[{number}/{len(images)}] {path}"
        began = time.monotonic()
        try:
            pixels, scale = opened(path, cube)
            told = "" if key is None else key(path)
            target = write_result(segment(pixels), path, out, uncertainty, told, scale)
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            of_file = is_out_of_memory(error) or isinstance(error, ServerError)
            if isinstance(error, NoLine) or (isinstance(error, RuntimeError) and not of_file):
                raise
            failed.append(path)
            say(f"{head}: FAILED: {file_error(error) if error.args else 'not enough memory'}")
        else:
            say(f"{head} -> {target} ({time.monotonic() - began:.1f} s)")
    return failed


def _refuse(images: list[Path], out: Path, overwrite: bool, uncertainty: bool) -> None:
    """Raise if results would replace an input, each other, or (unless asked) older results."""
    if not images:
        raise ValueError("there is nothing to segment; name image files or folders")
    problems = []
    for path in images:
        try:
            refuse_long_names(*targets(path, out))
        except ValueError as error:
            problems.append(str(error))
    if problems:  # to look whether such a file exists is an error already
        raise CaseError(problems)
    sources: dict[str, Path] = {}
    for path in images:
        for file in targets(path, out)[: None if uncertainty else -1]:
            # Lower case, since some file systems tell no A from a.
            if (other := sources.setdefault(file.name.lower(), path)) != path:
                problems.append(
                    f"{other} and {path} would both be written to {file}; rename one or segment "
                    "them into two folders"
                )
                break
    inodes = set()
    for path in images:
        with contextlib.suppress(OSError):  # a link to nothing, say: it fails in its turn
            inodes.add(((stat := path.stat()).st_dev, stat.st_ino))
    older: dict[Path, Path] = {}  # a result of each image
    for path in images:
        for file in filter(Path.exists, targets(path, out)):
            stat = file.stat()
            if (stat.st_dev, stat.st_ino) in inodes:
                problems.append(f"{file} is one of the inputs; choose another output folder")
            else:
                older.setdefault(path, file)
    if older and not overwrite:
        others = len(older) - 1
        also = f", and results of {count(others, 'other file')}" if others else ""
        first = next(iter(older.values()))
        remedy = "choose another output folder, --workers 1 to go on where a run ended"
        problems.append(f"{first} exists{also}; {remedy}, or --overwrite")
    if problems:
        raise CaseError(problems)
