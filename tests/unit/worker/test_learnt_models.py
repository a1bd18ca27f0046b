"""Models that have learnt, on the disk: few stay, and a copy comes with its lessons."""

import os

import pytest

from spad.worker import KEPT, copy_model, lessons_of, new_path, prune, saved_models


def model(folder, name: str, age: int = 0):
    path = folder / f"{name}.safetensors"
    path.write_bytes(name.encode())
    lessons_of(path).write_bytes(b"lessons")
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_a_new_name_is_free_and_a_file_s(tmp_path):
    first = new_path(tmp_path, "mine: a/b")
    first.write_bytes(b"")
    assert first.name.startswith("mine- a-b learnt ")
    assert first.suffix == ".safetensors"
    assert not new_path(tmp_path, "mine: a/b").exists()


def test_the_newest_and_those_in_use_stay(tmp_path):
    paths = [model(tmp_path, f"m{age}", age) for age in range(KEPT + 3)]
    assert saved_models(tmp_path) == paths
    assert prune(tmp_path, [paths[-1]]) == paths[KEPT : KEPT + 2]
    assert [p.exists() for p in paths] == [True] * KEPT + [False, False, True]
    assert not lessons_of(paths[-2]).exists()
    assert lessons_of(paths[-1]).exists()
    assert prune(tmp_path / "nowhere", []) == []


def test_a_copy_comes_with_its_lessons(tmp_path):
    learnt = model(tmp_path, "learnt")
    kept = copy_model(learnt, tmp_path / "models" / "my eye, 2")
    assert kept == tmp_path / "models" / "my eye, 2.safetensors"
    assert kept.read_bytes() == b"learnt"
    assert lessons_of(kept).read_bytes() == b"lessons"
    assert copy_model(kept, kept) == kept
    lessons_of(learnt).unlink()
    assert copy_model(learnt, tmp_path / "other").is_file()
    with pytest.raises(ValueError, match="is gone: press Learn again"):
        copy_model(tmp_path / "none.safetensors", kept)
