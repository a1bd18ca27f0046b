"""Experiments: arms by seeds, trained and scored one by one or side by side, restartable anywhere.

The folder holds ``experiment.json``, ``ARM/seed-N/`` for each trial, and the table and plot, which
are rewritten after each trial. All that a restart needs is in these files: finished trials are
skipped, interrupted ones go on.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from spad.checkpoint import SamplingConfig
from spad.train.config import Config, ConfigError, load_config, without_removed
from spad.train.data import read_json, write_json
from spad.train.experiments.arms import Arms, slug
from spad.train.experiments.table import render
from spad.train.experiments.trial import Sampling, Trial, config_changes, read_scores, run_trial
from spad.train.loop import prepare
from spad.train.processes import Busy, locked

__all__ = ["Experiment", "plan", "run_trials"]

Say = Callable[[str], None]
_BUSY = 3  # exit code of a worker whose trial another process is at


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is asked for.

    Parameters
    ----------
    kind : {"ablation", "sweep"}
    out : Path
        Folder of the experiment.
    path : Path
        Configuration file.
    words : tuple of str
        ``key=value`` for every trial.
    arms : dict
        Name of each arm: its own words.
    seeds : tuple of int
        Added to the configuration's seed.
    sampling : Sampling
    command : str
        For the table.
    """

    kind: Literal["ablation", "sweep"]
    out: Path
    path: Path
    words: tuple[str, ...]
    arms: Arms
    seeds: tuple[int, ...]
    sampling: Sampling
    command: str


def plan(experiment: Experiment) -> list[Trial]:
    """Check every trial of an experiment before the first one trains, and record it in its folder.

    Returns
    -------
    list of Trial
        Seed by seed, so that a table of few seeds is soon complete. Arms of one configuration share
        a folder: it is trained once.

    Raises
    ------
    ConfigError
        A setting of any arm cannot be used, or the folder holds another experiment; the message
        lists the differences.
    CaseError
        Faults in the case folders.
    """
    base = load_config(experiment.path, experiment.words)
    asked = experiment.sampling
    SamplingConfig(samples=asked.samples, steps=asked.steps or 1)  # refuses what is out of limits
    configs = {
        (arm, base.seed + n): load_config(
            experiment.path, [*experiment.words, *words, f"seed={base.seed + n}"]
        )
        for n in experiment.seeds
        for arm, words in experiment.arms.items()
    }
    prints: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for path in experiment.out.glob("*/seed-*/trial.json"):
        stored = read_json(path)
        with contextlib.suppress(ConfigError):  # of a removed option, which no arm can ask for
            now = without_removed(stored["config"], str(path))
            folders[_key({**stored, "config": now})] = path.parent
    trials = []
    for (arm, seed), config in configs.items():
        depends = json.dumps([asdict(config.data), dict(config.classes), seed], default=list)
        if depends not in prints:
            prints[depends] = prepare(config).fingerprint
        if (asked.steps or 0) > config.schedule.steps:
            raise ConfigError(
                f"--steps {asked.steps}: the schedule of {arm} has only {config.schedule.steps}"
            )
        own = experiment.out / slug(arm) / f"seed-{seed}"
        key = _key({"config": config.as_json(), "data": prints[depends]})
        folder = folders.setdefault(key, own)
        trial = Trial(arm=arm, seed=seed, config=config, data=prints[depends], folder=folder)
        trial.check()
        trials.append(trial)
    _record(experiment, base, trials)
    return trials


def _key(identity: Any) -> str:
    return json.dumps([identity["config"], identity["data"]], sort_keys=True)


def _record(experiment: Experiment, base: Config, trials: Sequence[Trial]) -> None:
    """Write what is asked for into ``experiment.json``, beside what was asked for before."""
    out = experiment.out
    out.mkdir(parents=True, exist_ok=True)
    path = out / "experiment.json"
    with locked(out / "lock", wait=True):
        now = {**base.as_json(), "seed": 0}  # the seeds are those of the trials
        stored: dict[str, Any] = {"kind": experiment.kind, "config": now}
        if path.exists():
            stored = read_json(path)
        changes = config_changes(stored["config"], now)
        if stored["kind"] != experiment.kind:
            changes.append(f"kind: {stored['kind']} -> {experiment.kind}")
        if changes:
            raise ConfigError(
                f"{out} holds an experiment of other settings. Changed: {'; '.join(changes)}. Set "
                "them back, or choose another --out"
            )
        arms = {**stored.get("arms", {}), **{a: list(w) for a, w in experiment.arms.items()}}
        found = {(t["arm"], t["seed"]): t for t in stored.get("trials", [])}
        for t in trials:
            where = t.folder.relative_to(out).as_posix()
            found[t.arm, t.seed] = {"arm": t.arm, "seed": t.seed, "folder": where}
        commands = dict.fromkeys([*stored.get("commands", []), experiment.command])
        write_json(
            path,
            {
                "kind": experiment.kind,
                "path": str(experiment.path),
                "config": now,
                "sampling": asdict(experiment.sampling),
                "arms": arms,
                "trials": [found[key] for key in sorted(found, key=lambda k: k[1])],
                "commands": list(commands),
            },
        )


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
                scores = None if failure else read_scores(trial.folder, sampling)
                if scores is None:
                    say(f"{trial.name}: not finished: {failure}")
                    done = False
                else:
                    value, took = scores["mean"]["dice_pooled"]["value"], scores["training_seconds"]
                    shown = "none" if value is None else f"{value:.4f}"
                    say(f"{trial.name}: pooled mean Dice {shown}, {took:.0f} s of training")
                render(experiment.out, against)
    except KeyboardInterrupt as stop:
        what = f"{stop}; " if str(stop) else "interrupted; "
        raise KeyboardInterrupt(f"{what}the same command goes on from here") from None
    return done


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
