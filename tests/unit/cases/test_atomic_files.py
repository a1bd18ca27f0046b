"""Files that are replaced as a whole: whatever they are called, and whatever lies beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spad.cases.atomic_files import (
    file_stem,
    parsed_json,
    read_json,
    refuse_long_names,
    replaced,
    replaced_together,
    set_aside,
    write_bytes,
    write_json,
)
from spad.metrics.score_csv import write_text

LONG = "é" * 120 + "x" * 11 + ".tif"
"""255 bytes, the most that file systems take."""


def write_replaced(path: Path, data: bytes) -> None:
    with replaced(path) as file:
        assert file.suffix == path.suffix
        file.write_bytes(data)


WRITERS = {
    "write_bytes": write_bytes,
    "replaced": write_replaced,
    "write_text": lambda path, data: write_text(path, data.decode()),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_the_longest_name_that_the_folder_takes_is_written(tmp_path: Path, write):
    assert len(os.fsencode(LONG)) == 255
    write(tmp_path / LONG, b"new")
    assert (tmp_path / LONG).read_bytes().endswith(b"new")
    assert [p.name for p in tmp_path.iterdir()] == [LONG]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_no_link_that_lies_beside_is_followed(tmp_path: Path, write):
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    path = tmp_path / "a.csv"
    for name in (".a.csv.tmp", f".a.csv.{os.getpid()}", f".scores.{os.getpid()}"):
        (tmp_path / name).symlink_to(precious)
    write(path, b"new")
    assert precious.read_bytes() == b"mine"
    assert path.read_bytes().endswith(b"new")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spad.cases.atomic_files.os.replace", full)
    for write in (write_bytes, write_replaced):
        with pytest.raises(OSError, match="No space"):
            write(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.json", b"old")]


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path):
    old, new, last = (tmp_path / name for name in ("old.png", "new.tif", "last.json"))
    old.write_bytes(b"old")

    def write_three(data: bytes, fault: type[BaseException] | None = None) -> None:
        with replaced_together(old, new, last) as besides:
            assert [b.suffix for b in besides] == [".png", ".tif", ".json"]
            for beside in besides:
                beside.write_bytes(data)
            if fault:
                raise fault

    for fault in (OSError, KeyboardInterrupt):
        with pytest.raises(fault):
            write_three(b"new", fault)
        assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("old.png", b"old")]
    last.mkdir()  # which no file replaces
    with pytest.raises(OSError, match=r"last\.json"):
        write_three(b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.json", "old.png"]
    assert old.read_bytes() == b"old"
    last.rmdir()
    write_three(b"newer")
    assert [p.read_bytes() for p in (old, new, last)] == [b"newer"] * 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_that_is_too_long_is_refused_in_words(tmp_path: Path):
    refuse_long_names(tmp_path / LONG, tmp_path / "not yet" / LONG)
    with pytest.raises(ValueError, match=r"257 bytes, and .* takes 255: shorten the name by 2"):
        refuse_long_names(tmp_path / f"{LONG}xx")


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 5000, "9" * 5000, b"\xff\xfe{"])
def test_json_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parsed_json(text)


def test_what_is_set_aside_covers_nothing_set_aside_before(tmp_path: Path):
    for number in (1, 2):
        (tmp_path / "a.json").write_text(f"bad {number}")
        assert set_aside(tmp_path / "a.json").read_text() == f"bad {number}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.damaged-1.json", "a.damaged-2.json"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_as_windows_editors_save_it(tmp_path: Path, encoding: str):
    (tmp_path / "a.json").write_text('{"ä": 1}', encoding)
    assert read_json(tmp_path / "a.json") == {"ä": 1}


def test_a_key_given_twice_is_refused(tmp_path: Path):
    (tmp_path / "labels.json").write_text('{"0": "background", "1": "SRF", "1": "PED"}')
    with pytest.raises(ValueError, match=r"labels\.json: .*the key '1' is given twice"):
        read_json(tmp_path / "labels.json")


def test_a_name_that_is_no_utf_8_comes_back(tmp_path: Path):
    name = os.fsdecode(b"eye \xff")
    write_json(tmp_path / "a.json", {"image": name, "who": "ä"})
    assert read_json(tmp_path / "a.json") == {"image": name, "who": "ä"}
    assert file_stem(name, "image") == "eye"
