"""The training loop: stateless draws, averaged weights, validation with the sampler, exact resume.

Sample n of a run is the same whatever happened before it, so a resumed run needs no generator's
state: after SIGKILL it continues bit for bit (on one CPU with one number of threads; on a GPU with
``optimiser.deterministic``). For the same reason the number of processes changes nothing but
rounding.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from spad import checkpoint
from spad.cases import CaseError, write_bytes
from spad.chain import cosine_schedule, sent
from spad.inference import is_out_of_memory
from spad.train.config import Config, ConfigError
from spad.train.data import Samples, batches
from spad.train.loop.acceleration import gpu_ways
from spad.train.loop.case_inventory import changed_cases, inventory
from spad.train.loop.events import Events
from spad.train.loop.loss_watch import Clock, Diverged, Watch
from spad.train.loop.preparation import Prepared, prepare
from spad.train.loop.state import Run, read_state, start, sweep
from spad.train.loop.update import Job, told_of_leakage, update, visited_times
from spad.train.loop.validation import as_rows, as_scalars, scored, validate
from spad.train.method import Batch
from spad.train.processes import Agreement, Group, alone_in, join, restarted, stop_signals

__all__ = ["Diverged", "train"]

_LOG_EVERY = 20  # steps; the only places where the host waits for the device
_LOG_AFTER = 2  # seconds, if that comes first: a slow machine shows a loss too


def train(config: Config, out: Path, *, resume: bool = False, device: str = "auto") -> Path:
    """Train a model.

    Writes into ``out``: ``latest.pt`` (to resume), ``latest.safetensors`` and ``best.safetensors``
    (averaged weights; best by pooled mean Dice on the validation cases), ``cases.txt``,
    ``progress.jsonl`` and TensorBoard's events; ``training.lock`` keeps others out meanwhile.
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
        The settings do not fit the cases or the number of processes, or another run is in ``out``,
        at work or not.
    CaseError
        Faults in the case folders, all listed.
    Diverged
        The loss became NaN or infinite, or exploded.
    KeyboardInterrupt
        Stopped by Ctrl-C or SIGTERM, after the state was saved.
    Lost
        Another process of the run has ended.
    MemoryError
        The device, or the machine, has not enough memory; what was saved before is intact.
    """
    _check_requirements()
    with (
        stop_signals() as stop,
        join(device) as (group, target),
        _memory_told(config, target),
        gpu_ways(config.optimiser, target),
        ExitStack() as held,
    ):
        group.check_shares(config.optimiser.batch, config.optimiser.accumulate)
        state_file = out / "latest.pt"
        # One looks, so that all start alike.
        found = group.any(group.rank == 0 and state_file.exists())
        if found and not (resume or restarted()):
            raise ConfigError(
                f"{out} holds a run already; go on with --resume, or choose another --out"
            )
        with group.quiet():
            prepared = prepare(config, out if found else None)
            run = start(config, prepared.card.classes, target, blank=found)
        held.enter_context(_alone(out, group, found))
        cases = out / "cases.txt"
        if found:
            run.restore(
                read_state(
                    state_file,
                    config,
                    prepared.fingerprint,
                    lambda: changed_cases(cases, inventory(prepared)),
                ),
                state_file,
            )
        else:
            run.pending = config.validation.before
        if group.rank == 0:
            sweep(out)
            if not found:
                lines = "\n".join(inventory(prepared))
                write_bytes(cases, lines.encode("utf-8", "surrogateescape"))
        s = config.schedule
        schedule = cosine_schedule(s.steps, s.offset, s.beta_max)
        with Events(None if group.rank else out, run.step) as events:
            job = Job(
                config=config,
                prepared=prepared,
                samples=_samples(config, prepared),
                schedule=schedule,
                visited=visited_times(config, schedule),
                forward=group.wrap(run.forward),
                group=group,
                device=target,
                state_file=state_file,
                stop=stop,
                events=events,
            )
            _steps(run, job)
    return out / "best.safetensors"


@contextmanager
def _alone(out: Path, group: Group, found: bool) -> Iterator[None]:
    """Hold the folder of a run, made if need be; of several processes the first one does."""
    fault: ConfigError | None = None
    with ExitStack() as held:
        if group.rank == 0:
            out.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(alone_in(out))
            except ConfigError as error:
                fault = error
            else:
                if (out / "latest.pt").exists() != found:
                    fault = ConfigError(f"{out}: another training was at work there; start again")
        if group.any(fault is not None):
            raise fault or ConfigError(f"{out}: another training is or was at work there")
        yield


@contextmanager
def _memory_told(config: Config, device: torch.device) -> Iterator[None]:
    """Say what to do where memory is short."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        o, (height, width) = config.optimiser, config.input.size
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MemoryError(
            f"not enough memory on {device} for batches of {o.batch} images of {height} x {width} "
            f"in {o.accumulate} part(s) ({reason}). Close other programs and go on with --resume; "
            "or start --fresh with optimiser.activation_checkpointing=true, or with a larger "
            "optimiser.accumulate"
        ) from error


def _check_requirements() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'training needs {error.name or error}: pip install "napari-spad[train]"'
        ) from None


def _samples(config: Config, prepared: Prepared) -> Samples:
    return Samples(
        config,
        prepared.training,
        [c.name for c in prepared.card.classes],
        judged=prepared.judged,
        shown=prepared.shown,
        values=prepared.values,
    )


def _steps(run: Run, job: Job) -> None:
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
    looked = time.monotonic()
    began = looked - run.seconds
    over = 0 < 60 * o.minutes <= run.seconds
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
            batch = _on_device(arrived, job.device)
            watch.add(update(run, job, batch))
            bar.update()
            stops = agreement.ask(job.stop.asked)
            if o.minutes:  # asked of all, since their clocks differ
                run.seconds = time.monotonic() - began
                over = group.any(run.seconds >= 60 * o.minutes)
            ends = over or run.step == o.steps
            validates = run.step % v.every == 0 or ends
            due |= run.step % v.save_every == 0 or validates or stops
            # Also before anything is kept: weights that are no numbers must not replace good ones.
            slow = group.size == 1 and time.monotonic() - looked >= _LOG_AFTER
            if not (run.step % _LOG_EVERY == 0 or due or slow):
                continue
            looked = time.monotonic()
            means = watch.check(run.network, group)
            _tell(run, job, means, clock.speed(o.batch))
            bar.set_postfix(loss=f"{means['loss']:.4f}")
            if validates:
                job.events.add(told_of_leakage(run, job, batch), run.step)
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


def _on_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch, but not the numbers: the host reads them, and would wait for a device."""
    return {k: x if k == "number" else sent(x, device) for k, x in batch.items()}


def _tell(run: Run, job: Job, means: Mapping[str, float], speed: Mapping[str, float]) -> None:
    """Write what the steps since the last look have cost, and how long they took."""
    rate = run.optimiser.param_groups[0]["lr"]
    job.events.add({f"train/{name}": x for name, x in means.items()}, run.step)
    job.events.add({"train/rate": rate, **speed}, run.step)
    job.events.note(run.step, loss=means["loss"])


@contextmanager
def _kept(run: Run, job: Job) -> Iterator[None]:
    """A case that cannot be read ends the run, with what it has learned saved."""
    try:
        yield
    except CaseError:
        if run.step and all(bool(w.isfinite().all()) for w in run.network.parameters()):
            _save(run, job)
        raise


def _validate(run: Run, job: Job, say: Callable[[str], None]) -> None:
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


def _save(run: Run, job: Job) -> None:
    if job.group.rank == 0:
        job.events.flush()
        run.save(job.state_file, job.config, job.prepared.fingerprint)


def _stopped(run: Run, job: Job) -> BaseException:
    """How a process leaves that was asked to stop; the first one says so for all."""
    if job.group.rank:
        return SystemExit(130)
    left = "; its validation comes first on --resume" if run.pending else ""
    steps = job.config.optimiser.steps
    return KeyboardInterrupt(f"stopped and saved at step {run.step} of {steps}{left}")
