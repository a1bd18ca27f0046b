"""The configurations of imported data sets: the paper's settings, and sides that change places."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from spad.train.config import Config, ConfigError, load_config
from spad.train.data.augmentation import swap_table
from spad.train.imports import amd_sd, cxrs

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SIDES = ["background", "right lung", "left lung", "heart", "right clavicle", "left clavicle"]


def load(name: str) -> Config:
    return load_config(CONFIGS / f"{name}.toml")


@pytest.mark.parametrize(("name", "size"), [("amd_sd", 256), ("cxrs", 512)])
def test_the_papers_data_sets_are_trained_as_the_paper_says(name: str, size: int) -> None:
    config = load(name)
    p, o = config.perturbation, config.optimiser
    assert config.preset == "paper"
    assert config.input.size == (size, size)
    assert (p.semantic, p.boundary, p.progressive, p.clean, p.decoys) == (True, True, True, 0, 0)
    assert (p.targets, p.targets_0, p.anchors, p.curve) == ("structures", 3, 0.3, "paper")
    assert p.radius == size // 256
    assert (o.batch, o.learning_rate, o.weight_decay) == (8, 1e-4, 1e-5)
    assert config.schedule.steps == config.sampling.steps == 250


@pytest.mark.parametrize("name", ["amd_sd", "cxrs"])
def test_what_they_write_out_is_what_the_preset_says(name: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text('name = "m"\npreset = "paper"\n[data]\nfolders = ["set"]\n')
    preset, config = load_config(bare), load(name)
    assert config.loss == preset.loss
    assert config.schedule == preset.schedule
    assert config.sampling == preset.sampling
    assert config.network == preset.network
    assert replace(config.perturbation, radius=1) == preset.perturbation
    assert replace(config.optimiser, steps=preset.optimiser.steps) == preset.optimiser


def test_the_steps_are_the_papers_epochs() -> None:
    images = int(0.8 * 3049)
    assert load("amd_sd").optimiser.steps == amd_sd.EPOCHS * images // amd_sd.BATCH
    assert load("cxrs").optimiser.steps == cxrs.EPOCHS * 700 // cxrs.BATCH


def test_a_mirrored_radiograph_has_right_and_left_exchanged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPAD_DATA", str(tmp_path))
    config = load("jsrt")
    assert config.data.folders == (str((tmp_path / "cxr_jsrt_scr").resolve()),)
    assert config.augmentation.flip
    assert swap_table(config.augmentation, SIDES)[:6].tolist() == [0, 2, 1, 3, 5, 4]
    assert not load("cxrs").augmentation.flip


@pytest.mark.parametrize("name", ["jsrt", "oct_lesions"])
def test_a_data_set_that_nobody_named_is_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPAD_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"SPAD_DATA, which is not set; set it to the folder"):
        load(name)
    named = load_config(CONFIGS / f"{name}.toml", ['data.folders=["/sets/mine"]'])
    assert named.data.folders == (str(Path("/sets/mine").resolve()),)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_no_configuration_points_outside_the_repository(path: Path) -> None:
    values = tomllib.loads(path.read_text("utf-8"))
    for place in [*values["data"].get("folders", []), values.get("init", "")]:
        inside = (path.parent / place).resolve().is_relative_to(CONFIGS.parents[1])
        assert place.startswith("$SPAD_DATA/") or inside, place
