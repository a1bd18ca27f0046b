"""What a front end relies on: the configuration it writes, the starting point scored, the clock."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spad import checkpoint
from spad.annotation import fine_tuning
from spad.annotation.fine_tuning import (
    PROGRESS,
    Row,
    Validation,
    config_text,
    read_progress,
    verdict,
)
from spad.checkpoint import label_classes
from spad.checkpoint.card import Card
from spad.train.config import Config, ConfigError, load_config
from spad.train.loop.loop import train


def config(base: Path, card: Card, folder: Path, cases: Path, **options: Any) -> Config:
    """What a front end writes, read by the trainer; few and quick steps."""
    given = {"name": "mine", "minutes": 1.0, "every": 2} | options
    text = config_text(card, base, cases, [c.name for c in card.classes], **given)
    path = folder / "fine-tune.toml"
    path.write_text(text, "utf-8")
    return load_config(path, ["optimiser.steps=4", "optimiser.batch=2"])


@pytest.fixture
def base(whole: Path) -> Path:
    """A checkpoint to start from."""
    return whole / "best.safetensors"


def test_the_starting_point_is_scored_on_the_same_images_and_best_is_never_worse(
    base: Path, long: Path, tmp_path: Path
) -> None:
    card = checkpoint.read_card(base)
    settings = config(base, card, tmp_path, long.parent / "set", learning_rate=0.0)
    best = train(settings, tmp_path / "run", device="cpu")
    seen = read_progress(tmp_path / "run")
    assert [v.step for v in seen.validations] == [0, 2, 4]
    assert seen.before is seen.best is seen.validations[0]  # nothing was learned
    assert {(v.images, v.patients) for v in seen.validations} == {(2, 2)}
    assert [r.name for r in seen.before.rows] == [c.name for c in card.classes[1:]]
    scores = checkpoint.read_card(best).scores["validation"]
    assert scores["step"] == 0
    assert isinstance(scores["pooled Dice"], Mapping)
    assert seen.before.mean.dice == pytest.approx(scores["pooled mean Dice"], abs=1e-4)
    assert [step for step, _ in seen.losses] == [2, 4]
    assert seen.step == 4


def test_the_new_model_is_built_and_used_as_the_old_one(
    base: Path, long: Path, tmp_path: Path
) -> None:
    old = checkpoint.read_card(base)
    settings = config(base, old, tmp_path, long.parent / "set", name='my "IS/OS" models')
    new = checkpoint.read_card(train(settings, tmp_path / "run", device="cpu"))
    assert new.name == 'my "IS/OS" models'
    assert new.classes == old.classes
    assert (new.network, new.schedule, new.sampling) == (old.network, old.schedule, old.sampling)
    assert (new.input.size, new.input.fit) == (old.input.size, old.input.fit)


def test_the_clock_ends_a_run_with_its_validation(base: Path, long: Path, tmp_path: Path) -> None:
    card = checkpoint.read_card(base)
    settings = config(base, card, tmp_path, long.parent / "set", minutes=1e-6, every=100)
    train(settings, tmp_path / "run", device="cpu")
    seen = read_progress(tmp_path / "run")
    assert [v.step for v in seen.validations] == [0, 1]
    assert (seen.minutes, seen.steps) == (1e-6, 4)


def test_a_structure_that_nobody_looked_for_stays_what_the_checkpoint_knew(
    base: Path, long: Path, tmp_path: Path
) -> None:
    import shutil

    cases = tmp_path / "set"
    shutil.copytree(long.parent / "set", cases)
    details = json.loads((cases / "cases.json").read_text())
    for entry in details.values():
        entry["annotated"] = ["SRF", "IRF"]
    (cases / "cases.json").write_text(json.dumps(details))
    card = checkpoint.read_card(base)
    settings = config(base, card, tmp_path, cases)
    with pytest.warns(UserWarning, match="PED is annotated in no training case: the model keeps"):
        train(settings, tmp_path / "run", device="cpu")
    seen = read_progress(tmp_path / "run")
    assert seen.best is not None
    assert math.isnan(next(r.dice for r in seen.best.rows if r.name == "PED"))
    text = (tmp_path / "fine-tune.toml").read_text()
    afresh = tmp_path / "afresh.toml"
    afresh.write_text("\n".join(x for x in text.splitlines() if not x.startswith('"init"')))
    with pytest.raises(ConfigError, match="'PED' is annotated in no training case"):
        train(load_config(afresh), tmp_path / "other", device="cpu")


def test_left_and_right_are_not_mirrored(base: Path, tmp_path: Path) -> None:
    sided = label_classes(["background", "left lung", "right lung", "heart"])
    card = replace(checkpoint.read_card(base), classes=sided)
    for names, mirrored in ((["background", "left lung", "right lung"], False), (["heart"], True)):
        text = config_text(card, base, tmp_path, names, name="x", minutes=1, every=1)
        (tmp_path / "x.toml").write_text(text)
        assert load_config(tmp_path / "x.toml").augmentation.flip is mirrored


def test_a_class_that_the_model_lacks_is_refused(base: Path, tmp_path: Path) -> None:
    card = checkpoint.read_card(base)
    names = [*(c.name for c in card.classes), "drusen"]
    with pytest.raises(ValueError, match=r"has drusen, which the model .* does not know"):
        config_text(card, base, tmp_path, names, name="x", minutes=1, every=1)


def test_a_resumed_runs_later_lines_count(tmp_path: Path) -> None:
    lines = [
        {"step": 0, "seconds": 0.1, "steps": 9, "minutes": 0},
        {"step": 0, "seconds": 1, "training": True},
        {"step": 2, "seconds": 2, "loss": 5.0},
        {"step": 4, "seconds": 3, "loss": None},
        {"step": 3, "seconds": 0.1, "steps": 9, "minutes": 0},
        {"step": 4, "seconds": 1, "loss": 2.0},
        {"step": 4, "seconds": 1, "scoring": True},
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 5, "sec'  # cut short
    (tmp_path / PROGRESS).write_text(text)
    seen = read_progress(tmp_path)
    assert seen.losses == ((2, 5.0), (4, 2.0))
    assert seen.scoring
    assert read_progress(tmp_path / "nowhere") == fine_tuning.Progress()


def scored(step: int, dice: float, images: int = 40, patients: int = 10) -> Validation:
    row = Row("mean", images, dice, dice - 0.05, dice + 0.05)
    return Validation(step, images, patients, (row,), row)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (scored(9, 0.7), "Better by more than chance (40 B-scans of 10 patients)"),
        (scored(9, 0.4), "Worse"),
        (scored(9, 0.52), "within chance"),
        (scored(9, 0.7, patients=1), "Too few to tell: 40 B-scans of one patient"),
        (scored(9, 0.7, images=6, patients=6), "Too few to tell"),
        (scored(0, 0.5), "keep that one"),
        (scored(9, math.nan), "No score"),
    ],
)
def test_what_two_scores_prove_is_said(after: Validation, said: str) -> None:
    assert said in verdict(scored(0, 0.5), after)
