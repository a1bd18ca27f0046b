"""Desks with a model elsewhere wait without standing still, and say what is wrong."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

import spad
from spad.__main__ import main
from spad.annotation import followed, meanwhile
from spad.inference import ServerError, drained, explain
from spad.remote import address


def ended(run):
    seen = []
    return drained(run, seen.append), seen


def test_a_run_that_waits_promises_no_time():
    def steps():
        for done, said in ((0, "waiting"), (0, ""), (1, "")):
            yield SimpleNamespace(done=done, total=2, said=said)
        return "made"

    made, seen = ended(followed(steps()))
    assert made == "made"
    assert seen[:3] == ["waiting", None, None]
    assert [one.done for one in seen[3:]] == [1]


def test_what_waits_for_a_line_lets_the_window_live():
    value, seen = ended(meanwhile(lambda: _later(7)))
    assert value == 7
    assert set(seen) <= {None}
    with pytest.raises(ServerError, match="gone"):
        ended(meanwhile(_gone))


def _later(value):
    time.sleep(0.05)
    return value


def _gone():
    raise ServerError("gone")


def test_the_words_of_a_server_stay_as_they_are():
    text = "the server has not enough memory"
    assert explain(ServerError(text), safe="Safe.") == text


def test_a_server_that_is_not_there_or_not_chosen_is_told(tmp_path, capsys, monkeypatch):
    nowhere = "http://127.0.0.1:9"
    file = tmp_path / "a.png"
    words = ["segment", "oct-phantom", str(file), "-o", str(tmp_path), "--device", nowhere]
    assert main(words) == 2
    assert "127.0.0.1:9 cannot be reached" in capsys.readouterr().err
    monkeypatch.setattr(address, "_chosen", [])
    with pytest.raises(ValueError, match="no server is chosen"):
        spad.load("oct-phantom", device="server")
