"""Several processes train the model that one would, and none of them can lose the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spad.train.config import ConfigError, load_config
from spad.train.loop import loop
from spad.train.loop.loop import train
from spad.train.processes.group import ALONE, Group

# In bfloat16 a sum over other parts is rounded otherwise, so here the network runs in float32. Each
# process notes its number, so that a test can end it.
PROGRAM = """
import contextlib, os, sys
import spad.train.method.loss
spad.train.method.loss.autocast = lambda device: contextlib.nullcontext()
from pathlib import Path
from spad.__main__ import main
if __name__ == "__main__":  # not in the workers that prepare samples
    again = os.environ["TORCHELASTIC_RESTART_COUNT"]
    Path(f"pid.{os.environ['RANK']}.{again}").write_text(str(os.getpid()))
    sys.exit(main())
"""


def torchrun(config: Path, out: Path, *words: str, restarts: int = 0) -> subprocess.Popen[str]:
    program = out.parent / "program.py"
    program.write_text(PROGRAM)
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    line += [f"--max-restarts={restarts}", "--monitor-interval=0.1", str(program)]
    line += ["train", str(config), "--out", str(out), "--device", "cpu", *words]
    return subprocess.Popen(
        line,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], happened: Callable[[], Any]) -> None:
    end = time.monotonic() + 300
    while not happened():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def kill(folder: Path, rank: int, restart: int = 0) -> None:
    os.kill(int((folder / f"pid.{rank}.{restart}").read_text()), signal.SIGKILL)


def scalars(out: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(out))
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith(("speed/", "leakage/"))  # seconds; a process's own part of a batch
    }


def step_of(out: Path) -> int:
    step: int = torch.load(out / "latest.pt", weights_only=True)["step"]
    return step


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    from spad.train.method import loss

    monkeypatch.setattr(loss, "autocast", lambda device: contextlib.nullcontext())


@pytest.mark.usefixtures("exact")
def test_two_processes_train_what_one_does_and_one_of_them_writes(
    tiny: Path, tmp_path: Path
) -> None:
    words = ["optimiser.batch=4", "optimiser.steps=4", "validation.every=2"]
    words += ["validation.save_every=1"]
    train(load_config(tiny, words), tmp_path / "one", device="cpu")
    process = torchrun(tiny, tmp_path / "two", *words)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("best.safetensors") == 1
    assert said.count("pooled mean Dice") == 2
    one, two = scalars(tmp_path / "one"), scalars(tmp_path / "two")
    assert one.keys() == two.keys()
    assert {"train/loss", "train/dice", "train/norm", "validation/pooled Dice/SRF"} <= one.keys()
    for tag, curve in one.items():
        assert [step for step, _ in two[tag]] == [step for step, _ in curve]
        for (_, a), (_, b) in zip(curve, two[tag], strict=True):
            assert b == pytest.approx(a, rel=1e-3 if tag.startswith("validation") else 2e-5), tag
    files = sorted(path.name.split(".")[0] for path in (tmp_path / "two").iterdir())
    assert files == sorted(path.name.split(".")[0] for path in (tmp_path / "one").iterdir())


def test_a_killed_process_ends_the_run_which_can_be_resumed(long: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = torchrun(long, out)
    wait_for(process, (out / "latest.pt").exists)
    kill(tmp_path, 1)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "another process of the run has ended" in said
    assert "--resume" in said
    assert 0 < step_of(out) < 30
    train(load_config(long), out, resume=True, device="cpu")  # by one process as well
    assert step_of(out) == 30


def test_after_an_elastic_restart_the_run_goes_on(long: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = torchrun(long, out, restarts=1)
    wait_for(process, (out / "latest.pt").exists)
    kill(tmp_path, 0)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert (tmp_path / "pid.0.1").exists()
    assert step_of(out) == 30
    starts = {step for step, _ in scalars(out)["train/loss"]}
    assert {4, 20, 30} <= starts


def test_torchruns_sigterm_saves_says_so_once_and_leaves(long: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = torchrun(long, out, "data.workers=1")
    wait_for(process, (out / "latest.pt").exists)
    process.terminate()
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    step = step_of(out)
    assert 0 < step < 30
    assert said.count(f"stopped and saved at step {step} of 30") == 1


@pytest.mark.parametrize(("size", "accumulate"), [(3, 1), (1, 3), (2, 2)])
def test_a_batch_without_equal_parts_is_refused(size: int, accumulate: int) -> None:
    with pytest.raises(ConfigError, match=rf"batch = 10 .* {size} processes .*multiple of"):
        Group(0, size).check_shares(10, accumulate)
    ALONE.check_shares(10, 5)


@pytest.mark.usefixtures("exact")
def test_micro_batches_have_the_gradient_of_their_batch(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the terms that are sums over pixels; Dice is pooled over each micro-batch."""
    norms: dict[int, Any] = {}
    clip = torch.nn.utils.clip_grad_norm_

    def noted(weights: Any, *limit: Any) -> Any:
        weights = list(weights)
        norms[parts] = [w.grad.clone() for w in weights]
        return clip(weights, *limit)

    monkeypatch.setattr(loop.torch.nn.utils, "clip_grad_norm_", noted)
    words = ["optimiser.batch=4", "optimiser.steps=1", "loss.dice=0", "loss.encoder_dice=0"]
    for parts in (1, 4):
        more = [f"optimiser.accumulate={parts}"]
        train(load_config(tiny, words + more), tmp_path / str(parts), device="cpu")
    assert len(norms[1]) > 50
    for whole, cut in zip(norms[1], norms[4], strict=True):
        torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-7)
