"""Two programs at one file: each finds what the other one wrote, and neither waits for ever."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spad.annotation.review_book import ReviewBook
from spad.cases import locks
from spad.cases.case_folder import open_folder
from spad.cases.locks import alone
from spad.cases.new_cases import NewCase, write_cases
from spad.pictures.image_files import png_bytes

MARKS = """
import sys
from pathlib import Path
from spad.annotation.review_book import Entry, ReviewBook

book = ReviewBook(Path(sys.argv[1]), "A")
print("ready", flush=True)
sys.stdin.readline()
for i in range(40):
    book.mark(f"{sys.argv[2]}-{i}", Entry("accepted", i))
    book.save()
"""


def test_two_windows_keep_one_record_of_reviews(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    line = [sys.executable, "-c", MARKS, str(path)]
    pipe = subprocess.PIPE
    windows = [subprocess.Popen([*line, w], stdin=pipe, stdout=pipe, text=True) for w in "ab"]
    for window in windows:
        assert window.stdout is not None
        assert window.stdout.readline() == "ready\n"
    for window in windows:  # both at once
        assert window.stdin is not None
        window.stdin.write("go\n")
        window.stdin.flush()
    assert [window.wait(timeout=120) for window in windows] == [0, 0]
    for window in windows:
        window.communicate()
    book = ReviewBook(path, "A")
    book.load()
    lost = [f"{w}-{i}" for w in "ab" for i in range(40) if book[f"{w}-{i}"] is None]
    assert not lost
    assert [file.name for file in tmp_path.iterdir()] == ["reviews.json"]


def test_two_windows_add_to_one_training_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    plane = np.zeros((8, 9), np.uint8)

    def add(window: int) -> None:
        for i in range(10):
            case = NewCase(f"case {window} {i}", plane, plane, patient=f"{window}-{i}")
            write_cases(folder, [case], {0: "background", 1: "SRF"}, encode=png_bytes)

    with ThreadPoolExecutor(2) as windows:
        list(windows.map(add, range(2)))
    written = sum(len(cases) for cases in open_folder(folder).splits.values())
    assert written == 20
    assert not list(folder.glob(".*.lock"))


def test_who_is_at_it_all_the_time_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    said = r"a\.json for 0 s: wait until it is done"
    with alone(path), pytest.raises(TimeoutError, match=said), alone(path, patience_s=0.1):
        pass
    with alone(path, patience_s=0.1):  # it is free again
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_one_goes_on(tmp_path: Path, monkeypatch, code: int) -> None:
    def none(_file: object) -> bool:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(locks, "take_lock", none)
    with alone(tmp_path / "a.json"):
        (tmp_path / "a.json").write_text(json.dumps(1), "utf-8")
    with alone(tmp_path / "not there" / "a.json"):
        pass
