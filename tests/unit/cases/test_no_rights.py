"""Files of another user: each of them costs a sentence, and nothing that is there.

Root may read and write everything; so the trials are made by a process of root that has given that
right up, in folders that belong to somebody else.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

DROP = 24  # PR_CAPBSET_DROP of <sys/prctl.h>
RIGHTS = (0, 1, 2, 3)  # of <linux/capability.h>: to change owners, pass over permissions, both ways
NOBODY = 65534

TRIALS = {
    "records": """
        from spad.annotation import Entry, ReviewBook
        book = ReviewBook(alien / "state" / "reviews.json")
        book.mark("abc", Entry("accepted", 1))
        try:
            book.save()
        finally:
            assert book.unsaved
    """,
    "autosave": """
        from spad.autosave import Session
        Session(alien / "autosave").begin()
    """,
    "case folder": """
        from spad.cases import open_folder
        open_folder(alien / "cases")
    """,
    "labels.json": """
        from spad.cases import CaseError, open_folder
        raise CaseError([one for one in open_folder(mine).problems if "labels.json" in one])
    """,
    "export": """
        from spad.cases import write_json
        write_json(read_only / "a.spad.json", {})
    """,
    "results": """
        from spad.cases import make_writable
        make_writable(read_only)
    """,
    "results, by the command": """
        from spad.commands.segment import segment_files
        segment_files(None, [mine / "images"], read_only)  # before any model is asked
    """,
    "image": """
        from spad.pictures import read_scan
        read_scan(mine / "images" / "a.png")
    """,
    "model": """
        from spad.checkpoint import read_card
        read_card(alien / "model.safetensors")
    """,
    "models": """
        from spad.models import listed
        found = listed()
        assert found
        from spad.models import known_entries
        raise ValueError("; ".join(known_entries()[1]))
    """,
}


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Folders that belong to nobody; one of ours, in which two files do."""
    for folder in ("alien/state", "alien/autosave", "alien/cases", "mine/images", "mine/masks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "read_only").mkdir()
    for file in ("alien/model.safetensors", "mine/images/a.png", "mine/labels.json"):
        (tmp_path / file).write_bytes(b"theirs")
    for path in (tmp_path / "alien", tmp_path / "mine/images/a.png", tmp_path / "mine/labels.json"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for path in (*(tmp_path / "alien").rglob("*"), tmp_path / "alien", tmp_path / "read_only"):
        os.chown(path, NOBODY, NOBODY)
    for path in (tmp_path / "mine/images/a.png", tmp_path / "mine/labels.json"):
        os.chown(path, NOBODY, NOBODY)
    return tmp_path


def without_rights() -> None:
    """Give up what lets root pass over permissions, for the program that is started next."""
    prctl = ctypes.CDLL(None).prctl
    for right in RIGHTS:
        prctl(DROP, right, 0, 0, 0)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0,
    reason="only root can make another user's files",
)
def test_what_belongs_to_another_user_costs_a_sentence_and_nothing_else(others: Path) -> None:
    before = {p: p.read_bytes() for p in others.rglob("*") if p.is_file()}
    lines = [f"{name} = Path({str(others / name)!r})" for name in ("alien", "mine", "read_only")]
    trials = [
        f"def trial_{at}():{text}\ntell({name!r}, trial_{at})\n"
        for at, (name, text) in enumerate(TRIALS.items())
    ]
    code = "\n".join(["from pathlib import Path", *lines, TELL, *trials])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, timeout=120, preexec_fn=without_rights,
        env=os.environ | {"SPAD_MODELS": str(others / "alien")},
    )  # fmt: skip
    said = dict(line.split("\t") for line in done.stdout.splitlines())
    assert said.keys() == TRIALS.keys(), done.stderr
    for name, text in said.items():
        assert "permission" in text.lower(), (name, text)
        assert "Errno" not in text, (name, text)
        assert str(others) in text, (name, text)
    assert {p: p.read_bytes() for p in others.rglob("*") if p.is_file()} == before


TELL = """
def tell(name, trial):
    from spad.cases import file_error
    try:
        trial()
    except (ValueError, OSError) as error:
        print(name, " ".join(file_error(error).split()), sep="\\t")
    else:
        print(name, "nothing was said", sep="\\t")
"""
