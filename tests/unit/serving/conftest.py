"""A server in a thread, with a real process behind it, and a line to it that can be cut."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from spad.serving import Limits, Service, Tokens, make_app  # noqa: E402

TOKENS = ("a-token-of-one-desk", "a-token-of-another")


class Serving:
    """A server, its address, and what is behind it."""

    def __init__(self, service, tokens=TOKENS):
        self.service = service
        config = uvicorn.Config(make_app(service, Tokens(tokens)), port=0, log_level="error")
        config.timeout_graceful_shutdown = 1
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="session")
def checkpoint(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model().save(path)
    return path


@pytest.fixture(scope="session")
def served(checkpoint):
    """One for all tests, with a process that computes."""
    serving = Serving(Service({"tiny": checkpoint}, ["cpu"]))
    yield serving
    serving.stop()


@pytest.fixture
def idle(checkpoint):
    """Give servers whose runs wait for ever: serve(**limits)."""
    made = []

    def serve(**limits):
        made.append(Serving(Service({"tiny": checkpoint}, [], Limits(**limits))))
        return made[-1]

    yield serve
    for one in made:
        one.stop()


class Proxy:
    """A slow line: so many bytes a second each way; it can be cut."""

    def __init__(self, port, rate=2e5):
        self._to, self._rate = port, rate
        self.cut_at: int | None = None
        """Once so many bytes have come back in a connection, all are cut: once."""
        self.cuts, self.refusing = 0, False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source, target, back):
        count = 0
        try:
            while piece := source.recv(2000):
                count += len(piece)
                if back and self.cut_at is not None and count > self.cut_at:
                    self.cut_at = None
                    self.cut()
                    return
                target.sendall(piece)
                time.sleep(len(piece) / self._rate)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        self.cuts += 1
        for one in self._open:
            one.close() if one.fileno() < 0 else _reset(one)
        self._open.clear()

    def close(self):
        self._listener.close()
        self.cut()


def _reset(one):
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@pytest.fixture
def slow_line():
    """Give a context: a slow line to a port."""

    @contextmanager
    def line(port, **options):
        proxy = Proxy(port, **options)
        try:
            yield proxy
        finally:
            proxy.close()

    return line
