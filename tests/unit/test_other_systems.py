"""Windows and macOS, which no machine here runs: what differs there, with its part stood in for."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from spad.cases import CaseError, NewCase, open_folder, reserved_name, write_bytes, write_cases
from spad.cases.atomic_files import refuse_long_names

NAMES = {0: "background", 1: "SRF"}


def case(name: str) -> NewCase:
    return NewCase(name, np.zeros((4, 5), np.uint8), np.ones((4, 5), np.uint8))


def write(folder: Path, *names: str, replace: bool = False) -> None:
    write_cases(folder, map(case, names), NAMES, encode=lambda a: a.tobytes(), replace=replace)


@pytest.mark.parametrize("name", ["con", "NUL", "aux.1", "Com7", "lpt1.seg.nrrd", "prn .tif"])
def test_names_of_windows_devices_are_known(name: str) -> None:
    assert reserved_name(name)


@pytest.mark.parametrize("name", ["control", "nul_1", "com", "com10", "lpt", "my con"])
def test_other_names_are_no_devices(name: str) -> None:
    assert not reserved_name(name)


def test_a_case_that_windows_could_not_write_is_refused_everywhere(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="Windows takes this name for a device"):
        write(tmp_path, "aux.1")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("replace", [False, True])
def test_two_cases_that_are_one_file_where_case_does_not_count(
    tmp_path: Path, replace: bool
) -> None:
    write(tmp_path, "Eye 1")
    with pytest.raises(CaseError, match="'Eye 1' is there, and Windows and macOS take both"):
        write(tmp_path, "eye 1", replace=replace)
    assert [one.name for one in open_folder(tmp_path).splits["train"]] == ["Eye 1"]


def test_names_are_measured_where_the_system_does_not_say_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pathconf", raising=False)  # as on Windows
    with pytest.raises(ValueError, match="takes 255: shorten the name by 5"):
        refuse_long_names(tmp_path / ("x" * 260))


def test_a_file_that_another_program_holds_open_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "labels.json"
    target.write_text("old")

    def held(*_: object) -> None:  # what Windows answers
        raise PermissionError(13, "The process cannot access the file", str(target))

    monkeypatch.setattr(os, "replace", held)
    with pytest.raises(PermissionError):
        write_bytes(target, b"new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_windows_locks_beyond_the_number_that_others_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch of `file_lock` that runs on Windows, with its `msvcrt`."""
    calls: list[tuple[int, int, int]] = []
    busy = [False]

    def locking(file: int, mode: int, count: int) -> None:
        calls.append((os.lseek(file, 0, os.SEEK_CUR), mode, count))
        if busy[0]:
            raise OSError(36, "Resource deadlock avoided")

    stand_in = types.SimpleNamespace(LK_LOCK=1, LK_NBLCK=2, locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", stand_in)
    monkeypatch.setattr(sys, "platform", "win32")
    from spad.train.processes import file_lock

    spec = importlib.util.spec_from_file_location("lock_of_windows", file_lock.__file__)
    assert spec is not None
    assert spec.loader is not None
    windows = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(windows)
    lock = tmp_path / "run.lock"
    with windows.locked(lock):
        assert lock.read_text() == str(os.getpid())
        assert calls == [(2**20, 2, 1)]
        busy[0] = True
        with pytest.raises(windows.Busy, match=f"is held by process {os.getpid()}"):
            windows.locked(lock).__enter__()
    assert lock.read_text() == ""
