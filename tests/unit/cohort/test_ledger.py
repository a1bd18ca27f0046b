"""Lines that only grow, what is told of progress, and what a result is known by."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spad.cohort import Ledger, Progress, Rows, SegmentJob
from spad.cohort.workers import _environment


def test_lines_survive_a_process_that_was_killed_while_it_wrote(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    assert list(ledger.lines()) == []
    odd = os.fsdecode(b"\xe4.png")  # no UTF-8, as disks have them
    ledger.failed(odd, "“bad”\nfile")
    with ledger.path.open("ab") as file:
        file.write(b'{"half')
    place = ledger.add(file="b.png", value=np.int64(3))
    assert [told["file"] for _, told in ledger.lines()] == [odd, "b.png"]
    assert ledger.at(place) == {"file": "b.png", "value": 3}
    first = json.loads(ledger.path.read_text("utf-8").splitlines()[0])
    assert (first["file"], first["reason"]) == (odd, "“bad”\nfile")


def test_rows_are_found_again_by_another_process_the_last_ones_count(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "r.jsonl")
    rows.add("a", "1", [{"x": 0.1 + 0.2}])
    rows.add("b", "2", [])
    rows.add("a", "3", [{"x": 1.5, "y": None}])
    again = Rows(tmp_path / "r.jsonl")
    assert [again.key(n) for n in "abc"] == ["3", "2", ""]
    assert again.of("a") == [{"x": 1.5, "y": None}]
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_progress_tells_the_time_left_by_what_was_computed() -> None:
    now, said = [0.0], []
    progress = Progress(12_000, said.append, every_s=10, clock=lambda: now[0])
    for _ in range(2000):
        progress.update("skipped")
    assert progress.text() == "2 000 of 12 000 files, 2 000 done before"
    for _ in range(40):
        now[0] += 0.5
        progress.update("done")
    progress.update("failed")
    assert progress.text() == (
        "2 041 of 12 000 files, 2 000 done before, 1 failed, 2 files/s, 81 min left"
    )
    assert len(said) == 2


def test_a_results_key_is_of_the_input_the_model_and_the_settings(tmp_path: Path) -> None:
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    a.write_bytes(b"1")
    b.write_bytes(b"1")
    job = SegmentJob(model="m", sha256="x", out="o", options={"samples": 1, "seed": 0})
    assert job.key(a) == job.key(b) == replace(job, out="p", model="n", device="cpu").key(a)
    other = [
        replace(job, sha256="y"), replace(job, options={"samples": 2, "seed": 0}),
        replace(job, uncertainty=True), replace(job, version="9"),
    ]  # fmt: skip
    assert len({job.key(a), *(one.key(a) for one in other)}) == 5
    b.write_bytes(b"2")
    assert job.key(a) != job.key(b)


def test_processors_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    shares = [_environment(workers)["OMP_NUM_THREADS"] for workers in (1, 3, 20)]
    assert shares == ["8", "2", "1"]
