"""``spad figures``: pictures of a run as PNG files (SPAD, Fig. 5 and Fig. 6 (c))."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import spad
from spad.cases import open_folder, replaced_together
from spad.commands.options import (
    add_overwrite,
    add_sampling,
    mapping_of,
    positive,
    refuse_existing,
    refuse_no_folder,
)
from spad.inference import AnySegmenter, frame_of, normalise
from spad.train.data import check, class_table, read_image, read_labels
from spad.train.experiments import Picture, RunData, read_run
from spad.train.experiments import run_figures as draw
from spad.train.loop import Tabled, prepare
from spad.train.method import perturb, target_map

__all__ = ["add_arguments", "run"]

_NAMES = ("curve.png", "rows.png")
_MOST = 32  # rows; more make a picture that nobody can open


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad figures``."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "others", nargs="*", metavar="OTHER", help="runs or models that the rows show beside it"
    )
    parser.add_argument("-o", "--out", type=Path, help="folder of the figures (RUN/figures)")
    parser.add_argument("--cases", type=Path, help="a case folder (the run's validation cases)")
    parser.add_argument("--split", default="val", help="which split of --cases (val)")
    parser.add_argument("--images", type=positive, default=4, metavar="N", help="rows (4)")
    add_sampling(parser)
    add_overwrite(parser)


def run(args: argparse.Namespace) -> int:
    """Draw ``curve.png`` and ``rows.png``.

    Raises
    ------
    ValueError
        Not a run, no validation yet, models or cases with other classes.
    OSError
        A file cannot be read or written.
    ImportError
        matplotlib or TensorBoard is missing.
    """
    if args.images > _MOST:
        raise ValueError(f"{args.images} images asked for; choose 1 to {_MOST}")
    out = args.out or args.run_folder / "figures"
    refuse_no_folder(out)
    refuse_existing([out / name for name in _NAMES], args)
    draw.new_figure(1, 1)  # says at once that matplotlib is missing
    run = read_run(args.run_folder)
    models = _models([args.run_folder, *args.others], args.device)
    cases = _cases(run, args.cases, args.split)
    chosen = cases[:: max(1, len(cases) // args.images)][: args.images]
    options = {"steps": args.steps, "samples": args.samples, "seed": args.seed}
    pictures = [
        _picture(run, n, one, list(models.values()), options) for n, one in enumerate(chosen)
    ]

    out.mkdir(parents=True, exist_ok=True)
    p = run.config.perturbation
    on = run.config.method != "unet" and (p.semantic or p.boundary)
    title = f"as trained on at first, σ = {p.sigma_0:g}" if on else "as trained on, unperturbed"
    figures = (
        draw.curve(run), draw.rows(pictures, run.card.classes, list(models), trained=title)
    )  # fmt: skip
    files = [out / name for name in _NAMES]
    with replaced_together(*files) as besides:
        for figure, beside in zip(figures, besides, strict=True):
            figure.savefig(beside)
    print(*files, sep="\n")
    return 0


def _models(given: list[Any], device: str) -> dict[str, AnySegmenter]:
    """Models by what to call them: of a run its best checkpoint; all of the same classes."""
    models: dict[str, AnySegmenter] = {}
    folders = [Path(one).resolve() for one in given if Path(one).is_dir()]
    depth = 1 if len({f.name for f in folders}) == len(folders) else 2  # ablate's ARM/seed-N
    for one in given:
        path = Path(one)
        model = spad.load(path / "best.safetensors" if path.is_dir() else one, device=device)
        names = [c.name for c in model.card.classes]
        first = next(iter(models.values()), model)
        if names != (wanted := [c.name for c in first.card.classes]):
            raise ValueError(
                f"{one} has the classes {', '.join(names)}, but {given[0]} has "
                f"{', '.join(wanted)}; compare models of the same classes in the same order"
            )
        title = "/".join(path.resolve().parts[-depth:]) if path.is_dir() else path.stem
        if title in models:
            title = f"{title} ({len(models) + 1})"
        models[title] = model
    return models


def _cases(run: RunData, folder: Path | None, split: str) -> list[Tabled]:
    """Cases with the tables that bring them to the run's classes."""
    if folder is None:
        return list(prepare(run.config).validation)
    opened = open_folder(folder)
    mapping = mapping_of(opened, run.card)
    check([opened], mapping, [split])
    table = class_table(opened.names, mapping)
    return [(case, table) for case in opened.splits[split]]


def _picture(
    run: RunData, number: int, tabled: Tabled, models: list[AnySegmenter], options: dict[str, Any]
) -> Picture:
    """Segment a case with each model, and perturb it as at the start of the run."""
    case, table = tabled
    image, labels = read_image(case), read_labels(case, table)
    results = [model.segment(image, **options) for model in models]
    return Picture(
        name=case.name,
        image=normalise(image, run.config.input),
        trained=_trained(run, number, image, labels),
        reference=labels,
        predictions=tuple(result.labels for result in results),
        uncertainty=results[0].uncertainty,
    )


def _trained(
    run: RunData, number: int, image: NDArray[Any], labels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """A case as at the start of the run, not augmented: ScD and BcD, neither clean nor a decoy."""
    config = run.config
    frame = frame_of((image.shape[0], image.shape[1]), config.input, 1)
    scaled, small = frame.image(normalise(image, config.input)), frame.strokes(labels)
    p = replace(config.perturbation, clean=0.0, decoys=False)
    if config.method == "unet":
        p = replace(p, semantic=False, boundary=False)
    batch = {
        "number": torch.tensor([number]),
        "image": scaled,
        "labels": torch.from_numpy(small)[None],
        "targets": torch.from_numpy(target_map(small, p.targets))[None],
    }
    out = perturb(p, batch, seed=config.seed, progress=0.0, epoch=0.0)
    return np.asarray(out[0, 0].numpy())
