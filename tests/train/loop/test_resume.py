"""A run that was killed or stopped goes on bit for bit, and never as another run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spad import phantom
from spad.__main__ import main
from spad.cases import NewCase
from spad.checkpoint import label_classes
from spad.train.config import ConfigError, load_config
from spad.train.data import write_folder
from spad.train.loop import loop, validation
from spad.train.loop.loop import train
from spad.train.loop.state import read_state, start
from spad.train.loop.update import update

ROOT = Path(__file__).parents[3]
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


def test_two_trainings_do_not_write_into_one_folder(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "run"
    words = [str(shared_tiny), "--out", str(out), "--device", "cpu", "optimiser.steps=3"]
    words.append("validation.save_every=9")
    more: list[str] = []

    def second(*given: Any) -> Any:
        if given[0].step == 2:
            before = sorted(p.name for p in tmp_path.rglob("*"))
            assert main(["train", *words, *more]) == 2
            assert sorted(p.name for p in tmp_path.rglob("*")) == before
        return update(*given)

    monkeypatch.setattr(loop, "update", second)
    held = f"({out / 'training.lock'} is held by process {os.getpid()})"
    for more[:] in ([], ["--resume"], ["--fresh"]):
        assert main(["train", *words, "--fresh"]) == 0
        said = capsys.readouterr().err
        assert f"{out}: another training is at work there {held}; wait for it, end it" in said


def test_a_run_that_another_process_ended_meanwhile_is_not_begun_anew(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any, **more: Any) -> Any:
        monkeypatch.undo()
        run(shared_tiny, tmp_path, "optimiser.steps=1")
        return start(*given, **more)

    monkeypatch.setattr(loop, "start", slowly)
    with pytest.raises(ConfigError, match="another training was at work there; start again"):
        run(shared_tiny, tmp_path, "optimiser.steps=2")
    assert state_of(tmp_path)["step"] == 1


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
    with pytest.raises(ConfigError, match=r"the case folders \(added set/new \(train\)"):
        run(tiny, tmp_path / "run", resume=True)


def test_a_run_that_was_moved_with_its_cases_and_its_start_goes_on(
    tiny: Path, tmp_path: Path, whole: Path
) -> None:
    shutil.copy(whole / "best.safetensors", tmp_path / "start.safetensors")
    words = ["init=start.safetensors", "optimiser.steps=4"]
    run(tiny, tmp_path / "whole", *words)

    def stopping(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validate", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, tmp_path / "run", *words)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("set", tiny.name, "start.safetensors", "run"):
        (tmp_path / name).rename(moved / name)
    run(moved / tiny.name, moved / "run", *words, resume=True)
    states = state_of(moved / "run"), state_of(tmp_path / "whole")
    assert not differences(*({k: x for k, x in s.items() if k != "config"} for s in states))
    (moved / "start.safetensors").rename(moved / "other.safetensors")
    words[0] = "init=other.safetensors"
    with pytest.raises(ConfigError, match=r"init: '.*start\.safetensors' -> '.*other\.safet"):
        run(moved / tiny.name, moved / "run", *words, resume=True)


def test_a_run_goes_on_without_what_it_started_from(
    tiny: Path, tmp_path: Path, whole: Path
) -> None:
    shutil.copy(whole / "best.safetensors", tmp_path / "start.safetensors")
    words = ["init=start.safetensors", "optimiser.steps=4", "validation.every=2"]
    run(tiny, tmp_path / "whole", *words)
    scored: list[int] = []

    def second_stops(*given: Any) -> Any:
        scored.append(1)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return validation.validate(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validate", second_stops)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, tmp_path / "run", *words)
    (tmp_path / "start.safetensors").unlink()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(tiny, tmp_path / "run", *words, resume=True)
    assert not [str(w.message) for w in said if "started from" in str(w.message)]
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"start\.safetensors"):
        run(tiny, tmp_path / "afresh", *words)


def test_harmless_settings_may_change(shared_tiny: Path, tmp_path: Path) -> None:
    run(shared_tiny, tmp_path, "optimiser.steps=3")
    words = ["optimiser.steps=3", "data.source=elsewhere", "validation.every=2", "name=other"]
    run(shared_tiny, tmp_path, *words, resume=True)
    with pytest.raises(ConfigError, match=r"optimiser\.steps: 3 -> 4\."):
        run(shared_tiny, tmp_path, "optimiser.steps=4", resume=True)


def test_a_limit_in_minutes_is_that_of_the_run_over_its_resumes(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where arms are compared at equal time: one that was interrupted has no more of it."""
    clock = Clock()
    monkeypatch.setattr(loop.time, "monotonic", clock.time)
    monkeypatch.setattr(loop, "update", lambda *a: (clock.go_on(20), update(*a))[1])
    words = ["optimiser.steps=90", "optimiser.minutes=1.6", "validation.save_every=1"]
    stop = loop._save

    def stopping(run: Any, job: Any) -> None:
        stop(run, job)
        job.stop.asked = run.step == 3

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_save", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(shared_tiny, tmp_path, *words)
    assert state_of(tmp_path)["step"] == 3
    clock.go_on(3600)
    run(shared_tiny, tmp_path, *words, resume=True)
    assert state_of(tmp_path)["step"] == 5
    run(shared_tiny, tmp_path, *words, resume=True)
    assert state_of(tmp_path)["step"] == 5
    words[1] = "optimiser.minutes=2"
    run(shared_tiny, tmp_path, *words, resume=True)
    assert state_of(tmp_path)["step"] == 6


class Clock:
    """Stands still until it is told to go on."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


def test_a_state_from_before_a_setting_was_new_is_resumed(
    shared_tiny: Path, tmp_path: Path
) -> None:
    run(shared_tiny, tmp_path, "optimiser.steps=2")
    state = state_of(tmp_path)
    del state["config"]["optimiser"]["accumulate"], state["pending"]
    torch.save(state, tmp_path / "latest.pt")
    run(shared_tiny, tmp_path, "optimiser.steps=2", resume=True)
    with pytest.raises(ConfigError, match="accumulate: 1 -> 2"):
        run(shared_tiny, tmp_path, "optimiser.steps=2", "optimiser.accumulate=2", resume=True)


def test_what_killed_saves_left_is_removed(shared_tiny: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [tmp_path / f".latest.pt.{gone.pid}", tmp_path / ".spad-0123abcd.tmp"]
    other = tmp_path / f".latest.pt.{os.getppid()}"
    for path in (*left, other):
        path.write_bytes(b"half")
    run(shared_tiny, tmp_path, "optimiser.steps=1")
    assert other.exists()
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("file", ["latest.safetensors", "best.safetensors", "latest.pt"])
def test_killed_around_a_validation_the_best_model_stays_the_best(
    long: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """Killed after the file was replaced, and before the next one is."""
    replace = os.replace

    class Killed(BaseException):
        pass

    def dying(old: Path, new: Path) -> None:
        replace(old, new)
        if Path(new).name == file and state_of(tmp_path)["step"] == 15:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(Killed):
            run(long, tmp_path)
    assert state_of(tmp_path)["pending"]
    run(long, tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_stop_during_a_validation_leaves_it_for_the_resume(
    long: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = validation.Segmenter.segment

    def asked(*args: Any, **more: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return segment(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(validation.Segmenter, "segment", asked)
        with pytest.raises(KeyboardInterrupt, match="at step 15 of 30; its validation comes first"):
            run(long, tmp_path)
    assert not (tmp_path / "best.safetensors").exists()
    run(long, tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_signal_before_the_first_step_leaves_with_a_message(long: Path, tmp_path: Path) -> None:
    process = command(long, tmp_path / "run")
    wait_for(process, lambda: _catches_sigterm(process.pid))
    process.terminate()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "stopped before the first step" in said
    assert not (tmp_path / "run" / "latest.pt").exists()


def _catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_full_disk_ends_the_run_with_the_last_state(
    long: Path, tmp_path: Path, whole: Path
) -> None:
    """A file system with room for the checkpoints and one state, not for a state and the next."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = (whole / "latest.pt").stat().st_size
    mount = ["mount", "-t", "tmpfs", "-o", f"size={int(size * 1.6)}", "none", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        filler = disk / "filler"
        process = command(long, disk / "run")
        wait_for(process, (disk / "run" / "latest.pt").exists)
        filler.write_bytes(bytes(int(size * 0.3)))
        _, said = process.communicate(timeout=300)
        assert process.returncode == 2
        assert "could not be saved" in said
        assert "No space left" in said or "write" in said
        assert 0 < state_of(disk / "run")["step"] < 30
        shutil.copytree(disk / "run", tmp_path / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    run(long, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"no state", b"PK\x03\x04" + bytes(100), b"\x80\x02}q\x00(X"),
        *(b"\x80\x02.", b"\x80\x02h\x05.", b"\x80\x02]."),  # empty stack, no memo, a list
    ],
)
def test_a_state_that_is_none_is_refused(tiny: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "latest.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"latest\.pt is no saved state"):
        read_state(path, load_config(tiny), "")


def test_a_state_with_something_missing_is_named(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    for state in (
        {"config": 1, "step": 2, "data": ""},
        {"config": {}, "step": "2", "data": ""},
        [1],
    ):
        torch.save(state, path)
        with pytest.raises(ValueError, match=r"latest\.pt is no saved state.*remove it"):
            read_state(path, load_config(tiny), "")
    run = start(load_config(tiny), label_classes(["background", "SRF"]), torch.device("cpu"))
    whole = {"network": run.network.state_dict(), "mean": run.mean, "best": 0.5, "step": 1}
    whole["optimiser"] = run.optimiser.state_dict()
    for key, value in (("optimiser", {}), ("optimiser", {"state": {}, "param_groups": [1]}),
                       ("mean", {"x": 1}), ("network", None), ("best", "x")):  # fmt: skip
        with pytest.raises(ValueError, match=r"latest\.pt is no saved state.*remove it"):
            run.restore(whole | {key: value}, path)
    run.restore(whole, path)
    assert run.step == 1
