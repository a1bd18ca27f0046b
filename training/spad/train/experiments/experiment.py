"""Experiments: arms by seeds, checked and written down before the first one trains.

The folder holds ``experiment.json``, ``ARM/seed-N/`` for each trial, and the table and plot, which
are rewritten after each trial. All that a restart needs is in these files: finished trials are
skipped, interrupted ones go on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from spad.cases import read_json, write_json
from spad.checkpoint import SamplingConfig
from spad.train.config import Config, ConfigError, load_config
from spad.train.experiments.arms import Arms, slug
from spad.train.experiments.trial import Sampling, Trial, config_changes
from spad.train.loop import prepare
from spad.train.processes import locked

__all__ = ["Experiment", "plan"]


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
    for arm, words in experiment.arms.items():
        if any(word.partition("=")[0].strip() == "seed" for word in words):
            raise ConfigError(
                f"{arm} sets seed, which each trial gets from --seeds (0 1 2, say, added to the "
                "configuration's seed); leave it out there"
            )
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
    known = [(read_json(path), path.parent) for path in experiment.out.glob("*/seed-*/trial.json")]
    trials = []
    for (arm, seed), config in configs.items():
        if (asked.steps or 0) > config.schedule.steps:
            raise ConfigError(
                f"--steps {asked.steps}: the schedule of {arm} has only {config.schedule.steps}"
            )
        own = experiment.out / slug(arm) / f"seed-{seed}"
        data, values = _data(config, prints), config.as_json()
        folder = next((there for one, there in known if _is(one, values, data)), own)
        known.append(({"config": values, "data": data}, folder))
        trial = Trial(arm=arm, seed=seed, config=config, data=data, folder=folder)
        trial.check()
        trials.append(trial)
    _record(experiment, base, trials, prints)
    return trials


def _data(config: Config, prints: dict[str, str]) -> str:
    """Fingerprint of a trial's cases; `prints` are those that are known."""
    own = [asdict(config.data), dict(config.classes), config.seed, config.input.size]
    depends = json.dumps(own, default=list)
    if depends not in prints:
        prints[depends] = prepare(config).fingerprint
    return prints[depends]


def _is(stored: Any, config: dict[str, Any], data: str) -> bool:
    """Whether what a folder holds is the trial of these settings and cases."""
    with contextlib.suppress(ConfigError):  # of a removed option, which no arm can ask for
        return stored["data"] == data and not config_changes(stored["config"], config)
    return False


def _check_others(
    experiment: Experiment, arms: Arms, trials: Iterable[Mapping[str, Any]], prints: dict[str, str]
) -> None:
    """Refuse to set what is asked for beside earlier trials of other cases or settings of an arm.

    Raises
    ------
    ConfigError
        As `Trial.check`.
    """
    for one in trials:
        folder = experiment.out / one["folder"]
        if not (folder / "trial.json").exists():
            continue
        words = (*experiment.words, *arms[one["arm"]], f"seed={one['seed']}")
        try:
            config = load_config(experiment.path, words)
        except ConfigError:  # its arm sets an option that was removed since
            continue
        Trial(**{**one, "folder": folder}, config=config, data=_data(config, prints)).check()


def _record(
    experiment: Experiment, base: Config, trials: Sequence[Trial], prints: dict[str, str]
) -> None:
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
        asked = {(t.arm, t.seed) for t in trials}
        others = [one for key, one in found.items() if key not in asked]
        _check_others(experiment, arms, others, prints)
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
