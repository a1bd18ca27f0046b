"""Windows and macOS, which no machine here runs: what differs there, with its part stood in for."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from spad.cases import (
    CaseError,
    NewCase,
    atomic_files,
    open_folder,
    refuse_long_names,
    reserved_name,
    write_bytes,
    write_cases,
)
from spad.worker import Worker, WorkerError

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


@pytest.mark.parametrize("length", [5, 60])
def test_a_path_that_windows_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Of a short name the file that is written first, beside it, is the longer one."""
    fits = 259 - len(str(tmp_path)) - 2 - max(length, 29)
    longest, longer = (tmp_path / ("y" * n) / ("x" * length) for n in (fits, fits + 1))
    refuse_long_names(longer)  # not Windows, or a Windows that takes long paths
    monkeypatch.setattr(atomic_files, "_takes_long_paths", lambda: False)
    refuse_long_names(longest)
    with pytest.raises(ValueError, match=r"Windows takes 259: choose a folder whose .* by 1,"):
        refuse_long_names(longer)


def test_a_file_that_a_virus_scanner_has_for_a_moment_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, replace, tries = tmp_path / "labels.json", os.replace, [0]
    target.write_text("old")

    def held(fresh: Path, path: Path) -> None:
        tries[0] += 1
        if tries[0] < 4:
            raise PermissionError(13, "The process cannot access the file", str(path))
        replace(fresh, path)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(atomic_files, "PATIENCE_S", (0.0, 0.0, 0.0, 0.0))  # as on Windows
    write_bytes(target, b"new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


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
            raise OSError(errno.EDEADLK, "Resource deadlock avoided")

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


def test_files_with_the_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    write(tmp_path, "Eye 1")
    before = open_folder(tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    after = open_folder(tmp_path)
    assert (after.names, after.splits) == (before.names, before.splits)


@pytest.mark.parametrize("console", [True, False])
def test_a_program_without_a_console_gives_the_process_that_learns_none(
    monkeypatch: pytest.MonkeyPatch, console: bool
) -> None:
    """As under pythonw: what a library prints there would raise."""
    given: dict[str, object] = {}

    def popen(command: list[str], **how: object) -> None:
        given.update(how)
        raise OSError("far enough")

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(sys, "__stderr__", sys.stderr if console else None)
    with pytest.raises(WorkerError, match="far enough"):
        Worker().warm_up()
    assert given["stderr"] == (None if console else subprocess.DEVNULL)
