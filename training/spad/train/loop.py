"""The training loop: stateless draws, averaged weights, validation with the sampler, exact resume.

Sample n of a run is the same whatever happened before it, so a resumed run needs no generator's
state: after SIGKILL it continues bit for bit (on one device, with one number of threads).
"""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spad import checkpoint
from spad.card import Card
from spad.device import pick_device
from spad.network import build
from spad.schedule import NoiseSchedule, cosine_schedule
from spad.segmenter import Segmenter
from spad.train.config import Config, ConfigError
from spad.train.dataset import Batch, Samples, batches
from spad.train.ema import average, decay_at
from spad.train.evaluate import Report, evaluate
from spad.train.leakage import leakage, predict_at_T
from spad.train.loss import loss_terms
from spad.train.perturbation import perturb
from spad.train.prepare import Prepared, prepare
from spad.train.state import Run, read_state, start

__all__ = ["Diverged", "train"]

_LOG_EVERY = 20  # steps; the only places where the host waits for the device


class Diverged(ValueError):
    """The loss is no number any more; the last good state is kept."""


def train(config: Config, out: Path, *, resume: bool = False, device: str = "auto") -> Path:
    """Train a model.

    Writes into ``out``: ``latest.pt`` (to resume), ``latest.safetensors`` and ``best.safetensors``
    (averaged weights; best by pooled mean Dice on the validation cases) and TensorBoard's events.

    Parameters
    ----------
    config : Config
    out : Path
        Folder of the run.
    resume : bool
        Continue the run in ``out`` if there is one.
    device : str

    Returns
    -------
    Path
        The best checkpoint.

    Raises
    ------
    ConfigError
        The settings do not fit the cases, or another run is in ``out``.
    CaseError
        Faults in the case folders, all listed.
    Diverged
        The loss became NaN or infinite.
    KeyboardInterrupt
        Stopped by Ctrl-C or SIGTERM, after the state was saved.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(
            f'training needs {error.name}: pip install "napari-spad[train]"'
        ) from None

    target = pick_device(device)
    state_file, best = out / "latest.pt", out / "best.safetensors"
    if state_file.exists() and not resume:
        raise ConfigError(
            f"{out} holds a run already; go on with --resume, or choose another --out"
        )
    prepared = prepare(config)
    card = prepared.card
    samples = Samples(config, prepared.training, [c.name for c in card.classes])
    run = start(config, card.classes, target)
    if state_file.exists():
        run.restore(read_state(state_file, config, prepared.fingerprint))
    out.mkdir(parents=True, exist_ok=True)
    s, o, v = config.schedule, config.optimiser, config.validation
    schedule = cosine_schedule(s.steps, s.offset, s.beta_max)
    sums: dict[str, Tensor] = {}
    unlogged = 0
    pause = 0.5 if sys.stderr.isatty() else 30  # seconds; a log file needs no animation
    with (
        SummaryWriter(str(out), purge_step=run.step + 1) as writer,
        tqdm(
            total=o.steps, initial=run.step, unit="step", smoothing=0.05, mininterval=pause
        ) as bar,
        _stop_signals() as stop,
    ):
        for arrived in batches(samples, config, run.step, target):
            batch = {k: x.to(target, non_blocking=True) for k, x in arrived.items()}
            for name, term in _update(run, config, schedule, batch, len(samples)).items():
                sums[name] = sums[name] + term if name in sums else term
            bar.update()
            last = run.step == o.steps
            unlogged += 1
            validates = run.step % v.every == 0 or last
            saves = run.step % v.save_every == 0 or last or stop
            # Also before anything is kept: weights that are no numbers must not replace good ones.
            if run.step % _LOG_EVERY == 0 or validates or saves:
                loss = _log(writer, run, {n: x / unlogged for n, x in sums.items()}, state_file)
                bar.set_postfix(loss=f"{loss:.4f}")
                sums, unlogged = {}, 0
            if validates:
                report = _validate(run, config, prepared, writer)
                _log_leakage(run, config, batch, writer)
                value = report.mean.dice_pooled.value
                bar.write(f"step {run.step}: validation, pooled mean Dice {value:.3f}")
                scored = _scored(card, config, run, report)
                weights = {name: mean.cpu() for name, mean in run.mean.items()}
                checkpoint.save(out / "latest.safetensors", scored, weights)
                if value > run.best or not best.exists():
                    run.best = value
                    checkpoint.save(best, scored, weights)
            if saves:
                run.save(state_file, config, prepared.fingerprint)
            if stop and not last:
                raise KeyboardInterrupt(f"stopped and saved at step {run.step} of {o.steps}")
    return best


def _update(
    run: Run, config: Config, schedule: NoiseSchedule, batch: Batch, cases: int
) -> dict[str, Tensor]:
    """One step of the optimiser; the terms of its loss and the gradient's norm, on the device."""
    o = config.optimiser
    for group in run.optimiser.param_groups:
        group["lr"] = o.learning_rate * _rate(run.step, config)
    terms = loss_terms(
        run.network,
        schedule,
        config.loss,
        _perturbed(config, batch, run.step, cases),
        batch["labels"],
        seed=config.seed,
        numbers=batch["number"].tolist(),
        forward=run.forward,
    )
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), o.clip)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    average(run.mean, run.network, decay_at(run.step, o.ema))
    run.step += 1
    return {name: x.detach() for name, x in {**terms, "loss": loss, "norm": norm}.items()}


def _perturbed(config: Config, batch: Batch, step: int, cases: int) -> Tensor:
    """The batch's images as they are trained on; the plain U-Net sees them unperturbed."""
    if config.method == "unet":
        return batch["image"]
    o = config.optimiser
    return perturb(
        config.perturbation,
        batch,
        seed=config.seed,
        progress=step / max(1, o.steps - 1),
        epoch=step * o.batch / cases,
    )


def _rate(step: int, config: Config) -> float:
    """Factor of the learning rate: a linear rise, then (if asked for) a cosine fall."""
    o = config.optimiser
    rise = min(1.0, (step + 1) / (o.warmup + 1))
    if not o.fall:
        return rise
    p = max(0.0, (step - o.warmup) / max(1, o.steps - o.warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, p)))


def _log(writer: Any, run: Run, terms: dict[str, Tensor], state_file: Path) -> float:
    """Write mean terms and return the loss; stop if it, the gradient or a weight is no number."""
    means = {name: float(term) for name, term in terms.items()}
    for name, value in means.items():
        writer.add_scalar(f"train/{name}", value, run.step)
    writer.add_scalar("train/rate", run.optimiser.param_groups[0]["lr"], run.step)
    weights = torch.stack([w.detach().sum() for w in run.network.parameters()]).sum()
    if not all(map(math.isfinite, (means["loss"], means["norm"], float(weights)))):
        raise Diverged(
            f"the loss is {means['loss']} and the gradient's norm {means['norm']} in the "
            f"last steps up to {run.step}; {state_file} keeps the last saved state. Lower "
            "optimiser.learning_rate, or look at the cases"
        )
    return means["loss"]


def _validate(run: Run, config: Config, prepared: Prepared, writer: Any) -> Report:
    """Score the averaged weights on the validation cases, with the sampler."""
    card, v = prepared.card, config.validation
    network = build(card.network, len(card.classes), {n: x.clone() for n, x in run.mean.items()})
    segmenter = Segmenter(card, network, next(iter(run.mean.values())).device)
    report = evaluate(
        lambda image: segmenter.segment(image, samples=v.samples, steps=v.steps).labels,
        [case for case, _ in prepared.validation],
        np.stack([table for _, table in prepared.validation]),
        [c.name for c in card.classes],
    )
    for row in (*report.structures, report.mean):
        writer.add_scalar(f"validation/pooled Dice/{row.name}", row.dice_pooled.value, run.step)
        writer.add_scalar(f"validation/image Dice/{row.name}", row.dice_per_image.value, run.step)
    return report


def _log_leakage(run: Run, config: Config, batch: Batch, writer: Any) -> None:
    """Soft Dice of the last batch clean, perturbed, and perturbed at the wrong place."""
    p = config.perturbation
    if config.method == "unet" or not (p.semantic or p.boundary) or len(batch["labels"]) < 2:
        return
    predict = predict_at_T(run.network, config.seed)
    found = leakage(predict, p, batch, seed=config.seed)
    for name in ("clean", "perturbed", "misplaced"):
        writer.add_scalar(f"leakage/soft Dice, {name} training images", found[name], run.step)
    writer.add_scalar("leakage/gap", found["gap"], run.step)


def _scored(card: Card, config: Config, run: Run, report: Report) -> Card:
    """The card with the scores of this moment."""
    v = config.validation
    scores = {
        "step": run.step,
        "samples": v.samples,
        "steps": v.steps,
        "images": report.images,
        "patients": report.patients,
        "pooled Dice": {r.name: _rounded(r.dice_pooled.value) for r in report.structures},
        "per-image Dice": {r.name: _rounded(r.dice_per_image.value) for r in report.structures},
        "pooled mean Dice": _rounded(report.mean.dice_pooled.value),
        "per-image mean Dice": _rounded(report.mean.dice_per_image.value),
    }
    return replace(card, scores={"validation": scores})


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of dying; a second one dies."""
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        for each, old in before.items():
            signal.signal(each, old)

    try:
        before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread, where no signal arrives
        yield received
        return
    try:
        yield received
    finally:
        for number, old in before.items():
            signal.signal(number, old)
