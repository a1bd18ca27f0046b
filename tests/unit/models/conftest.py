"""A tiny checkpoint, and a web server on this machine that does whatever a test asks of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spad.models import Entry

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(scope="session")
def checkpoint_file(model, tmp_path_factory) -> Path:
    """A checkpoint that opens."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model().save(path)
    return path


def sends(content: bytes, *, upto: int | None = None, ranges: bool = True) -> Answer:
    """Send a file, or its first bytes though all are promised; go on from where one asks."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range") if ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : None if upto is None else start + upto])

    return answer


def fails(code: int, place: str = "") -> Answer:
    """Send an error, or a redirect."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        if place:
            handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Web:
    """Answers by path; keeps what it was asked."""

    sends, fails = staticmethod(sends), staticmethod(fails)

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.asked.append((handler.path, handler.headers.get("Range")))
                self.answers[handler.path](handler)

            def log_message(handler, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Web]:
    """The server; SPAD's folders are empty ones, and no proxy of this machine comes between."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SPAD_MODELS", raising=False)
    monkeypatch.delenv("SPAD_MODELS_MIRROR", raising=False)
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture
def entry(checkpoint_file: Path, web: Web) -> Entry:
    """What a manifest says of the checkpoint, which the server has."""
    from spad.checkpoint import read_card, sha256

    web.answers["/tiny.safetensors"] = web.sends(checkpoint_file.read_bytes())
    card = read_card(checkpoint_file)
    return Entry(
        name="tiny", version="1.2", sha256=sha256(checkpoint_file),
        size=checkpoint_file.stat().st_size, licence="CC-BY-4.0",
        classes=tuple(c.name for c in card.classes), urls=(f"{web.url}/tiny.safetensors",),
        card=card.as_json(),
    )  # fmt: skip
