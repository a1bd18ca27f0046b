"""What all tests share: few threads, the packages of this tree, and reasons for skipping."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Before anything loads NumPy or torch. Tests' tensors are small: a second thread gains little, and
# on busy cores threads that wait for each other cost a hundredfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No cache and no error of a test among the person's own.
os.environ.setdefault("SPAD_CACHE", str(Path(tempfile.gettempdir()) / "spad-tests"))

if importlib.util.find_spec("spad") is None or importlib.util.find_spec("napari_spad") is None:
    # Not installed: take the tree, here and in the processes that tests start.
    paths = [str(ROOT / "training"), str(ROOT)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the tests and modules again: they stay.

    They are a million objects, which take half a second, and napari collects whenever a layer goes.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    for mark, missing in (("gui", _no_gui), ("cuda", _no_cuda), ("real", _no_real)):
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and (reason := missing()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


def _no_gui() -> str:
    for module in ("napari", "qtpy", "pytestqt"):
        if importlib.util.find_spec(module) is None:
            return f'{module} is not installed: pip install -e ".[dev]"'
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "no display: run under xvfb-run, as `make test` does"
    return ""


def _no_cuda() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no NVIDIA GPU that torch can use"


def _no_real() -> str:
    if folder := os.environ.get("SPAD_DATA"):
        return "" if Path(folder).is_dir() else f"SPAD_DATA names {folder}, which is no folder"
    return "no real scans: SPAD_DATA names the folder of the data sets (docs/data_sets.md)"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a web server with one model, whose list is kept; no other is on the disk."""
    from spad.checkpoint import shipped
    from spad.models import keep_manifest, share

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "SPAD_MODELS", "SPAD_MODELS_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    share(shipped()["oct-phantom"], tmp_path / "site", licence="CC-BY-4.0", name="far")
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    keep_manifest(f"http://127.0.0.1:{server.server_address[1]}/manifest.json")
    yield tmp_path / "site"
    server.shutdown()
    server.server_close()


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Finds a real data set by its folder's name; skips the test where it is absent."""

    def find(name: str) -> Path:
        folder = Path(os.environ["SPAD_DATA"]) / name
        if not folder.is_dir():
            pytest.skip(f"{folder} is absent; SPAD_DATA names the folder of the data sets")
        return folder

    return find
