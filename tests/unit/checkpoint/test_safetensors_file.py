"""A checkpoint survives a round trip; what is no checkpoint is refused in words."""

import errno
import io
import json
import os
import pickle
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save as to_bytes

from spad import checkpoint
from spad.checkpoint.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.checkpoint.safetensors_file import load, read_card, save, save_with_card, sha256, shipped

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


def build(header, data=b""):
    """A safetensors file from its header (bytes, or an object for JSON) and its data."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + data


def with_entries(data=None, spad=SPAD, **entries):
    """A file that is sound but for its entries; 8 bytes of data if there are tensors."""
    data = b"\0" * 8 * bool(entries) if data is None else data
    return build({"__metadata__": {"spad": spad}, **entries}, data)


def f32(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def torch_zip():
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer)
    return buffer.getvalue()


# Round trip


def test_what_is_saved_is_loaded(path):
    save(path, CARD, weights(), half=False)
    card, tensors = load(path)
    assert card == CARD == read_card(path)
    assert tensors.keys() == weights().keys()
    for name, tensor in weights().items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


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


def test_the_header_may_list_tensors_in_any_order(path):
    data = torch.tensor([1.0, 2.0]).numpy().tobytes()
    path.write_bytes(with_entries(data, second=f32([1], 4, 8), first=f32([1], 0, 4)))
    assert {k: v.item() for k, v in load(path)[1].items()} == {"first": 1, "second": 2}


def test_a_file_has_one_metadata_entry_with_a_format(path):
    save(path, CARD, weights())
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["spad"]
    assert json.loads(header["__metadata__"]["spad"])["format"] == 1


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(path):
    # 0x480 is stored as the bytes 80 04, with which a pickle of protocol 4 begins.
    header = json.dumps({"__metadata__": {"spad": SPAD}}).encode().ljust(0x480)
    path.write_bytes(build(header))
    assert path.read_bytes()[:2] == pickle.dumps(None, 4)[:2]
    assert read_card(path) == CARD


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


def test_shipped_checkpoints_are_found_by_name_and_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "__file__", str(tmp_path / "checkpoint.py"))
    assert shipped() == {}
    models = tmp_path / "models"
    models.mkdir()
    for name in ("b.safetensors", "a.safetensors", ".spad-1.tmp", "README.md"):
        (models / name).touch()
    assert list(shipped().items()) == [(n, models / f"{n}.safetensors") for n in "ab"]


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


# Files from anywhere


A = f32([2], 0, 8)
HOSTILE = {
    "empty": (b"", "is empty"),
    "seven bytes": (b"1234567", "7 bytes"),
    "zip of torch.save": (torch_zip(), "is a PyTorch pickle.*can run code"),
    "pickle": (pickle.dumps({"a": [1.0]}, 2), "is a PyTorch pickle.*can run code"),
    "short pickle": (pickle.dumps(None, 5), "is a PyTorch pickle"),
    "random": (bytes(range(100, 200)), "is not a safetensors file"),
    "text": (b"Not Found, said the server", "is not a safetensors file"),
    "huge header": ((2**62).to_bytes(8, "little") + b"{}", "4611686018427387904 bytes, the limit"),
    "header cut": (with_entries()[:300], "is truncated: 300 bytes"),
    "data cut": (with_entries(b"\0" * 7, a=A), "truncated or damaged"),
    "data left over": (with_entries(b"\0" * 9, a=A), "end at byte 8 of the data, the file at 9"),
    "gap": (with_entries(a=f32([1], 4, 8)), "gap at byte 0"),
    "overlap": (with_entries(a=A, b=f32([1], 4, 8)), "overlap or leave a gap at byte 8"),
    "foreign": (to_bytes({"a": torch.zeros(2)}), "without the metadata entry 'spad'"),
    "foreign metadata": (to_bytes({"a": torch.zeros(2)}, {"format": "pt"}), "entry 'spad'"),
    "two entries": (build({"__metadata__": {"spad": SPAD, "x": ""}}), "has 2 metadata entries"),
    "metadata a list": (build({"__metadata__": ["spad"]}), "without the metadata entry"),
    "entry an object": (with_entries(spad={"format": 1}), "without the metadata entry"),
    "header a list": (build([1]), "is not a JSON object"),
    "header not UTF-8": (build(b'{"\xff": 1}'), "not readable"),
    "header UTF-16": (build("{}".encode("utf-16")), "not readable"),
    "header not JSON": (build(b"{,}"), "not readable"),
    "header deep": (build(b'{"a":' * 200_000), "nested too deep"),
    "header deep list": (build(b"[" * 200_000), "nested too deep"),
    "header huge integer": (build(b'{"a":' + b"9" * 5000 + b"}"), "not readable"),
    "header NaN": (build(b'{"a":NaN}'), "NaN is not JSON"),
    "key twice": (build(b'{"a":1,"a":2}'), "given twice"),
    "huge key": (build({"k" * 501: 1}), "longer than 500"),
    "too many tensors": (
        with_entries(b"", **{f"t{i}": f32([0], 0, 0) for i in range(10_001)}),
        "10001 tensors",
    ),
    "card not JSON": (with_entries(spad="format: 1"), "the card is not readable"),
    "card a list": (with_entries(spad="[]"), "the card is not a JSON object"),
    "card empty": (with_entries(spad="{}"), "format None"),
    "card deep": (with_entries(spad="[" * 100_000), "nested too deep"),
    "card with a key twice": (with_entries(spad='{"format":1,"format":2}'), "given twice"),
    "card of the future": (with_entries(spad='{"format": 2}'), "newer SPAD.*update"),
    "card of another type": (with_entries(spad='{"format": "1"}'), "not a positive integer"),
    "card wrong": (with_entries(spad=SPAD.replace("250", "0")), "steps is 0; allowed"),
}
BAD_ENTRIES = {
    "not an object": 3,
    "nothing": {},
    "a key too many": A | {"x": 1},
    "unknown type": f32([2], 0, 8, "F7"),
    "type a list": f32([2], 0, 8, ["F32"]),
    "too short": f32([3], 0, 8),
    "backwards": f32([2], 8, 0),
    "negative": f32([-2], 0, -8),
    "beyond the file": f32([2**61], 0, 2**63),
    "booleans": f32([True, 2], 0, 8),
    "floats": f32([2.0], 0, 8),
    "dimensions in an object": f32({}, 0, 4),
    "dimensions in a text": f32("2", 0, 8),
    "nine dimensions": f32([1] * 8 + [2], 0, 8),
    "one offset": A | {"data_offsets": [0]},
}
HOSTILE |= {
    f"tensor: {name}": (with_entries(a=entry), "tensor 'a' has an unknown type, or shape")
    for name, entry in BAD_ENTRIES.items()
}


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("reader", [read_card, load])
def test_a_file_that_is_no_checkpoint_is_refused_in_words(path, reader, content, words):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as refusal:
        reader(path)
    assert str(refusal.value).startswith(str(path))
    assert len(str(refusal.value)) < len(str(path)) + 400


def test_more_data_than_the_limit_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_MAX_DATA", 7)
    path.write_bytes(with_entries(a=A))
    with pytest.raises(ValueError, match="1 tensors in 8 bytes; allowed are 10000 in 7"):
        read_card(path)


def test_a_file_cut_anywhere_is_refused(path):
    save(path, CARD, weights())
    content = path.read_bytes()
    for length in {*range(12), *range(12, len(content), 97), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"empty|truncated"):
            load(path)


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
    ("value", "half"), [(torch.nan, True), (torch.inf, False), (1e6, True), (torch.nan, False)]
)
def test_what_cannot_be_stored_is_refused_and_the_old_file_kept(path, value, half):
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"tensor 'a' holds.*half=False"):
        save(path, CARD, {"a": torch.tensor([value])}, half=half)
    assert path.read_bytes() == b"old"


def test_large_values_are_stored_without_half(path):
    save(path, CARD, {"a": torch.tensor([1e6])}, half=False)
    assert load(path)[1]["a"].item() == 1e6


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
