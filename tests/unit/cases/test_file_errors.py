"""A file that cannot be written is named, by the name that the person knows, with what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spad.cases import file_error
from spad.cases.atomic_files import replaced, write_bytes, write_json
from spad.inference import explain


def by_replaced(path: Path) -> None:
    with replaced(path) as beside:
        beside.write_bytes(b"new")


WAYS: dict[str, Callable[[Path], Any]] = {
    "write_bytes": lambda path: write_bytes(path, b"new"),
    "write_json": lambda path: write_json(path, "new"),
    "replaced": by_replaced,
}


ANY = (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
# The disk is waited for by `replaced` alone; where a file is open, nobody asks for permission.
FAULTS = [(way, at, code) for way in WAYS for at in ("io.open", "os.replace") for code in ANY]
FAULTS += [("replaced", "os.fsync", code) for code in ANY[1:]]


@pytest.mark.parametrize(("way", "at", "code"), FAULTS)
def test_it_is_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, at: str, code: int
) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"old")

    def refuse(file: Any, *_: Any, **__: Any) -> None:
        # As the system does: a name where it opens or renames, none where it writes.
        names = () if at == "os.fsync" else (os.fspath(file),)
        raise OSError(code, os.strerror(code), *names)

    with monkeypatch.context() as patch:
        patch.setattr(at, refuse)
        with pytest.raises(OSError, match="labels") as caught:
            WAYS[way](path)
    assert caught.value.errno == code
    for said in (file_error(caught.value), explain(caught.value, safe="")):
        assert said.startswith(f"{path}: {os.strerror(code)}; ")
        assert "place" in said
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["labels.tif"]


def test_what_fails_elsewhere_meanwhile_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not there"), replaced(tmp_path / "a.bin"):
        (tmp_path / "not there").read_bytes()
