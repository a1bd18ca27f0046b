"""Removed options: where they are off nobody notices, where they are used it is said why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spad import checkpoint, phantom
from spad.train.config import ConfigError, load_config, stored_config, without_removed
from spad.train.experiments.run_data import read_run
from spad.train.experiments.trial import config_changes
from spad.train.loop import train
from spad.train.loop.state import read_state

OFF = {
    "perturbation": {"band": "fixed", "adapt": False, "adapt_area": 0.01},
    "loss": {"at_visited": 0.0, "distilled": 0.0, "teacher_steps": 10},
}
USED = [
    ("perturbation", "band", "adaptive", "Past the paper"),
    ("perturbation", "adapt", True, "Past the paper"),
    ("loss", "at_visited", 0.5, "Training for few steps"),
    ("loss", "distilled", 0.5, "Training for few steps"),
]


def with_options(values: dict[str, Any], more: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A configuration as an earlier version stored it."""
    return {**values, **{key: {**values.get(key, {}), **own} for key, own in more.items()}}


def trained(config: Path, out: Path, more: dict[str, dict[str, Any]]) -> Path:
    """A run whose stored configuration has the options too."""
    train(load_config(config), out, device="cpu")
    state = torch.load(out / "latest.pt", weights_only=True)
    state["config"] = with_options(state["config"], more)
    torch.save(state, out / "latest.pt")
    return out


@pytest.mark.parametrize(("section", "key", "value", "said"), USED)
def test_a_removed_option_that_is_used_is_refused_with_the_reason_and_the_remedy(
    shared_tiny: Path, section: str, key: str, value: Any, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(shared_tiny, [f"{section}.{key}={json.dumps(value)}"])
    message = str(caught.value)
    for part in (f"tiny.toml: {section}.{key} = {value!r}", "removed", "docs/results.md", said):
        assert part in message
    assert "remove the key" in message
    assert "unknown" not in message


def test_a_file_that_lists_removed_options_as_off_is_the_file_without_them(
    tiny: Path,
) -> None:
    plain = load_config(tiny)
    words = [f"{s}.{k}={json.dumps(v)}" for s, own in OFF.items() for k, v in own.items()]
    assert load_config(tiny, words) == plain
    assert stored_config(with_options(plain.as_json(), OFF), "state") == plain


def test_the_share_that_recycling_keeps_is_taken_as_what_it_is(shared_tiny: Path) -> None:
    recycled = load_config(shared_tiny, ["loss.recycled=0.5"])
    for share, fits in ((0.75, True), (0.9, False), (0.0, False)):
        words = ["loss.recycled=0.5", f"loss.at_visited={share}"]
        if fits:
            assert load_config(shared_tiny, words) == recycled
        else:
            with pytest.raises(ConfigError, match=r"0\.75 of the samples"):
                load_config(shared_tiny, words)
    with pytest.raises(ConfigError, match=r"at_visited = 0\.75"):
        load_config(shared_tiny, ["loss.at_visited=0.75"])


@pytest.mark.parametrize("value", ["off", None, [0.0]])
def test_what_is_no_value_of_such_an_option_is_refused_too(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"loss\.distilled"):
        without_removed({"loss": {"distilled": value}}, "x")


@pytest.mark.parametrize("values", [3, {"loss": 3}, {}])
def test_what_is_no_configuration_is_left_to_the_check_of_its_keys(values: Any) -> None:
    assert without_removed(values, "x") == values


def test_a_run_stored_with_such_options_off_is_resumed_and_drawn(
    shared_tiny: Path, tmp_path: Path
) -> None:
    out = trained(shared_tiny, tmp_path / "run", OFF)
    config = load_config(shared_tiny)
    train(config, out, resume=True, device="cpu")
    assert read_run(out).config == config
    assert config_changes(with_options(config.as_json(), OFF), config.as_json()) == []


@pytest.mark.parametrize(("section", "key", "value", "said"), USED)
def test_a_run_that_used_one_says_so_when_it_is_resumed_or_drawn(
    shared_tiny: Path, tmp_path: Path, section: str, key: str, value: Any, said: str
) -> None:
    file = tmp_path / "latest.pt"
    config = load_config(shared_tiny)
    stored = with_options(config.as_json(), {section: {key: value}})
    torch.save({"config": stored, "step": 3, "data": ""}, file)
    (tmp_path / "best.safetensors").touch()
    for read, remedy in (
        (lambda: read_state(file, config, ""), "train into another folder"),
        (lambda: read_run(tmp_path), "train it again"),
        (lambda: config_changes(stored, config.as_json()), "choose another --out"),
    ):
        with pytest.raises(ConfigError, match=rf"{section}\.{key} = .* removed") as caught:
            read()
        assert said in str(caught.value)
        assert remedy in str(caught.value)


def test_a_checkpoint_of_a_run_that_used_them_opens_and_starts_another(
    shared_tiny: Path, tmp_path: Path
) -> None:
    """Its card never named them: they are settings of a run, not of a model."""
    best = train(load_config(shared_tiny), tmp_path / "first", device="cpu")
    used = {section: {key: value} for section, key, value, _ in USED}
    card, tensors = checkpoint.load(best)
    checkpoint.save(best, checkpoint.Card.from_json({**card.as_json(), "training": {
        **card.training, "configuration": used,
    }}), tensors)  # fmt: skip
    with pytest.warns(UserWarning, match="started from tiny"):
        train(load_config(shared_tiny, [f"init={best}"]), tmp_path / "second", device="cpu")


@pytest.mark.parametrize("name", sorted(checkpoint.shipped()))
def test_the_shipped_models_open(name: str) -> None:
    import spad

    image = phantom.bscan(1, shape=(64, 96)).image
    labels = spad.load(name, device="cpu").segment(image, samples=1, steps=1).labels
    assert labels.dtype == np.uint8
    assert labels.shape == image.shape
