"""Ablations and sweeps: trained once, restartable, refused before the first step, counted right."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spad import phantom
from spad.__main__ import main
from spad.cases import NewCase
from spad.train.data import write_folder
from spad.train.experiments import trial as trial_module
from spad.train.experiments.table import read_table
from spad.train.loop import loop as loop_module
from spad.train.loop.loop import train
from spad.train.processes import file_lock
from spad.train.processes.file_lock import Busy, locked
from spad.train.tune.measurements import Measured, Scan, keep_measurement
from spad.train.tune.settings import Setting

SHORT = ["optimiser.steps=2", "validation.every=2", "--samples", "2", "--device", "cpu"]


def ablate(config: Path, out: Path, *words: str) -> int:
    return main(["ablate", str(config), "--out", str(out), *words, *SHORT])


def scores_of(out: Path) -> dict[str, Any]:
    found = sorted(out.glob("*/*/scores.json"))
    return {p.parent.relative_to(out).as_posix(): json.loads(p.read_text()) for p in found}


@pytest.fixture(scope="module")
def done(shared_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms by two seeds. Words that follow an option's values are settings."""
    out = tmp_path_factory.mktemp("done")
    assert ablate(shared_tiny, out, "--seeds", "2", "--arms", "SPAD", "unet", "seed=3") == 0
    return out


# --- the engine


def test_every_trial_is_scored_with_its_last_averaged_weights(done: Path) -> None:
    scores = scores_of(done)
    assert list(scores) == ["SPAD/seed-3", "SPAD/seed-4", "unet/seed-3", "unet/seed-4"]
    for one in scores.values():
        assert (one["steps"], one["sampling"]["samples"], one["images"]) == (2, 2, 2)
        assert one["training_seconds"] > 0
        assert one["inference_seconds"] > 0
        assert one["parameters"] > 1000
        assert one["peak_bytes"] is None or one["peak_bytes"] > 1e7
    assert len(scores["SPAD/seed-3"]["leakage"]["leakage/gap"]) == 1
    assert scores["unet/seed-3"]["leakage"] == {}
    assert scores["SPAD/seed-3"]["diversity"] > 0 == scores["unet/seed-3"]["diversity"]


def test_finished_trials_are_skipped_and_a_new_arm_joins_the_table(
    shared_tiny: Path, done: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    before = scores_of(done)
    trained = []

    def spy(config: Any, out: Path, **options: Any) -> Path:
        trained.append(out)
        return train(config, out, **options)

    monkeypatch.setattr(trial_module, "train", spy)
    words = ["--seeds", "0", "--arms", "SPAD", "baseline", "seed=3"]
    assert ablate(shared_tiny, done, *words, "--seeds", "1", "--against", "unet") == 0
    assert trained == [done / "baseline/seed-3"]
    assert {k: v for k, v in scores_of(done).items() if k in before} == before
    table = (done / "table.md").read_text()
    assert "5 of 5 trials finished" in table
    assert "Differences from unet" in table
    assert table.count("spad ablate") == 2


def test_two_arms_of_one_configuration_are_trained_once(shared_tiny: Path, tmp_path: Path) -> None:
    words = ["--seeds", "1", "--arms", "unet", "--arm", "same: method=unet"]
    assert ablate(shared_tiny, tmp_path, *words) == 0
    assert list(scores_of(tmp_path)) == ["unet/seed-0"]
    rows = read_table(tmp_path).rows
    assert rows["same"] == rows["unet"]


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(
    shared_tiny: Path, done: Path, capsys: Any
) -> None:
    capsys.readouterr()
    arms = ["--seeds", "1", "--arms", "unet"]
    assert ablate(shared_tiny, done, *arms, "seed=3", "optimiser.learning_rate=0.5") == 2
    assert "optimiser.learning_rate: 0.001 -> 0.5" in capsys.readouterr().err
    words = ["sweep", str(shared_tiny), "--out", str(done), "loss.dice=0.1,0.2", *SHORT]
    assert main(words) == 2
    assert "kind: ablation -> sweep" in capsys.readouterr().err


def test_no_table_compares_trials_of_other_cases_or_of_another_arm_of_the_name(
    tiny: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"
    own = ["--arm", "own: method=unet loss.encoder_dice=0.6"]
    assert ablate(tiny, out, "--arms", "unet", *own, "--seeds", "1") == 0
    before = (out / "experiment.json").read_bytes()
    other = ["--arms", "unet", "--arm", "own: method=unet loss.encoder_dice=0.7"]
    assert ablate(tiny, out, *other, "--seeds", "1", "2") == 2
    said = capsys.readouterr().err
    assert f"{out / 'own/seed-0'} holds a trial of other settings. Changed: " in said
    assert "loss.encoder_dice: 0.6 -> 0.7" in said
    image = np.arange(64 * 96).reshape(64, 96).astype(np.uint16)
    new = NewCase("new", image, np.zeros((64, 96), np.uint8), split="train", patient="new")
    write_folder(tmp_path / "set", [new], dict(enumerate(phantom.CLASS_NAMES)))
    for words in (["--arms", "baseline", "--seeds", "1"], ["--arms", "unet", "--seeds", "1", "2"]):
        assert ablate(tiny, out, *words) == 2
        said = capsys.readouterr().err
        assert "seed-0 holds a trial of other settings. Changed: the case folders" in said
    assert (out / "experiment.json").read_bytes() == before


def test_an_experiment_goes_on_where_it_was_moved_with_its_cases(
    tiny: Path, tmp_path: Path, capsys: Any
) -> None:
    words = ["--arms", "unet", "--arm", "same: method=unet", "--seeds", "1"]
    assert ablate(tiny, tmp_path / "out", *words) == 0
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("set", tiny.name, "out"):
        (tmp_path / name).rename(moved / name)
    capsys.readouterr()
    assert ablate(moved / tiny.name, moved / "out", *words) == 0
    assert "1 trials, 1 of them finished before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arms", "spda"], "did you mean SPAD"),
        (["--arm", "x: los.dice=1"], "did you mean 'loss'"),
        (["loss.dise=1"], "did you mean 'dice'"),
        (["--seeds", "0"], "--seeds 0"),
        (["--seeds", "1", "1"], "only once"),
        (["--seeds", "x"], "--seeds x"),
        (["--seeds", "99999999999"], "--seeds 99999999999 are too many trials of each arm"),
        (["--jobs", "0"], "--jobs 0"),
        (["--arm", "late: seed=5"], "late sets seed, which each trial gets from --seeds"),
        (["--against", "unet"], "--against 'unet' is none of the arms"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_trains(
    shared_tiny: Path, tmp_path: Path, capsys: Any, words: Sequence[str], said: str
) -> None:
    assert ablate(shared_tiny, tmp_path, *words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*/*/trial.json"))


@pytest.mark.parametrize(("option", "said"), [("--samples=65", "65"), ("--steps=251", "only 250")])
def test_sampling_that_cannot_be_used_is_refused_before_anything_trains(
    shared_tiny: Path, tmp_path: Path, capsys: Any, option: str, said: str
) -> None:
    assert main(["ablate", str(shared_tiny), "--out", str(tmp_path), option]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_failed_trial_is_told_the_others_go_on_and_it_is_tried_again(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def failing(config: Any, out: Path, **options: Any) -> Path:
        if config.loss.dice == 7:
            raise ValueError("the loss | is nan")
        return train(config, out, **options)

    monkeypatch.setattr(trial_module, "train", failing)
    words = ["--seeds", "1", "--arms", "unet", "--arm", "bad: loss.dice=7 method=unet"]
    assert ablate(shared_tiny, tmp_path, *words) == 1
    assert "bad, seed 0: not finished: the loss | is nan" in capsys.readouterr().err
    table = (tmp_path / "table.md").read_text()
    assert "- bad, seed 0: the loss | is nan" in table
    assert "0 (1 failed)" in table
    assert set(scores_of(tmp_path)) == {"unet/seed-0"}
    monkeypatch.undo()
    assert ablate(shared_tiny, tmp_path, *words) == 0
    assert "failed)" not in (tmp_path / "table.md").read_text()


def test_a_trial_without_enough_memory_costs_the_others_nothing(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError("not enough memory on cpu for batches of 4")

    def short(config: Any, out: Path, **options: Any) -> Path:
        with monkeypatch.context() as patch:
            if config.optimiser.batch == 4:
                patch.setattr(loop_module, "update", full)
            return train(config, out, **options)

    monkeypatch.setattr(trial_module, "train", short)
    words = ["--seeds", "1", "--arms", "unet", "--arm", "large: optimiser.batch=4 method=unet"]
    assert ablate(shared_tiny, tmp_path, "--arm", "first: optimiser.batch=4", *words) == 1
    said = capsys.readouterr().err
    assert "large, seed 0: not finished: not enough memory on cpu for batches of 4 " in said
    assert set(scores_of(tmp_path)) == {"unet/seed-0"}
    assert "- first, seed 0: not enough memory" in (tmp_path / "table.md").read_text()


def test_an_interrupted_trial_goes_on_and_its_seconds_add_up(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trial_module, "evaluate", interrupted)
    words = ["--seeds", "1", "--arms", "unet"]
    assert ablate(shared_tiny, tmp_path, *words) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not scores_of(tmp_path)
    before = trial_module.logged(tmp_path / "unet/seed-0")["training_seconds"]
    monkeypatch.undo()
    assert ablate(shared_tiny, tmp_path, *words) == 0
    scores = scores_of(tmp_path)["unet/seed-0"]
    assert len(list((tmp_path / "unet/seed-0").glob("events*"))) == 2
    assert 0 < before < scores["training_seconds"]


def test_side_by_side_trials_write_logs_and_score_as_one_by_one(
    shared_tiny: Path, tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["--seeds", "1", "--arms", "unet", "seed=3", "--jobs", "2"]
    assert ablate(shared_tiny, tmp_path, *words) == 0
    out, err = capfd.readouterr()
    assert "2 trials at a time, 1 threads each" in err
    assert "step/s" not in out + err
    (name,) = found = scores_of(tmp_path)
    assert "2/2" in (tmp_path / name / "log.txt").read_text()
    assert found[name]["mean"] == scores_of(done)[name]["mean"]


def test_a_trial_that_another_process_is_at_is_left_to_it(
    shared_tiny: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = tmp_path / "unet/seed-0"
    folder.mkdir(parents=True)
    with locked(folder / "lock"):
        assert ablate(shared_tiny, tmp_path, "--seeds", "1", "--arms", "unet") == 1
    assert f"left to another command ({folder / 'lock'} is held by" in capsys.readouterr().err
    assert not scores_of(tmp_path)


def test_where_there_are_no_locks_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_lock, "_lock", none)
    with locked(tmp_path / "lock"), locked(tmp_path / "lock"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_lock.os, "write", full)
        with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/lock'"):
            locked(tmp_path / "lock").__enter__()
    measured = Measured([], [], [], (0.0, 1), 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        keep_measurement(Path("/dev/full"), Scan((), "0"), Setting((1,), 1, 1.0), measured)


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from spad.train.processes import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {process.pid}"), locked(path):
            pass
        process.kill()
        process.wait()
    assert path.read_text() == str(process.pid)  # stale, and nobody's
    began = time.monotonic()
    with locked(path), pytest.raises(Busy, match=f"process {os.getpid()}"), locked(path):
        pass
    assert time.monotonic() - began < 5
