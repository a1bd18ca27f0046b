"""A name becomes a file in one place: shipped, in the folders of a site, in the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import spad
from spad.checkpoint import by_name, installed, model_folders, model_path, shipped


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The package's models, two folders of a site, the user's cache; the last three are absent."""
    found = {name: tmp_path / name for name in ("package", "one", "two", "cache")}
    monkeypatch.setattr(by_name, "__file__", str(found["package"] / "by_name.py"))
    monkeypatch.setenv("SPAD_MODELS", os.pathsep.join([str(found["one"]), "", str(found["two"])]))
    monkeypatch.setenv("SPAD_CACHE", str(found["cache"]))
    return found


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_the_shipped_models_are_the_packages_own(folders: dict[str, Path]) -> None:
    assert shipped() == installed() == {}
    models = folders["package"] / "models"
    touch(models, "b.safetensors", "a.safetensors", ".spad-1.tmp", "README.md")
    assert list(shipped().items()) == [(n, models / f"{n}.safetensors") for n in "ab"]


def test_the_first_place_that_has_a_name_counts(folders: dict[str, Path]) -> None:
    places = [folders["package"] / "models", folders["one"], folders["two"]]
    touch(places[0], "a.safetensors")
    touch(places[1], "a.safetensors", "b.safetensors")
    touch(places[2], "b.safetensors", "c.safetensors", "d.safetensors.part")
    touch(folders["cache"] / "models", "c.safetensors", "e.safetensors")
    where = {"a": places[0], "b": places[1], "c": places[2], "e": model_folders()[-1]}
    assert installed() == {n: folder / f"{n}.safetensors" for n, folder in where.items()}
    assert set(shipped()) == {"a"}


def test_a_name_goes_before_a_file_and_a_path_is_a_path(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    touch(folders["one"], "a.safetensors")
    touch(tmp_path / "here" / "a", "x.txt")
    monkeypatch.chdir(tmp_path / "here")
    assert model_path("a") == folders["one"] / "a.safetensors"
    assert model_path("./a/b") == model_path(Path("a/b")) == Path("a/b")
    with pytest.raises(ValueError, match="no such file and no such model; did you mean a"):
        model_path("aa")
    with pytest.raises(ValueError, match="there are: a"):
        spad.load("elsewhere", device="cpu")
