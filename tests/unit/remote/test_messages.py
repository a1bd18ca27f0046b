"""The wire: what is damaged is refused, and what follows it is still understood."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zlib

import numpy as np
import pytest

from spad.remote import Address, choose, chosen, is_server, messages, server_of
from spad.remote.messages import receive, relay, send


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_come_back_and_are_handed_on_as_they_are(compress):
    noise = np.random.default_rng(0).integers(0, 255, (3, 700, 900), dtype=np.uint8)
    arrays = [noise, np.zeros((1500, 1000), np.uint16), np.ones((2, 0), bool), np.float16([1.5])]
    pipe = io.BytesIO()
    send(pipe, {"kind": "x"}, arrays, compress=compress)
    send(pipe, {"kind": "y"})
    whole = pipe.getvalue()
    assert (len(whole) < 2_000_000) == compress
    pipe.seek(0)
    content, back = receive(pipe)
    assert content == {"kind": "x"}
    for a, b in zip(arrays, back, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    pieces = []
    pipe.seek(0)
    assert relay(pipe, pieces.append)["kind"] == "x"
    assert relay(pipe, pieces.append)["kind"] == "y"
    assert b"".join(pieces) == whole


def _message(shape, *blocks):
    body = b"".join(blocks)
    return json.dumps({"kind": "x", "arrays": [["|u1", shape]]}).encode() + b"\n" + body + bytes(4)


def _block(raw, packed=False):
    return (len(raw) | (2**31 if packed else 0)).to_bytes(4, "big") + raw


BOMB = zlib.compress(bytes(2**22))


@pytest.mark.parametrize(
    "damaged",
    [
        _message([5], _block(b"1234")),
        _message([3], _block(b"1234")),
        _message([4], _block(b"no zlib", packed=True)),
        _message([2**22], _block(BOMB, packed=True)),
    ],
)
def test_a_damaged_message_is_refused_and_the_next_one_understood(damaged):
    pipe = io.BytesIO(damaged + _message([1], _block(b"7")))
    with pytest.raises(ValueError, match="a message is damaged"):
        receive(pipe)
    assert receive(pipe)[1][0].tolist() == [55]


@pytest.mark.parametrize("kind", ["O", "|O", "<U9", "<M8", "u1,u1", "<f16", "|V8"])
def test_what_is_no_number_is_no_array(kind):
    with pytest.raises(ValueError, match="real numbers"):
        messages.parsed_header(json.dumps({"arrays": [[kind, [2]]]}).encode())
    for wrong in (b"x", b"[]", b"{}", b'{"arrays": 3}', b'{"arrays": [["<u2", [-1]]]}'):
        with pytest.raises(ValueError, match="message"):
            messages.parsed_header(wrong)


def test_an_address_is_told_apart_from_what_is_none_and_hides_its_token():
    assert Address.of("gpu.clinic", "t").url == "https://gpu.clinic:8750"
    assert Address.of("localhost:99").url == "http://localhost:99"
    assert Address.of("https://[::1]:80/ ").url == "https://[::1]:80"
    assert "secret" not in repr(Address.of("gpu", "secret"))
    for wrong in ("", "ftp://x", "https://", "https://u@x", "https://x/path", "https://x:port"):
        with pytest.raises(ValueError, match="no address of a server"):
            Address.of(wrong, "")
    with pytest.raises(ValueError, match="the token holds"):
        Address.of("x", "two words")


def test_the_server_that_is_chosen_is_a_device():
    choose("localhost", "abc")
    assert chosen() == Address("http://localhost:8750", "abc")
    assert server_of("server") == ("http://localhost:8750", "abc")
    assert server_of("cpu") is None
    assert [is_server(d) for d in ("server", "https://x", "cpu", "auto")] == [1, 1, 0, 0]


def test_a_desk_that_asks_a_server_loads_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; import spad.remote.by_device, spad.annotation, "
        "spad.worker.process, spad.worker.serve; from spad.inference import Engine; "
        "engine = Engine.spad(); "
        "assert engine.devices() == []; card = engine.read_card(engine.shipped()['oct-phantom']); "
        "import numpy; spad.annotation.LikenessWatch(card, None).look(numpy.eye(99), 1)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
