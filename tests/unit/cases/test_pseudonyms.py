"""A patient's pseudonym is the same on one machine, another one elsewhere, and tells nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spad.cases.pseudonyms import pseudonym


def test_a_pseudonym_lasts_with_its_key_and_differs_with_another(tmp_path: Path):
    here, there = tmp_path / "made when needed", tmp_path / "there"
    first = pseudonym("Doe^John", "1234", folder=here)
    assert first == pseudonym(" doe^john ", folder=here)
    assert first != pseudonym("1234", folder=here)
    assert first != pseudonym("Doe^John", folder=there)
    assert "doe" not in first.casefold()
    assert [file.name for file in here.iterdir()] == ["pseudonym.key"]


def test_the_first_identifier_that_says_anything_is_used(tmp_path: Path):
    assert pseudonym("", "Unknown", "77", folder=tmp_path) == pseudonym("77", folder=tmp_path)


@pytest.mark.parametrize("said", [(), ("", "  "), ("anonymous", "0")])
def test_who_is_not_named_has_no_pseudonym_and_needs_no_key(tmp_path: Path, said):
    assert pseudonym(*said, folder=tmp_path) is None
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_nobody_else_on_the_machine_reads_the_key(tmp_path: Path):
    pseudonym("1234", folder=tmp_path)
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o077 == 0


def test_a_broken_key_is_refused_in_words(tmp_path: Path):
    (tmp_path / "pseudonym.key").write_bytes(b"short")
    with pytest.raises(ValueError, match="has 5 bytes instead of 32; restore it from a copy"):
        pseudonym("1234", folder=tmp_path)
