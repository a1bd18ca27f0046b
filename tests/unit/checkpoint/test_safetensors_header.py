"""A file from anywhere is understood, or refused in words."""

import io
import json
import pickle

import pytest
import torch
from safetensors.torch import save as to_bytes

from spad.checkpoint import safetensors_header
from spad.checkpoint.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.checkpoint.safetensors_file import load, read_card, save

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


def test_the_header_may_list_tensors_in_any_order(path):
    data = torch.tensor([1.0, 2.0]).numpy().tobytes()
    path.write_bytes(with_entries(data, second=f32([1], 4, 8), first=f32([1], 0, 4)))
    assert {k: v.item() for k, v in load(path)[1].items()} == {"first": 1, "second": 2}


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(path):
    # 0x480 is stored as the bytes 80 04, with which a pickle of protocol 4 begins.
    header = json.dumps({"__metadata__": {"spad": SPAD}}).encode().ljust(0x480)
    path.write_bytes(build(header))
    assert path.read_bytes()[:2] == pickle.dumps(None, 4)[:2]
    assert read_card(path) == CARD


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
    monkeypatch.setattr(safetensors_header, "_MAX_DATA", 7)
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
