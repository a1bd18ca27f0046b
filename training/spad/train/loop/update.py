"""One update of the weights, and what a run needs for it that stays the same from step to step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from spad.chain import NoiseSchedule, times_of_use
from spad.checkpoint import IGNORE
from spad.train.config import Config
from spad.train.data import Samples
from spad.train.loop.events import Events
from spad.train.loop.preparation import Prepared
from spad.train.loop.state import Run
from spad.train.loop.weight_average import average, decay_at
from spad.train.method import Batch, leakage, loss_terms, perturb, predict_at_T
from spad.train.processes import Group, Stop

__all__ = ["Job", "told_of_leakage", "update", "visited_times"]


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same from step to step."""

    config: Config
    prepared: Prepared
    samples: Samples
    schedule: NoiseSchedule
    visited: list[int]
    forward: nn.Module
    group: Group
    device: torch.device
    state_file: Path
    stop: Stop
    events: Events


def visited_times(config: Config, schedule: NoiseSchedule) -> list[int]:
    """Times at which a chain, as `[sampling]` sets it, asks the denoiser."""
    use = config.sampling
    encoder = use.first == "encoder" and config.network.kind == "cached"
    times = times_of_use(schedule, use)
    return [t for t in times if not (encoder and schedule.forgets(t))]


def update(run: Run, job: Job, batch: Batch) -> dict[str, Tensor]:
    """One step of the optimiser; the terms of its loss and the gradient's norm, on the device."""
    config, o, group = job.config, job.config.optimiser, job.group
    for each in run.optimiser.param_groups:
        each["lr"] = o.learning_rate * each.get("factor", 1.0) * _rate(run.step, config)

    def count(stride: int) -> Tensor:
        known = batch["labels"][:, ::stride, ::stride] != IGNORE
        return group.mean(known.sum().float()) / o.accumulate

    sums: dict[str, Tensor] = {}
    for part in range(o.accumulate):
        size = len(batch["number"]) // o.accumulate
        micro = {k: x[part * size : (part + 1) * size] for k, x in batch.items()}
        with group.gathering(job.forward, last=part + 1 == o.accumulate):
            terms = loss_terms(
                run.network,
                job.schedule,
                config.loss,
                _perturbed(config, micro, run.step, len(job.samples)),
                micro["labels"],
                seed=config.seed,
                numbers=micro["number"].tolist(),
                judged=micro.get("judged"),
                visited=job.visited,
                forward=job.forward,
                count=None if group.size == o.accumulate == 1 else count,
                pool=None if group.size == 1 else group.pool,
            )
            terms["loss"] = torch.stack(list(terms.values())).sum()
            (terms["loss"] / o.accumulate).backward()  # type: ignore[no-untyped-call]
        for name, term in terms.items():
            share = term.detach() / o.accumulate
            sums[name] = sums[name] + share if name in sums else share
    sums["norm"] = torch.nn.utils.clip_grad_norm_(run.network.parameters(), o.clip)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    average(run.mean, run.network, decay_at(run.step, o.ema))
    run.step += 1
    return sums


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


def told_of_leakage(run: Run, job: Job, batch: Batch) -> dict[str, float]:
    """What the last batch tells of leakage (a process's part of it by itself, then the mean)."""
    config, p = job.config, job.config.perturbation
    if config.method == "unet" or not (p.semantic or p.boundary) or len(batch["labels"]) < 2:
        return {}
    found = leakage(predict_at_T(run.network, config.seed), p, batch, seed=config.seed)
    return {
        "leakage/gap" if name == "gap" else f"leakage/soft Dice, {name} training images": float(
            job.group.mean(torch.tensor(value))
        )
        for name, value in found.items()
    }
