"""A checkpoint survives a round trip; what is no checkpoint is refused in words."""

import errno
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save as to_bytes

from spad.checkpoint.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.checkpoint.safetensors_file import (
    load,
    load_origin,
    read_card,
    save,
    save_with_card,
    sha256,
)

CARD = Card(
    name="tiny",
    classes=label_classes(["background", "SRF"]),
    network=NetworkConfig(),
    schedule=ScheduleConfig(),
    input=InputConfig(),
    sampling=SamplingConfig(),
)
SPAD = json.dumps(CARD.as_json())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def weights():
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "b": torch.zeros(0, 2),
        "count": torch.tensor(7),
    }


# Round trip


def test_what_is_saved_is_loaded(path):
    save(path, CARD, weights(), half=False)
    card, tensors = load(path)
    assert card == CARD == read_card(path)
    assert tensors.keys() == weights().keys()
    for name, tensor in weights().items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_what_a_model_was_before_its_first_lesson_is_kept_apart(path):
    save(path, CARD, {"a": torch.ones(2)})
    assert load_origin(path) is None
    save(path, CARD, {"a": torch.ones(2)}, origin={"a": torch.zeros(2)})
    assert load(path)[1]["a"].tolist() == [1, 1]
    assert load_origin(path)["a"].tolist() == [0, 0]
    assert set(load(path)[1]) == set(load_origin(path)) == {"a"}
    assert load_origin(path)["a"].dtype == torch.float32


def test_halves_are_stored_and_float32_comes_back(path):
    save(path, CARD, weights())
    halves = path.stat().st_size
    _, tensors = load(path)
    assert tensors["a.weight"].dtype == torch.float32
    assert torch.equal(tensors["a.weight"], weights()["a.weight"].half().float())
    assert tensors["count"].dtype == torch.int64
    save(path, CARD, weights(), half=False)
    assert path.stat().st_size - halves == 24


def test_the_same_model_gives_the_same_bytes_in_whatever_order(path, tmp_path):
    save(path, CARD, weights())
    save(tmp_path / "other", CARD, dict(reversed(weights().items())))
    assert sha256(path) == sha256(tmp_path / "other")


def test_tied_transposed_and_trained_tensors_are_saved(path):
    tied = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    save(path, CARD, {"a": tied, "b": tied, "c": tied.T})
    _, tensors = load(path)
    assert tensors["c"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert torch.equal(tensors["a"], tensors["b"])


def test_loaded_tensors_are_independent_of_the_file(path):
    save(path, CARD, weights(), half=False)
    _, tensors = load(path)
    content = path.read_bytes()
    with path.open("r+b") as handle:
        handle.write(bytes(len(content)))
    assert torch.equal(tensors["a.weight"], weights()["a.weight"])


def test_a_file_has_one_metadata_entry_with_a_format(path):
    save(path, CARD, weights())
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["spad"]
    assert json.loads(header["__metadata__"]["spad"])["format"] == 1


def test_cards_are_read_without_torch_and_without_safetensors(path):
    save(path, CARD, weights())
    code = (
        "import sys; from spad.checkpoint import read_card; print(read_card(sys.argv[1]).name, "
        "[m for m in ('torch', 'numpy', 'safetensors') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "tiny []"


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("name", ["other.safetensors", "model.safetensors"])
def test_another_card_leaves_the_tensors_as_they_are_to_the_byte(path, half, name):
    save(path, CARD, weights(), half=half)
    before = path.read_bytes()
    tuned = replace(CARD, sampling=SamplingConfig(steps=2, grid="learnt", times=(250, 60)))
    out = path.with_name(name)
    save_with_card(path, tuned, out)
    card, tensors = load(out)
    assert card == tuned
    data = before[8 + int.from_bytes(before[:8], "little") :]
    after = out.read_bytes()
    assert after.endswith(data)
    assert (len(after) - len(data)) % 8 == 0  # as safetensors aligns it
    assert {n: t.shape for n, t in tensors.items()} == {n: t.shape for n, t in weights().items()}
    assert out == path or path.read_bytes() == before
    assert not list(path.parent.glob(".spad-*"))


def test_what_is_no_checkpoint_gets_no_card(path, tmp_path):
    path.write_bytes(b"\x80\x02...............")
    with pytest.raises(ValueError, match="pickle"):
        save_with_card(path, CARD, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_sha256_is_that_of_the_content(path):
    path.write_bytes(b"abc")
    assert sha256(path).startswith("ba7816bf8f01cfea")
    assert len(sha256(path)) == 64


# Loading what cannot be used


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_weights_that_are_not_finite_are_refused(path, dtype, value):
    tensors = {"a": torch.tensor([0, value], dtype=dtype)}
    path.write_bytes(to_bytes(tensors, {"spad": SPAD}))
    assert read_card(path) == CARD
    with pytest.raises(ValueError, match="'a' holds NaN or infinity"):
        load(path)


def test_doubles_beyond_float32_are_refused(path):
    path.write_bytes(to_bytes({"a": torch.tensor([1e300]).double() * 1e300}, {"spad": SPAD}))
    with pytest.raises(ValueError, match="'a' holds NaN or infinity"):
        load(path)


@pytest.mark.parametrize("reader", [read_card, load])
def test_what_is_no_file_is_an_os_error(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=r"no such checkpoint.*absent"):
        reader(tmp_path / "absent")
    with pytest.raises(IsADirectoryError, match="is a folder; give the"):
        reader(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # to open it would block for ever
        with pytest.raises(OSError, match="not a regular file"):
            reader(tmp_path / "pipe")


# Saving


@pytest.mark.parametrize(
    ("value", "half", "remedy"),
    [
        (torch.nan, True, "the training has failed"),
        (torch.inf, False, "the training has failed"),
        (torch.nan, False, "the training has failed"),
        (torch.nan, None, "the training has failed"),
        (1e6, True, "save with half=False: torch.float16 ends at 65504"),
        (1e300, False, r"torch.float32 ends at 3.40282e\+38"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_the_old_file_kept(path, value, half, remedy):
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=f"tensor 'a' holds .*; {remedy}"):
        save(path, CARD, {"a": torch.tensor([value], dtype=torch.float64)}, half=half)
    assert path.read_bytes() == b"old"


def test_large_values_are_stored_without_half(path):
    save(path, CARD, {"a": torch.tensor([1e6])}, half=False)
    assert load(path)[1]["a"].item() == 1e6


def test_each_tensor_is_stored_in_half_where_nothing_is_lost_by_it(path):
    given = weights() | {"short": torch.tensor([0.5, -3.0]), "large": torch.tensor([1e6])}
    save(path, CARD, given, half=None)
    tensors = load(path)[1]
    assert all(tensors[name].equal(tensor) for name, tensor in given.items())
    mixed = path.stat().st_size
    save(path, CARD, given, half=False)
    assert path.stat().st_size - mixed == 4
    with pytest.raises(ValueError, match="holds NaN"):
        save(path, CARD, {"a": torch.tensor([torch.nan])}, half=None)


def test_what_could_not_be_loaded_is_not_saved(path):
    with pytest.raises(ValueError, match="longer than 500"):
        save(path, CARD, {"a" * 501: torch.zeros(1)})
    assert not path.exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    path, monkeypatch, step, failure, raised
):
    def fail(*_):
        assert len(list(path.parent.iterdir())) == 2
        raise failure

    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(raised) as error:
        save(path, CARD, weights())
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    if raised is OSError:
        assert error.value.errno == errno.ENOSPC
        assert error.value.filename == str(path)
        assert "No space left on device" in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits on Windows")
def test_a_disk_that_takes_no_more_is_an_os_error(path):
    import resource

    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="cannot save the checkpoint"):
            save(path, CARD, {"a": torch.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_save_into_a_missing_folder_names_the_path(path):
    with pytest.raises(FileNotFoundError, match=r"cannot save.*absent"):
        save(path.parent / "absent" / "m.safetensors", CARD, weights())


@pytest.mark.skipif(sys.platform == "win32", reason="no modes on Windows")
def test_others_may_read_a_checkpoint_if_the_umask_lets_them(path):
    old = os.umask(0o022)
    try:
        save(path, CARD, weights())
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
