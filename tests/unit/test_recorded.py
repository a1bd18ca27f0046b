"""The program still produces what version 0.1 produced: `tests/recorded` holds the record.

Integers must be equal anywhere. What passes through floating point must be equal to the bit where
torch, the processor's instructions and the threads are those of the record; elsewhere it may round
otherwise.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from produced import (
    HERE,
    MODELS,
    OPENCV,
    RECORDED_ON,
    drawn,
    label_maps,
    machine,
    perturbed,
    trained,
)

RECORD = json.loads((HERE / "produced.json").read_text("utf-8"))
SAME = machine() == RECORDED_ON


def agrees(found: dict[str, Any], recorded: dict[str, Any], *, rounded: bool = True) -> None:
    """Compare two summaries of an array."""
    if SAME or not rounded:
        assert found == recorded
        return
    assert (found["shape"], found["dtype"]) == (recorded["shape"], recorded["dtype"])
    assert found["first"] == pytest.approx(recorded["first"], rel=1e-4, abs=1e-5)
    count = float(np.prod(recorded["shape"]))
    assert found["sum"] / count == pytest.approx(recorded["sum"] / count, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", RECORD["drawn"])
def test_keyed_draws_are_as_recorded(name: str) -> None:
    rounded = name in ("normal", "smooth normal", "coherent draw")
    agrees(drawn()[name], RECORD["drawn"][name], rounded=rounded)


@pytest.mark.parametrize("name", RECORD["perturbed"])
def test_perturbed_images_are_as_recorded(name: str) -> None:
    pytest.importorskip("cv2")
    agrees(perturbed()[name], RECORD["perturbed"][name], rounded="image" in name)


def test_nothing_recorded_is_left_out() -> None:
    pytest.importorskip("cv2")
    assert drawn().keys() == RECORD["drawn"].keys()
    assert perturbed().keys() == RECORD["perturbed"].keys()


@pytest.mark.parametrize("model", MODELS)
def test_label_maps_of_the_shipped_models_are_as_recorded(model: str) -> None:
    found = label_maps(model)
    with np.load(HERE / f"labels-{model}.npz") as recorded:
        assert set(recorded.files) == found.keys()
        for name, labels in found.items():
            expected = recorded[name]
            assert (labels.shape, labels.dtype) == (expected.shape, expected.dtype), name
            if name.endswith("uncertainty") and not SAME:  # percents, of which a bit makes the next
                away = np.abs(labels.astype(int) - expected)
                assert np.mean(away <= 1) >= 0.995, name
                assert away.max() <= 5, name
                continue
            same = np.mean(labels == expected)
            assert same == 1 if SAME else same >= 0.999, f"{name}: {1 - same:.3%} of the pixels"


def test_a_short_training_run_is_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorboard", "tqdm", "PIL"):
        pytest.importorskip(module)
    opencv = pytest.importorskip("cv2").__version__
    if int(opencv.partition(".")[0]) != OPENCV:
        pytest.skip(f"OpenCV {opencv} warps pictures by other weights than {OPENCV}, the record's")
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    found, recorded = trained(tmp_path), copy.deepcopy(RECORD["trained"])
    assert found.keys() == recorded.keys()
    assert found["parameters"] == recorded["parameters"]
    assert found["samples"].keys() == recorded["samples"].keys()
    for name, summary in recorded["samples"].items():
        agrees(found["samples"][name], summary, rounded="f" in summary["dtype"])
    if SAME:
        assert found == recorded
        return
    assert [step for step, _ in found["losses"]] == [step for step, _ in recorded["losses"]]
    for (_, loss), (_, expected) in zip(found["losses"], recorded["losses"], strict=True):
        assert loss == pytest.approx(expected, rel=2e-4)
    for one, expected in zip(found["validations"], recorded["validations"], strict=True):
        dice, wanted = one.pop("Dice"), expected.pop("Dice")
        assert one == expected
        for name, (images, value) in wanted.items():
            assert dice[name] == [images, pytest.approx(value, abs=7e-3)]
