"""A file that cannot be written is named, by the name that the person knows, with what to do."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spad.cases import file_error
from spad.cases.atomic_files import replaced, write_bytes, write_json
from spad.inference import explain

ROOT = Path(__file__).parents[3]
PACKAGES = ("training/spad", "napari_spad", "slicer_module/SPAD/SPADLib")
NO_FILES = {
    "cohort/workers.py": "a scheduler that does not answer",
    "models/manifest.py": "a line that breaks off",
    "serving/model_shelf.py": "the file's place is the server's own, and taken out",
    "imports/duke.py": "what MATLAB's reader says, to which the file's name is added",
    "loop/pretrained_encoder.py": "a line that breaks off",
    "install/install.py": "what pip says, which is put into words",
    "read/volume_files.py": "read before the engine is installed, which has the words",
}
"""Where the system's error is told by its own words, and of what it is."""


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


def test_without_a_name_it_is_said_in_words_too() -> None:
    said = file_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert said == "No space left on device; free some space there, or choose another place"
    own = OSError(errno.ENOSPC, "No space left on device; name another folder", "out")
    assert file_error(own) == "out: No space left on device; name another folder"
    assert file_error(ValueError("own words, own remedy")) == "own words, own remedy"
    assert file_error(MemoryError()) == "MemoryError"


def test_nobody_tells_the_number_of_the_systems_error() -> None:
    # `str(error)` is "[Errno 28] No space left on device: '...'"; `file_error` has the sentence.
    files = [path for one in PACKAGES for path in (ROOT / one).rglob("*.py")]
    found = {f"{path.parent.name}/{path.name}" for path in files if tells_it_bare(path)}
    assert found == NO_FILES.keys()


def tells_it_bare(path: Path) -> bool:
    """Whether what is caught as an `OSError` is put into a text, or made one, as it is."""
    for caught in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(caught, ast.ExceptHandler) or caught.type is None:
            continue
        if not any(getattr(one, "id", "") == "OSError" for one in ast.walk(caught.type)):
            continue
        for node in ast.walk(caught):
            made = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "str"
            inside = node.args[:1] if made else [getattr(node, "value", None)]
            if (made or isinstance(node, ast.FormattedValue)) and any(
                getattr(one, "id", "") == caught.name for one in inside
            ):
                return True
    return False
