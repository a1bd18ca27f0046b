"""`spad doctor`: what a bug report needs, and nothing that names a person."""

from __future__ import annotations

import getpass
import platform
import sys
from pathlib import Path

import pytest
import torch

from spad.__main__ import main
from spad.checkpoint import sha256, shipped
from spad.doctor import examine, nameless, note
from spad.doctor.last_errors import KEPT, last_errors
from spad.doctor.machine import devices


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "Hans Meier"))
    return tmp_path / "Hans Meier"


NAMING = [
    "/home/anna/OCT/Meier, Hans 1950-01-02.png: is 3 pixels wide, an odd number",
    r"C:\Users\anna\OCT of Meier\Meier OD.vol: cannot be read",
    r"\\clinic\share\Meier.e2e: cannot be read",
    "~/OCT/Meier/",
    "Meier OD.png: is odd; choose another",
    "sets/Meier_Hans/scan.tif and 4 more",
    "“Meier OD”: the run was cancelled",
    "no patient is named 'Meier'",
    'the layer "Meier OD" was removed',
    "patient 12345678 was born 1950-01-02",
]


@pytest.mark.parametrize("text", NAMING)
def test_what_may_name_a_person_is_taken_out(text: str) -> None:
    said = nameless(text)
    for name in ("Meier", "Hans", "anna", "12345678", "1950", "clinic"):
        assert name not in said, said


@pytest.mark.parametrize(
    "text",
    [
        "No module named 'pydicom'",
        "device 'cuda:7' is not on this machine; choose among cpu, auto",
        "shape (3, 496, 768) and a share of 1/2",
        "4.5 (Compatibility Profile) Mesa 22.3.6",
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert nameless(text) == text


def test_the_user_and_the_machine_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ameier")
    monkeypatch.setattr(platform, "node", lambda: "OCT-ROOM-7")
    assert nameless("ameier on oct-room-7 failed") == "… on … failed"


def test_the_report_tells_machine_versions_models_and_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "/home/Meier/none.safetensors"]) == 2
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for line in ("system", "Python", "memory", "torch", "numpy", "devices", "napari plugin"):
        assert f"\n{line}" in f"\n{said}"
    for name, path in shipped().items():
        assert f"model {name}" in said
        assert sha256(path)[:16] in said
    assert "FileNotFoundError in spad/checkpoint/safetensors_file.py:" in said
    assert "Meier" not in said
    assert str(Path.home()) not in said
    assert len(said.splitlines()) < 60  # a screen


def test_a_host_adds_what_it_knows_and_a_model_of_ones_own_is_a_hash(tmp_path: Path) -> None:
    own = tmp_path / "Meier.safetensors"
    own.write_bytes(shipped()["oct-phantom"].read_bytes())
    said = examine({"GL version": "4.5 Mesa", "Qt": "PySide6"}, [own])
    assert "GL version" in said
    assert "model of one's own" in said
    assert "Meier" not in said


def test_a_broken_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "PyTorch" in (said := examine())
    assert "does not load: ModuleNotFoundError" in said


def test_the_last_errors_are_kept_for_the_next_process(cache: Path) -> None:
    for number in range(KEPT + 3):
        note(f"error {number}")
    assert [line.split()[-1] for line in last_errors()] == [str(n) for n in range(3, KEPT + 3)]
    assert [path.name for path in cache.iterdir()] == ["last-errors.txt"]


def test_an_error_that_cannot_be_kept_is_no_second_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "file" / "cache"))
    note(ValueError("x"))
    assert last_errors() == []


def test_a_card_that_is_too_old_and_one_that_is_full_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def memory(index: int) -> tuple[int, int]:
        if index:
            raise RuntimeError("CUDA error: out of memory\nmore")
        return 2**30, 2**33

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    for name, value in {
        "is_available": True, "device_count": 2, "get_arch_list": ["sm_75"],
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: (7, 5) if i else (6, 1))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "T4" if i else "GTX 1080")
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    told = dict(devices())
    assert told["devices"].startswith("cuda:1")
    assert told["cuda:0"] == "GTX 1080, 1.0 of 8.0 GiB free"
    assert "not built for cuda:0" in told["cuda:0 is not taken"]
    assert told["cuda:1"] == "T4, its memory cannot be asked for: CUDA error: out of memory"
