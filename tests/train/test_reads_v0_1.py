"""The trainer goes on with what version 0.1 left: a stopped run, a configuration, case folders."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from files_of_v0_1 import V0_1, arrays, laid_out
from produced import RECORDED_ON, machine

from spad import checkpoint
from spad.annotation import config_text, read_progress
from spad.cases import open_folder
from spad.checkpoint import IGNORE
from spad.phantom import stack
from spad.train.config import load_config
from spad.train.data import check, read_image, read_labels
from spad.train.loop import train

SHAPE = (3, 32, 48)


def test_a_stopped_run_goes_on_to_the_weights_of_one_that_nobody_stopped(tmp_path: Path) -> None:
    folder = laid_out("trainer", tmp_path)
    path = folder / "run" / "latest.pt"
    state = torch.load(path, weights_only=True)
    assert (state["step"], state["pending"]) == (4, False)
    assert state["config"]["data"]["folders"] == ["FOLDER/set"]
    # Where the set lay then.
    state["config"]["data"]["folders"] = [str((folder / "set").resolve())]
    torch.save(state, path)
    best = train(load_config(folder / "begun.toml"), folder / "run", resume=True, device="cpu")
    seen = read_progress(folder / "run")
    assert [step for step, _ in seen.losses] == [2, 3, 4, 6]  # 4 of them are not done again
    assert [v.step for v in seen.validations] == [3, 6]
    _, weights = checkpoint.load(best.with_name("latest.safetensors"))
    expected = arrays("trainer/whole.npz")
    assert weights.keys() == expected.keys()
    for name, tensor in weights.items():
        if machine() == RECORDED_ON:
            np.testing.assert_array_equal(tensor.numpy(), expected[name])
        else:
            np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-3, atol=1e-4)


def test_the_configuration_of_a_fine_tuning_is_taken(tmp_path: Path) -> None:
    folder = laid_out("napari", tmp_path)
    laid_out("model", tmp_path / "model")
    path = folder / "data" / "runs" / "tuned" / "fine-tune.toml"
    config = load_config(path)
    assert (config.name, config.method) == ("tuned", "spad")
    assert config.init == str((folder / "model" / "cached.safetensors").resolve())
    assert list(config.classes) == ["background", "SRF", "IRF", "PED", "SHRM", "IS/OS"]
    assert config.data.folders == (str((folder / "cases").resolve()),)
    assert (config.data.validation, config.data.balance) == ("train", 0.5)
    assert (config.input.size, config.network.widths) == (SHAPE[1:], (8, 8, 8))
    assert (config.sampling.steps, config.sampling.samples) == (3, 2)
    o, v, p = config.optimiser, config.validation, config.perturbation
    assert (o.steps, o.minutes, o.batch, o.learning_rate) == (1_000_000, 0.1, 4, 2e-4)
    assert (o.warmup, o.fall, o.ema) == (5, False, 0.98)
    assert (v.before, v.every, v.save_every, v.samples, v.steps) == (True, 5, 1_000_000, 2, 3)
    assert (p.semantic, p.boundary) == (False, False)
    # And it trains.
    short = load_config(path, ["optimiser.steps=2", "validation.every=2"])
    with pytest.warns(UserWarning, match="started from tiny cached"):
        best = train(short, tmp_path / "again", device="cpu")
    assert checkpoint.read_card(best).name == "tuned"


def test_the_same_configuration_is_written_today_but_for_how_it_learns(tmp_path: Path) -> None:
    folder = laid_out("napari", tmp_path)
    model = laid_out("model", tmp_path / "model") / "cached.safetensors"
    card = checkpoint.read_card(model)
    text = config_text(
        card, model, folder / "cases", [c.name for c in card.classes],
        name="tuned", minutes=0.1, every=5, validation="train",
    )  # fmt: skip
    written = tomllib.loads((folder / "data/runs/tuned/fine-tune.toml").read_text("utf-8"))
    found = tomllib.loads(text)
    for one in (written, found):  # however this system writes paths
        one["init"] = Path(one["init"]).resolve()
        one["data"]["folders"] = [Path(f).resolve() for f in one["data"]["folders"]]
    assert found["network"].pop("encoder") == "own"  # which 0.1 did not know
    # What learns, and how fast, is as in a lesson since then.
    assert found["optimiser"].pop("encoder_factor") == 0
    for key, (then, now) in {"batch": (4, 2), "learning_rate": (2e-4, 1e-3)}.items():
        assert (written["optimiser"].pop(key), found["optimiser"].pop(key)) == (then, now)
    assert found == written


def test_a_case_folder_of_the_plugin_holds_the_corrected_labels() -> None:
    opened = open_folder(V0_1 / "napari" / "cases")
    check([opened], None, ["train"])
    exported = arrays("napari/exported.npz")["labels"]
    same = np.arange(256, dtype=np.uint8)
    for z, case in enumerate(opened.splits["train"]):
        image, labels = read_image(case), read_labels(case, same)
        np.testing.assert_array_equal(image, stack(49, shape=SHAPE).image[z])
        # PED was not looked for.
        np.testing.assert_array_equal(labels, np.where(exported[z] == 3, IGNORE, exported[z]))


def test_a_case_folder_of_phantoms_is_read() -> None:
    opened = open_folder(V0_1 / "trainer" / "set")
    check([opened], None, ["train", "val"])
    details = json.loads((V0_1 / "trainer" / "set" / "cases.json").read_text("utf-8"))
    assert {split: len(some) for split, some in opened.splits.items()} == {"train": 4, "val": 2}
    assert [c.name for c in opened.splits["val"]] == ["phantom-1000002", "phantom-1000003"]
    for case in (c for some in opened.splits.values() for c in some):
        assert case.patient == details[case.name]["patient"]
        assert case.spacing_mm == pytest.approx(details[case.name]["spacing_mm"])
