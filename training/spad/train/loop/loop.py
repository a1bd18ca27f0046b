"""The training loop: stateless draws, averaged weights, validation with the sampler, exact resume.

Sample n of a run is the same whatever happened before it, so a resumed run needs no generator's
state: after SIGKILL it continues bit for bit (on one device, with one number of threads). For the
same reason the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from spad import checkpoint
from spad.cases import CaseError
from spad.chain import NoiseSchedule, cosine_schedule, times_of_use
from spad.checkpoint import IGNORE
from spad.train.config import Config, ConfigError
from spad.train.data import Batch, Samples, batches
from spad.train.loop.case_inventory import changed_cases, inventory
from spad.train.loop.events import Events
from spad.train.loop.loss_watch import Diverged, Watch
from spad.train.loop.preparation import Prepared, prepare
from spad.train.loop.state import Run, read_state, start, sweep
from spad.train.loop.step_clock import Clock
from spad.train.loop.validation import as_rows, as_scalars, scored, validate
from spad.train.loop.weight_average import average, decay_at
from spad.train.method import leakage, loss_terms, perturb, predict_at_T
from spad.train.processes import Agreement, Group, Stop, join, restarted, stop_signals

__all__ = ["Diverged", "train"]

_LOG_EVERY = 20  # steps; the only places where the host waits for the device
_LOG_AFTER = 2  # seconds, if that comes first: a slow machine shows a loss too


def train(config: Config, out: Path, *, resume: bool = False, device: str = "auto") -> Path:
    """Train a model.

    Writes into ``out``: ``latest.pt`` (to resume), ``latest.safetensors`` and ``best.safetensors``
    (averaged weights; best by pooled mean Dice on the validation cases), ``cases.txt``,
    ``progress.jsonl`` and TensorBoard's events.
    Under torchrun, several processes train one model; the first one writes.

    Parameters
    ----------
    config : Config
    out : Path
        Folder of the run; all processes must see it.
    resume : bool
        Continue the run in ``out`` if there is one. A process that torchrun starts again does.
    device : str

    Returns
    -------
    Path
        The best checkpoint.

    Raises
    ------
    ConfigError
        The settings do not fit the cases or the number of processes, or another run is in ``out``.
    CaseError
        Faults in the case folders, all listed.
    Diverged
        The loss became NaN or infinite, or exploded.
    KeyboardInterrupt
        Stopped by Ctrl-C or SIGTERM, after the state was saved.
    Lost
        Another process of the run has ended.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'training needs {error.name}: pip install "napari-spad[train]"'
        ) from None

    with stop_signals() as stop, join(device) as (group, target):
        group.check_shares(config.optimiser.batch, config.optimiser.accumulate)
        state_file = out / "latest.pt"
        # One looks, so that all start alike.
        found = group.any(group.rank == 0 and state_file.exists())
        if found and not (resume or restarted()):
            raise ConfigError(
                f"{out} holds a run already; go on with --resume, or choose another --out"
            )
        with group.quiet():
            prepared = prepare(config)
            run = start(config, prepared.card.classes, target)
            s = config.schedule
            schedule = cosine_schedule(s.steps, s.offset, s.beta_max)
            visited = _visited(config, schedule)
        if found:
            state = read_state(
                state_file,
                config,
                prepared.fingerprint,
                lambda: changed_cases(out / "cases.txt", inventory(prepared)),
            )
            run.restore(state)
        else:
            run.pending = config.validation.before
        if group.rank == 0:
            out.mkdir(parents=True, exist_ok=True)
            sweep(out)
            if not found:
                (out / "cases.txt").write_text("\n".join(inventory(prepared)), encoding="utf-8")
        with Events(None if group.rank else out, run.step) as events:
            job = _Job(
                config=config,
                prepared=prepared,
                samples=_samples(config, prepared),
                schedule=schedule,
                visited=visited,
                forward=group.wrap(run.forward),
                group=group,
                device=target,
                state_file=state_file,
                stop=stop,
                events=events,
            )
            _steps(run, job)
    return out / "best.safetensors"


def _visited(config: Config, schedule: NoiseSchedule) -> list[int]:
    """Times at which a chain, as `[sampling]` sets it, asks the denoiser."""
    use = config.sampling
    encoder = use.first == "encoder" and config.network.kind == "cached"
    times = times_of_use(schedule, use)
    return [t for t in times if not (encoder and schedule.forgets(t))]


def _samples(config: Config, prepared: Prepared) -> Samples:
    return Samples(
        config,
        prepared.training,
        [c.name for c in prepared.card.classes],
        judged=prepared.judged,
        shown=prepared.shown,
        values=prepared.values,
    )


@dataclass(frozen=True, slots=True)
class _Job:
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


def _steps(run: Run, job: _Job) -> None:
    """All steps that are left, with what has to be logged, saved and scored between them."""
    from tqdm import tqdm

    o, v, group = job.config.optimiser, job.config.validation, job.group
    watch = Watch(run.step, o.batch, job.samples.cases_of, str(job.state_file))
    agreement = Agreement(group)
    job.events.note(run.step, steps=o.steps, minutes=o.minutes)
    if run.pending:
        _validate(run, job, print)
        _save(run, job)
    arriving = batches(job.samples, job.config, run.step, job.device, group)
    clock = Clock()
    job.events.note(run.step, training=True)
    began = looked = time.monotonic()
    over = False
    pause = 0.5 if sys.stderr.isatty() else 30  # seconds; a log file needs no animation
    due = False
    with tqdm(
        total=o.steps, initial=run.step, unit="step", smoothing=0.05, mininterval=pause,
        disable=group.rank > 0,
    ) as bar:  # fmt: skip
        while run.step < o.steps and not over:
            with clock.waiting(), _kept(run, job):
                arrived = next(arriving)
            job.stop.collecting = True
            # The numbers stay: the host reads them, and would have to wait for a device.
            batch = {
                k: x if k == "number" else x.to(job.device, non_blocking=True)
                for k, x in arrived.items()
            }
            watch.add(_update(run, job, batch))
            bar.update()
            stops = agreement.ask(job.stop.asked)
            if o.minutes:  # asked of all, since their clocks differ
                over = group.any(time.monotonic() - began >= 60 * o.minutes)
            ends = over or run.step == o.steps
            validates = run.step % v.every == 0 or ends
            due |= run.step % v.save_every == 0 or validates or stops
            # Also before anything is kept: weights that are no numbers must not replace good ones.
            slow = group.size == 1 and time.monotonic() - looked >= _LOG_AFTER
            if not (run.step % _LOG_EVERY == 0 or due or slow):
                continue
            looked = time.monotonic()
            means = watch.check(run.network, group)
            rate = run.optimiser.param_groups[0]["lr"]
            job.events.add({f"train/{name}": x for name, x in means.items()}, run.step)
            job.events.add({"train/rate": rate, **clock.speed(o.batch)}, run.step)
            job.events.note(run.step, loss=means["loss"])
            bar.set_postfix(loss=f"{means['loss']:.4f}")
            if validates:
                job.events.add(_leakage(run, job, batch), run.step)
                run.pending = True
            if due and (watch.calm or stops or ends):
                _save(run, job)
                due = False
            if stops:
                raise _stopped(run, job)
            if validates:
                _validate(run, job, bar.write)
                if watch.calm:
                    _save(run, job)
            clock.start()


@contextmanager
def _kept(run: Run, job: _Job) -> Iterator[None]:
    """A case that cannot be read ends the run, with what it has learned saved."""
    try:
        yield
    except CaseError:
        if run.step and all(bool(w.isfinite().all()) for w in run.network.parameters()):
            _save(run, job)
        raise


def _update(run: Run, job: _Job, batch: Batch) -> dict[str, Tensor]:
    """One step of the optimiser; the terms of its loss and the gradient's norm, on the device."""
    config, o, group = job.config, job.config.optimiser, job.group
    for each in run.optimiser.param_groups:
        each["lr"] = o.learning_rate * _rate(run.step, config)

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


def _leakage(run: Run, job: _Job, batch: Batch) -> dict[str, float]:
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


def _validate(run: Run, job: _Job, say: Callable[[str], None]) -> None:
    """Score the averaged weights and keep them; ``best.safetensors`` if none were better.

    The saved state still says that this is pending: killed in here, a run does it again, so that
    its best score never falls behind the file.
    """
    job.events.note(run.step, scoring=True)
    report = validate(run, job.config, job.prepared, job.stop, job.group)
    if report is None:
        _save(run, job)
        raise _stopped(run, job)
    value = report.mean.dice_pooled.value
    out = job.state_file.parent
    best = out / "best.safetensors"
    if job.group.rank == 0:
        job.events.add(as_scalars(report), run.step)
        job.events.note(run.step, validation=as_rows(report))
        say(f"step {run.step}: validation, pooled mean Dice {value:.3f}")
        card = scored(job.prepared.card, job.config, run, report)
        weights = {name: mean.cpu() for name, mean in run.mean.items()}
        checkpoint.save(out / "latest.safetensors", card, weights)
        if value > run.best or not best.exists():
            checkpoint.save(best, card, weights)
    run.best = max(run.best, value)
    run.pending = False


def _save(run: Run, job: _Job) -> None:
    if job.group.rank == 0:
        job.events.flush()
        run.save(job.state_file, job.config, job.prepared.fingerprint)


def _stopped(run: Run, job: _Job) -> BaseException:
    """How a process leaves that was asked to stop; the first one says so for all."""
    if job.group.rank:
        return SystemExit(130)
    left = "; its validation comes first on --resume" if run.pending else ""
    steps = job.config.optimiser.steps
    return KeyboardInterrupt(f"stopped and saved at step {run.step} of {steps}{left}")
