"""A run as both front ends show it: words, progress over several runs, times in round words."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from spad.annotation import run_steps
from spad.annotation.run_steps import RunProgress, duration, followed, opened, seconds_left
from spad.inference import drained
from spad.inference.hosts import Engine


@dataclass
class Step:
    done: int
    total: int
    said: str = ""


def steps(total=4):
    for done in range(1, total + 1):
        yield Step(done, total, "it is large" if done == 2 else "")
    return "made"


def ended(run):
    told = []
    made = drained(run, told.append)
    return told, made


def test_a_run_tells_what_the_engine_noticed_and_gives_what_was_made():
    told, made = ended(followed(steps()))
    assert made == "made"
    assert [e for e in told if isinstance(e, str)] == ["it is large"]
    assert [e.done for e in told if isinstance(e, RunProgress)] == [1, 2, 3, 4]


def test_of_several_runs_the_progress_is_over_all(monkeypatch):
    monkeypatch.setattr(run_steps.time, "monotonic", lambda: 30.0)
    told, _ = ended(followed(steps(), number=2, count=3, began=0.0))
    first = next(e for e in told if isinstance(e, RunProgress))
    assert first == RunProgress(5, 12, 30 / 5 * 7, 2, 3)


def test_the_time_left_follows_what_is_done(monkeypatch):
    monkeypatch.setattr(run_steps.time, "monotonic", lambda: 110.0)
    assert seconds_left(100.0, 1, 4) == 30
    assert seconds_left(100.0, 0.5, 4) == 70


def test_opening_says_what_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "lesions.safetensors"
    path.write_bytes(b"")
    engine = Engine(lambda path, device: (path, device), list, str, dict)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert ended(opened(engine, path, "cpu")) == (
        ["loading PyTorch…", "opening lesions…"],
        (path, "cpu"),
    )
    monkeypatch.setitem(sys.modules, "torch", object())
    assert ended(opened(engine, path, "cpu"))[0] == ["opening lesions…"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (3.4, "3 s"), (41, "40 s"), (400, "7 min"), (7300, "2.0 h")],
)
def test_times_are_said_in_round_words(seconds, words):
    assert duration(seconds) == words
