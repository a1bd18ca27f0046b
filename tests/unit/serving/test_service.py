"""What a server refuses, in words; whose turn it is; what it keeps, and what it tells of itself."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from spad.__main__ import main
from spad.inference import ServerError
from spad.remote import connect, http_line, segmenter
from spad.serving import Limits, Tokens
from spad.serving.fair_queue import FairQueue
from spad.serving.limits import Refused
from spad.serving.model_shelf import Shelf
from spad.serving.runs import Run

ONE, OTHER = "a-token-of-one-desk", "a-token-of-another"
SHAPE = (32, 48)


def first_error(run):
    with pytest.raises(ServerError) as error:
        for _ in run:
            pass
    return str(error.value)


def until(found):
    deadline = time.monotonic() + 10
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(serving, path, method="GET", token=ONE, data=None, **headers):
    request = urllib.request.Request(  # noqa: S310
        serving.url + path, data, {"Authorization": f"Bearer {token}", **headers}, method=method
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_wrong_token_and_none_are_refused(idle, monkeypatch):
    serving = idle()
    for token in ("wrong", "", ONE + "x", ONE[:-1]):
        with pytest.raises(ServerError, match="does not know this token"):
            connect(serving.url, token)
    monkeypatch.setenv("SPAD_TOKEN", OTHER)
    assert list(connect(serving.url)) == ["tiny"]
    assert ask(serving, "/metrics", "GET", "wrong")[0] == 401
    assert ask(serving, "/health", "GET", "wrong")[0] == 503  # whoever may ask; no device lives


def test_another_protocol_is_refused_another_version_is_told(idle, bscan, monkeypatch):
    serving = idle()
    hello = serving.service.hello
    monkeypatch.setattr(serving.service, "hello", lambda: {**hello(), "engine": "9.9"})
    run = connect(serving.url, ONE)["tiny"].steps(bscan(SHAPE))
    assert "the server runs SPAD 9.9, this is" in next(run).said
    run.close()
    monkeypatch.setattr(serving.service, "hello", lambda: {**hello(), "protocol": 2})
    with pytest.raises(ServerError, match=r"speaks protocol 2; .* update the older"):
        connect(serving.url, ONE)
    status, text = ask(serving, "/v1/runs", "POST", data=b'{"protocol": 0, "engine": "0.0"}')
    assert status == 400
    assert "the desk has SPAD 0.0 with protocol 0" in json.loads(text)["text"]
    for wrong in (b"", b"[]", b"{" * 9000, b'{"protocol": 1, "kind": "open"}'):
        assert ask(serving, "/v1/runs", "POST", data=wrong)[0] == 400
    assert ask(serving, "/v1/runs", "POST", data=b" " * (2**22 + 1))[0] == 413


def test_too_much_at_once_is_refused_with_the_limit(idle, bscan):
    model = connect(idle(request_mb=0.001).url, ONE)["tiny"]
    assert "sends 0 MB, this server takes 0" in first_error(model.steps(bscan(SHAPE)))
    serving = idle(waiting_each=1, waiting=2)
    one, other = (connect(serving.url, token)["tiny"] for token in (ONE, OTHER))
    runs = [one.steps(bscan(SHAPE)), other.steps(bscan(SHAPE))]
    for count, run in enumerate(runs, 1):
        while len(serving.service.queue) < count:
            next(run)
    assert "1 runs of this token wait already, and 1 may" in first_error(one.steps(bscan(SHAPE)))
    serving.service.limits = serving.service.queue._limits = Limits(waiting=2)
    assert "queue is full with 2 runs" in first_error(one.steps(bscan(SHAPE)))
    for run in runs:
        run.close()
    until(lambda: not serving.service._runs)
    assert len(serving.service.queue) == 0


def test_a_queue_is_told_of(idle, bscan):
    serving = idle()
    run = connect(serving.url, ONE)["tiny"].steps(bscan(SHAPE))
    said = ""
    while not said:
        said = next(run).said
    assert said.startswith("waiting in the server's queue: 0 runs come before")
    run.close()


def test_each_token_has_its_turn():
    queue = FairQueue(Limits())
    runs = [Run(owner, {"n": n}, 0) for n, owner in enumerate((1, 1, 1, 2, 2, 3))]
    for run in runs:
        queue.put(run)
    queue.drop(runs[1])
    order = [queue.take(0) for _ in range(5)]
    assert [run.content["n"] for run in order] == [0, 3, 5, 2, 4]
    assert queue.take(0) is None


def test_a_run_is_its_token_s_and_forgotten_where_nobody_listens(idle, bscan):
    serving = idle(linger_s=0.5)
    header = {
        "protocol": 1, "kind": "segment", "arrays": [["|u1", [2]]],
        "model": serving.service.shelf.own[0].sha256,
    }  # fmt: skip
    status, text = ask(serving, "/v1/runs", "POST", data=json.dumps(header).encode())
    assert status == 201
    path = f"/v1/runs/{json.loads(text)['id']}"
    assert ask(serving, path, token=OTHER)[0] == 404
    assert ask(serving, path, "PUT", data=b"\0\0\0\2ab")[0] == 400  # cut
    assert ask(serving, path, "PUT", data=b"a" * 2_000_000)[0] == 413
    assert ask(serving, path, "PUT", data=b"\0\0\0\2ab\0\0\0\0")[0] == 200
    (run,) = serving.service._runs.values()
    assert ask(serving, path, Range="bytes=999-")[0] == 416
    until(lambda: run.cancelled)
    assert run.body.closed
    assert "it does not know this run any more" in ask(serving, path)[1].decode()


def test_what_was_answered_is_read_again_from_any_byte(idle):
    serving = idle()
    run = Run(1, {}, 0)
    serving.service._runs[run.id] = run
    run.tell("waiting", text="soon")
    threading.Timer(0.2, lambda: run.fail("broken")).start()
    whole = ask(serving, f"/v1/runs/{run.id}")[1]
    assert [json.loads(line)["kind"] for line in whole.splitlines()] == ["waiting", "failed"]
    status, rest = ask(serving, f"/v1/runs/{run.id}", Range="bytes=7-")
    assert (status, rest) == (206, whole[7:])
    assert run.body.closed
    assert ask(serving, f"/v1/runs/{run.id}", "DELETE")[0] == 200
    assert b'spad_runs_total{outcome="failed"} 1' in ask(serving, "/metrics")[1]


def test_a_model_is_taken_as_what_its_hash_says_and_only_so_large(idle, checkpoint):
    content = checkpoint.read_bytes()
    hash_ = hashlib.sha256(content).hexdigest()
    serving = idle(models=1)

    def put(data, hash_):
        return ask(serving, f"/v1/models/{hash_}", "PUT", data=data)

    assert put(content[:-1], hash_)[0] == 400
    assert b"has not come as it was sent" in put(content[:-1], hash_)[1]
    wrong = b"no model"
    assert b"no model of SPAD (it" in put(wrong, hashlib.sha256(wrong).hexdigest())[1]
    assert put(content, hash_)[0] == 200
    shelf = serving.service.shelf
    assert list(shelf._sent) == [hash_]
    assert b"takes no models" in ask(idle(model_mb=0), f"/v1/models/{hash_}", "PUT", data=b"1")[1]
    serving.stop()
    assert not os.path.exists(shelf._folder.name)


def test_a_model_whose_file_was_replaced_is_offered_no_more(idle, checkpoint, tmp_path):
    """Its hash and card are those of the start: other weights must not answer under them."""
    file = tmp_path / "other.safetensors"
    content = checkpoint.read_bytes()
    file.write_bytes(content)
    serving, hash_ = idle(), hashlib.sha256(content).hexdigest()
    serving.service.shelf = shelf = Shelf({"tiny": checkpoint, "other": file}, Limits())
    shelf.own.reverse()
    for change in (lambda: file.write_bytes(b"another model"), file.unlink):
        change()
        status, said = ask(serving, "/v1/hello")
        assert status == 200
        assert [one["name"] for one in json.loads(said)["models"]] == ["tiny"]
        assert shelf.path(hash_) == checkpoint  # which holds the same
    shelf.own.pop()
    with pytest.raises(Refused, match="its file of “other” was removed or replaced since"):
        shelf.path(hash_)
    shelf.take(hash_, content)  # a desk that has it sends it
    assert shelf.path(hash_).read_bytes() == content


def test_tokens_are_read_and_weak_or_open_ones_refused(tmp_path, monkeypatch):
    file = tmp_path / "tokens"
    file.write_text(f"{ONE}  # the desk at the window\n\n{OTHER}\n")
    file.chmod(0o600)
    tokens = Tokens.read(file)
    assert [tokens.owner(t) for t in (ONE, OTHER, "", "ä")] == [1, 2, None, None]
    monkeypatch.setenv("SPAD_TOKEN", "")
    assert Tokens.read(None).owner("anything") == 0
    for wrong in ("short", f"{ONE}\n{ONE}", "# none"):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=r"16|twice|no token"):
            Tokens.read(file)
    if os.name != "nt":
        file.chmod(0o644)
        with pytest.raises(ValueError, match="chmod 600"):
            Tokens.read(file)


def test_the_verb_refuses_to_stand_open(capsys, monkeypatch):
    monkeypatch.delenv("SPAD_TOKEN", raising=False)
    assert main(["serve", "--host", "0.0.0.0"]) == 2  # noqa: S104
    assert "lets other machines in, and no token is set" in capsys.readouterr().err
    assert main(["serve", "--certificate", "x.pem"]) == 2
    assert "belong together" in capsys.readouterr().err


def test_what_cannot_be_listened_at_is_named_before_models_are_opened(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr("spad.serving.service.Service.__init__", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"--host 127.0.0.1 --port {port}: " in said
    assert "choose another port" in said
    gone = str(tmp_path / "gone.pem")
    assert main(["serve", "--port", str(port), "--certificate", gone, "--key", gone]) == 2
    assert f"{gone}: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("words", [
    "--port 0", "--port -1", "--port 65536", "--port 99999999", "--waiting -1", "--waiting 0",
    "--waiting-each 0", "--minutes -5", "--minutes 0", "--minutes nan", "--minutes inf",
    "--request-mb 0", "--request-mb nan", "--model-mb -1", "--linger-s -1", "--linger-s nan",
])  # fmt: skip
def test_numbers_with_which_nobody_would_be_served_are_refused(capsys, monkeypatch, words):
    def started(*_: object, **__: object) -> None:
        raise AssertionError(words)

    monkeypatch.setattr("uvicorn.run", started)
    monkeypatch.setattr("spad.serving.service.Service.__init__", started)
    assert main(["serve", *words.split()]) == 2
    assert f"spad: {words}: give a number " in capsys.readouterr().err


def test_no_model_taken_and_no_wait_for_a_lost_line_are_limits():
    assert Limits(model_mb=0, linger_s=0, waiting=1, minutes=0.1).minutes == 0.1


def test_what_is_no_server_of_spad_is_told(monkeypatch):
    assert segmenter.Line is http_line.Line
    line = http_line.Line(http_line.Address.of("http://127.0.0.1:9", ""))
    with pytest.raises(ServerError, match=r"127.0.0.1:9 cannot be reached"):
        line.hello()
    with pytest.raises(ServerError, match="is no server of SPAD"):
        line._understood(200, b"<html>")
    assert np.isfinite(http_line.SILENCE_S)
