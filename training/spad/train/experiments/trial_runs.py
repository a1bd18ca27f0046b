"""The trials of an experiment, run one by one or side by side, and what is told of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import FrameType

from spad.train.experiments.experiment import Experiment
from spad.train.experiments.table_files import render
from spad.train.experiments.trial import Sampling, Trial, read_scores, run_trial
from spad.train.processes import Busy

__all__ = ["run_trials"]

Say = Callable[[str], None]
_BUSY = 3  # exit code of a worker whose trial another process is at


def run_trials(
    experiment: Experiment,
    trials: Sequence[Trial],
    *,
    jobs: int = 1,
    device: str = "auto",
    against: str | None = None,
    say: Say = print,
) -> bool:
    """Train and score what is not finished; rewrite the table after each trial.

    Parameters
    ----------
    experiment : Experiment
    trials : sequence of Trial
        From `plan`.
    jobs : int
        Trials at a time, each in a process of its own if there are several.
    device : str
    against : str, optional
        The arm with which the others are compared; the first.
    say : callable
        Told of what happens, a line at a time.

    Returns
    -------
    bool
        Whether every trial is finished.

    Raises
    ------
    KeyboardInterrupt
        Stopped by Ctrl-C or SIGTERM, after what was training was saved.
    """
    sampling = experiment.sampling
    unique = list({trial.folder: trial for trial in reversed(trials)}.values())[::-1]
    todo = [t for t in unique if read_scores(t.folder, sampling) is None]
    say(f"{len(unique)} trials, {len(unique) - len(todo)} of them finished before")
    render(experiment.out, against)
    done = True
    try:
        # Closed whatever happens, so that no worker is left alone.
        with closing(
            _in_turn(todo, sampling, device, say)
            if jobs == 1
            else _side_by_side(todo, sampling, device, jobs, say)
        ) as work:
            for trial, failure in work:
                done &= _tell(trial, failure, sampling, say)
                render(experiment.out, against)
    except KeyboardInterrupt as stop:
        what = f"{stop}; " if str(stop) else "interrupted; "
        raise KeyboardInterrupt(f"{what}the same command goes on from here") from None
    return done


def _tell(trial: Trial, failure: str, sampling: Sampling, say: Say) -> bool:
    """Say how a trial ended; whether it is finished."""
    scores = None if failure else read_scores(trial.folder, sampling)
    if scores is None:
        say(f"{trial.name}: not finished: {failure}")
        return False
    value, took = scores["mean"]["dice_pooled"]["value"], scores["training_seconds"]
    shown = "none" if value is None else f"{value:.4f}"
    say(f"{trial.name}: pooled mean Dice {shown}, {took:.0f} s of training")
    return True


def _in_turn(
    trials: Sequence[Trial], sampling: Sampling, device: str, say: Say
) -> Generator[tuple[Trial, str], None, None]:
    """One trial after the other, in this process."""
    for number, trial in enumerate(trials, 1):
        say(f"{trial.name}: begins, {number} of {len(trials)}, in {trial.folder}")
        try:
            yield trial, run_trial(trial, sampling, device=device)
        except Busy as busy:
            yield trial, f"left to another command ({busy})"


def _side_by_side(
    trials: Sequence[Trial], sampling: Sampling, device: str, jobs: int, say: Say
) -> Generator[tuple[Trial, str], None, None]:
    """Several trials at a time, each in a process that writes into its ``log.txt``."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // jobs)))
    say(f"{jobs} trials at a time, {threads} threads each (OMP_NUM_THREADS), {cores} cores")
    context = multiprocessing.get_context("spawn")
    waiting = list(trials)
    running: dict[int, tuple[SpawnProcess, Trial]] = {}
    with _sigterm_as_ctrl_c():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    trial = waiting.pop(0)
                    trial.folder.mkdir(parents=True, exist_ok=True)
                    process = context.Process(target=_work, args=(trial, sampling, device))
                    process.start()
                    running[process.sentinel] = process, trial
                    say(f"{trial.name}: begins; its log is {trial.folder / 'log.txt'}")
                for sentinel in connection.wait(list(running)):
                    assert isinstance(sentinel, int)  # noqa: S101  (for the type checker)
                    process, trial = running.pop(sentinel)
                    process.join()
                    yield trial, _outcome(trial, process.exitcode)
        finally:
            for process, trial in running.values():
                say(f"{trial.name}: is told to save and stop")
                process.terminate()
            for process, _ in running.values():
                process.join()


def _outcome(trial: Trial, code: int | None) -> str:
    """Why a worker's trial failed, by its exit code."""
    log, failed = trial.folder / "log.txt", trial.folder / "failed.txt"
    if code == 0:
        return ""
    if code == _BUSY:
        return "left to another command, which is at it"
    if code == 1 and failed.exists():
        return failed.read_text("utf-8").strip()
    text = f"its process ended with code {code}; see {log}"
    failed.write_text(f"{text}\n", "utf-8")
    return text


def _work(trial: Trial, sampling: Sampling, device: str) -> None:
    """What a worker does: all that is printed goes into the trial's log."""
    if sys.platform != "win32":
        os.setpgrp()  # Ctrl-C reaches the command, which asks its workers once, and not twice
    with (trial.folder / "log.txt").open("a", encoding="utf-8") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    try:
        failure = run_trial(trial, sampling, device=device)
    except Busy:
        sys.exit(_BUSY)
    except KeyboardInterrupt as stop:
        print(stop, flush=True)
        sys.exit(130)
    print(failure, flush=True)
    sys.exit(1 if failure else 0)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM too, so that the workers are asked to save."""

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, where no signal arrives
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
