"""Ablations and sweeps: trained once, restartable, refused before the first step, counted right."""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spad.__main__ import main
from spad.train.config import ConfigError, load_config
from spad.train.evaluation.sample_diversity import diversity
from spad.train.experiments import trial as trial_module
from spad.train.experiments.arms import ARMS, GROUPS, choose_arms, slug, sweep_arms
from spad.train.experiments.table import Spread, paired, read_table
from spad.train.experiments.table_files import render
from spad.train.loop.loop import train
from spad.train.processes.file_lock import Busy, locked

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


# --- arms and values


def test_the_rows_of_table_3_switch_what_their_names_say(shared_tiny: Path) -> None:
    def switched(arm: str) -> tuple[bool, bool, bool]:
        p = load_config(shared_tiny, ARMS[arm]).perturbation
        return p.semantic, p.boundary, p.progressive

    assert [switched(arm) for arm in GROUPS["table3"]] == [
        (False, False, False),
        (True, False, True),
        (False, True, True),
        (True, True, False),
        (True, True, True),
    ]
    assert load_config(shared_tiny, ARMS["unet"]).method == "unet"


def test_each_measure_against_leakage_stands_alone_then_all_together(shared_tiny: Path) -> None:
    names = [name for name in GROUPS["leakage"] if name != "baseline"]
    configs = [load_config(shared_tiny, ARMS[name]).perturbation for name in names]
    got = [(p.curve == "default", p.clean > 0, p.decoys) for p in configs]
    assert got == [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, True, True),
    ]


def test_every_arm_is_a_configuration_with_a_folder_of_its_own(shared_tiny: Path) -> None:
    for words in choose_arms(list(ARMS)).values():
        load_config(shared_tiny, words)
    assert {slug(name) for name in ARMS} == set(ARMS)


def test_own_arms_are_added() -> None:
    arms = choose_arms(["unet", "unet"], ["strong: loss.dice=0.5 network.widths=[8,16]"])
    assert arms == {"unet": ("method=unet",), "strong": ("loss.dice=0.5", "network.widths=[8,16]")}


@pytest.mark.parametrize(
    ("names", "own", "said"),
    [
        (["spda"], [], "did you mean SPAD"),
        (["tabel3"], [], "did you mean table3"),
        ([], [], "no arm is chosen"),
        (["SPAD"], ["SPAD: seed=1"], "an arm 'SPAD' already"),
        ([], ["strong loss.dice=1"], "NAME: key=value"),
        ([], ["strong:"], "NAME: key=value"),
        ([], ['strong: name="x'], "No closing quotation"),
        (["SPAD"], ["spad: loss.dice=1"], "would share a folder"),
        ([], ["??: loss.dice=1"], "no letter or digit"),
    ],
)
def test_arms_are_refused(names: list[str], own: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        choose_arms(names, own)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("a.b=0.05,0.1", ["0.05", "0.1"]),
        ("a.b=[8,16],[8, 16, 32]", ["[8,16]", "[8, 16, 32]"]),
        ("a.b=[[1,2],[3,4]],[]", ["[[1,2],[3,4]]", "[]"]),
        ('a.b="x, y",z', ['"x, y"', "z"]),
        ("a.b=true,false", ["true", "false"]),
        ("a.b=paper,default", ["paper", "default"]),
    ],
)
def test_values_are_separated_by_the_commas_between_them(word: str, values: list[str]) -> None:
    fixed, arms = sweep_arms([word, "seed=3"])
    assert fixed == ("seed=3",)
    assert list(arms) == [f"a.b={value}" for value in values]


def test_a_word_without_a_value_empties_a_setting_of_every_trial() -> None:
    assert sweep_arms(["init=", "a=1,2"])[0] == ("init=",)


def test_a_sweep_goes_along_each_key_and_a_grid_through_all() -> None:
    words = ["a=1,2", "b=3,4,5"]
    assert list(sweep_arms(words)[1]) == ["a=1", "a=2", "b=3", "b=4", "b=5"]
    arms = sweep_arms(words, grid=True)[1]
    assert len(arms) == 6
    assert arms["a=2 b=4"] == ("a=2", "b=4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a=1"], "nothing to sweep"),
        (["a=1,,2"], "not of the form"),
        (["a=1,2,"], "not of the form"),
        (["a"], "not of the form"),
        (["=1,2"], "not of the form"),
        (["a=1,2", "a=3"], "given twice"),
        (["a=1,1"], "a value is given twice"),
        (["a=[1,2"], "nothing to sweep"),
    ],
)
@pytest.mark.parametrize("grid", [False, True])
def test_sweeps_are_refused(words: list[str], said: str, grid: bool) -> None:
    with pytest.raises(ConfigError, match=said):
        sweep_arms(words, grid=grid)


# --- the engine


def test_every_trial_is_scored_with_its_last_averaged_weights(done: Path) -> None:
    scores = scores_of(done)
    assert list(scores) == ["SPAD/seed-3", "SPAD/seed-4", "unet/seed-3", "unet/seed-4"]
    for one in scores.values():
        assert (one["steps"], one["sampling"]["samples"], one["images"]) == (2, 2, 2)
        assert one["training_seconds"] > 0
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arms", "spda"], "did you mean SPAD"),
        (["--arm", "x: los.dice=1"], "did you mean 'loss'"),
        (["loss.dise=1"], "did you mean 'dice'"),
        (["--seeds", "0"], "--seeds 0"),
        (["--seeds", "1", "1"], "only once"),
        (["--seeds", "x"], "--seeds x"),
        (["--jobs", "0"], "--jobs 0"),
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


# --- the table


def by_hand(out: Path, values: dict[str, dict[int, float]]) -> None:
    """An experiment's folder with given pooled mean Dice, made without training."""
    trials = [(arm, seed, v) for arm, found in values.items() for seed, v in found.items()]
    config = {
        "name": "hand",
        "optimiser": {"steps": 5, "batch": 2},
        "input": {"size": [64, 96]},
        "sampling": {"steps": 3},
    }
    asked = {"samples": 8, "steps": None, "seed": 0}
    out.mkdir(exist_ok=True)
    about = {
        "kind": "ablation",
        "path": "hand.toml",
        "config": config,
        "sampling": asked,
        "arms": {arm: ["a=1"] for arm in values},
        "trials": [{"arm": a, "seed": s, "folder": f"{a}/seed-{s}"} for a, s, _ in trials],
        "commands": ["spad ablate hand.toml"],
    }
    (out / "experiment.json").write_text(json.dumps(about))
    for arm, seed, value in trials:
        one = {k: {"value": value} for k in ("dice_pooled", "dice_per_image", "iou_pooled")}
        content = {
            "asked": asked, "mean": one, "split": "val", "images": 2, "patients": 2,
            "structures": [{"name": "SRF", **one}, {"name": "IRF", "dice_pooled": {"value": None}}],
            "diversity": 0.1, "training_seconds": 10.0 * seed, "scoring_seconds": 1.0,
            "leakage": {"leakage/gap": [[1, 0.3], [2, 0.4]]},
            "device": "CPU", "spad": "0", "torch": "0",
        }  # fmt: skip
        folder = out / arm / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text(json.dumps(content))


def test_means_spreads_and_paired_differences(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a": {0: 0.5, 1: 0.7, 2: 0.9}, "b": {0: 0.6, 1: 0.7, 3: 0.1}})
    rows = read_table(tmp_path).rows
    a, b = rows["a"]["mDice"], rows["b"]["mDice"]
    assert a.mean == pytest.approx(0.7)
    assert a.sd == pytest.approx(0.2)
    assert a.text() == "0.700 ± 0.200"
    difference = paired(b, a)  # only of seeds that both have
    assert difference.values == pytest.approx({0: 0.1, 1: 0})
    assert difference.sd == pytest.approx(statistics.stdev([0.1, 0]))
    assert rows["a"]["leakage gap"].mean == pytest.approx(0.35)
    assert rows["a"]["training s"].median == 10
    assert Spread({0: 0.5}).text() == "0.500"  # one seed has no spread
    assert Spread({}).text() == "-"
    assert rows["a"]["IRF"].text() == "-"
    assert Spread({0: -0.00001}).text(sign=True) == "+0.000"


def test_the_table_is_written_as_markdown_csv_and_png(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a|x": {0: 0.5, 1: 0.7}, "b": {0: 0.6, 1: 0.9}})
    render(tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "| a\\|x | 0.600 ± 0.141 |" in text
    assert "0: +0.1000, 1: +0.2000" in text
    for said in ("5 steps of batch 2", "64 x 96", "8 samples of 3 steps", "spad ablate hand.toml"):
        assert said in text
    with (tmp_path / "table.csv").open(newline="") as handle:
        rows = {(r["arm"], r["measure"]): r for r in csv.DictReader(handle)}
    one = rows["b", "mDice"]
    assert float(one["mean"]) == pytest.approx(0.75)
    assert float(one["minus a|x"]) == pytest.approx(0.15)
    assert (float(one["seed 0"]), float(one["seed 1"])) == (0.6, 0.9)
    assert rows["b", "IRF"]["mean"] == ""
    with Image.open(tmp_path / "plot.png") as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 0


@pytest.mark.parametrize("values", [("0.05", "0.1"), ("true", "false")])
def test_a_sweep_is_drawn_along_its_values(tmp_path: Path, values: tuple[str, str]) -> None:
    by_hand(tmp_path, {f"k={v}": {0: 0.5, 1: 0.6} for v in values})
    about = json.loads((tmp_path / "experiment.json").read_text())
    about |= {"kind": "sweep", "arms": {arm: [arm] for arm in about["arms"]}}
    (tmp_path / "experiment.json").write_text(json.dumps(about))
    render(tmp_path)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 100


def test_a_table_can_be_read_before_any_trial_is_finished(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a": {0: 0.5}})
    (tmp_path / "a/seed-0/scores.json").unlink()
    render(tmp_path)
    assert "0 of 1 trials finished" in (tmp_path / "table.md").read_text()


def test_scores_of_another_sampling_do_not_mix_into_the_table(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a": {0: 0.5, 1: 0.7}})
    path = tmp_path / "a/seed-0/scores.json"
    path.write_text(path.read_text().replace('"samples": 8', '"samples": 1'))
    assert read_table(tmp_path).rows["a"]["mDice"].values == {1: 0.7}


def test_diversity_is_the_mean_disagreement_of_pairs() -> None:
    maps = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 2]]])
    # pairs 01: 1 - 2/3; 02: 1 and 1; 12: 1 and 1
    assert diversity(maps, 3) == pytest.approx((1 / 3 + 4) / 5)
    assert diversity(maps[:1].repeat(3, 0), 3) == 0
    assert diversity(np.zeros((2, 1, 4), int), 3) == 0
