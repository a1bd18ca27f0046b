"""A run that was killed or stopped goes on bit for bit, and never as another run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spad import phantom
from spad.train.cases import NewCase, write_folder
from spad.train.config import ConfigError, load_config
from spad.train.loop import train
from spad.train.state import read_state

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def run(config: Path, out: Path, *words: str, resume: bool = False) -> Path:
    return train(load_config(config, words), out, resume=resume, device="cpu")


def state_of(out: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(out / "latest.pt", weights_only=True)
    return state


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two nested states differ by a bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() | b.keys()
        return [d for k in keys for d in differences(a.get(k), b.get(k), f"{where}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [d for i, (x, y) in pairs for d in differences(x, y, f"{where}[{i}]")]
    equal = torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
    return [] if equal else [where]


def tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from tensors(value)


def assert_same_run(a: Path, b: Path) -> None:
    """State and checkpoints are equal to the bit, however often the state was saved."""
    states = state_of(a), state_of(b)
    for state in states:
        state["config"]["validation"].pop("save_every")
    assert sum(1 for _ in tensors(states[0])) > 100
    assert not differences(*states)
    for name in ("latest.safetensors", "best.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


# --- going on


def command(config: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [
        sys.executable,
        "-m",
        "spad",
        "train",
        str(config),
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    return subprocess.Popen([*line, *words], env=env, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], happened: Callable[[], Any]) -> None:
    end = time.monotonic() + 300
    while not happened():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.0002)


@pytest.mark.parametrize("when", ["between saves", "during a save"])
def test_after_sigkill_a_run_goes_on_bit_for_bit(
    long: Path, tmp_path: Path, whole: Path, when: str
) -> None:
    words = ["validation.save_every=1"] if when == "during a save" else []
    process = command(long, tmp_path, *words)
    wait_for(process, (tmp_path / "latest.pt").exists)
    if when == "during a save":
        wait_for(process, lambda: list(tmp_path.glob(".latest.pt.*")))
    else:
        time.sleep(np.random.default_rng().uniform(0, 0.1))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < state_of(tmp_path)["step"] < 30
    run(long, tmp_path, *words, resume=True)
    assert_same_run(tmp_path, whole)


def test_sigterm_saves_says_so_and_exits_130(long: Path, tmp_path: Path, whole: Path) -> None:
    process = command(long, tmp_path)
    wait_for(process, (tmp_path / "latest.pt").exists)
    process.terminate()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    step = state_of(tmp_path)["step"]
    assert 0 < step < 30
    assert f"stopped and saved at step {step} of 30" in said
    assert "Traceback" not in said
    run(long, tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_finished_run_is_resumed_to_nothing(shared_tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    best = run(shared_tiny, out)
    before = {path: path.read_bytes() for path in out.glob("*.safetensors")}
    assert run(shared_tiny, out, resume=True) == best
    assert {path: path.read_bytes() for path in out.glob("*.safetensors")} == before


def test_resume_without_a_run_begins_one(shared_tiny: Path, tmp_path: Path) -> None:
    run(shared_tiny, tmp_path / "a", resume=True)
    run(shared_tiny, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_a_run_is_not_overwritten_without_being_asked(long: Path, whole: Path) -> None:
    before = (whole / "latest.pt").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        run(long, whole)
    assert (whole / "latest.pt").read_bytes() == before


def test_a_resume_with_other_settings_is_refused_with_the_difference(
    long: Path, whole: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(long, whole, "optimiser.learning_rate=0.5", "seed=3", resume=True)
    message = str(caught.value)
    assert "optimiser.learning_rate: 0.001 -> 0.5" in message
    assert "seed: 0 -> 3" in message
    assert "batch" not in message


def test_a_resume_with_other_cases_is_refused(tiny: Path, tmp_path: Path) -> None:
    run(tiny, tmp_path / "run")
    image = np.arange(64 * 96).reshape(64, 96).astype(np.uint16)
    names = dict(enumerate(phantom.CLASS_NAMES))
    write_folder(tmp_path / "set", [NewCase("new", image, np.zeros((64, 96), np.uint8))], names)
    with pytest.raises(ConfigError, match="case folders"):
        run(tiny, tmp_path / "run", resume=True)


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04" + bytes(100)])
def test_a_state_that_is_none_is_refused(tiny: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "latest.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"latest\.pt is no saved state"):
        read_state(path, load_config(tiny), "")
