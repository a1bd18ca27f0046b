"""A quick engine in place of the real one, so that the GUI tests take seconds and no torch."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spad.checkpoint.labels import label_classes
from spad.inference import Segmentation

CLASSES = label_classes(("background", "SRF", "IRF", "PED", "SHRM", "IS/OS"))


def fake_labels(image: np.ndarray) -> np.ndarray:
    """Bands by row, so that every structure occurs and the result is known."""
    rows = np.arange(image.shape[0]) * 12 // image.shape[0]
    bands = np.where((rows >= 3) & (rows <= 7), rows - 2, 0).astype(np.uint8)
    return np.repeat(bands[:, None], image.shape[1], axis=1)


@dataclass
class FakeEngine:
    """What `napari_spad.desk.run.Engine` offers, with knobs."""

    checkpoint: Path
    seconds_a_step: float = 0.0
    fails_with: BaseException | None = None
    fails_at: int = 1
    calls: list[dict[str, Any]] = field(default_factory=list)
    loads: int = 0
    says: str = ""
    shift: int = 0  # rows by which the next results are moved
    gate: threading.Event | None = None  # where given, all but the first call wait for it

    def load(self, path: Path, device: str) -> Any:
        self.loads += 1
        return SimpleNamespace(steps=self.steps, device="cpu")

    def devices(self) -> list[str]:
        return ["cpu"]

    def shipped(self) -> dict[str, Path]:
        return {"fake": self.checkpoint}

    def read_card(self, path: Path) -> Any:
        if path.suffix != ".safetensors":
            raise ValueError(f"{path.name} is no checkpoint")
        return SimpleNamespace(
            name="fake",
            classes=CLASSES,
            sampling=SimpleNamespace(steps=3, samples=4, odds=None, peak=None),
            schedule=SimpleNamespace(steps=100),
            text=lambda: "a fake card",
        )

    def steps(self, image, spacing_mm=None, *, samples, steps, seed, rgb, first_slice, **edits):
        image = np.asarray(image)
        self.calls.append(
            {"shape": image.shape, "samples": samples, "steps": steps, "seed": seed, "rgb": rgb}
            | edits
        )
        if self.gate is not None and len(self.calls) > 1:
            self.gate.wait(10)
        plane = image[..., 0] if rgb else image
        total = steps or 3
        for done in range(1, total + 1):
            time.sleep(self.seconds_a_step)
            if self.fails_with is not None and done == self.fails_at:
                raise self.fails_with
            yield SimpleNamespace(
                done=done, total=total, slice_index=0, labels=None, said=self.says
            )
        labels = np.roll(fake_labels(plane), self.shift, axis=0)
        one_hot = (np.arange(len(CLASSES))[:, None, None] == labels) * np.float16(0.8)
        return Segmentation(
            labels=labels,
            samples=np.stack([np.roll(labels, k, axis=0) for k in range(samples)]),
            uncertainty=(labels > 0).astype(np.float16) / 4,
            probability=one_hot + np.float16(0.04) if edits.get("probability") else None,
            classes=CLASSES,
            spacing_mm=spacing_mm,
            provenance={
                "seed": seed,
                "samples": samples,
                "device": "cpu",
                "said": [self.says] if self.says else [],
            },
        )


@pytest.fixture(scope="session", autouse=True)
def manifests_read_once():
    """Each viewer looks five times through all packages for plugins: the same ones."""
    try:
        from npe2 import PluginManifest
    except ImportError:
        yield
        return
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(autouse=True)
def left_behind():
    """Let no collection of garbage look again at what a test's viewer has left.

    napari's menus keep some ten thousand objects of each, and it collects three times a test: after
    hundreds of viewers that took seconds each.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    from spad.inference import hosts

    hosts._loaded.clear()  # a model that another test opened is none of this engine's
    path = tmp_path / "fake.safetensors"
    path.write_bytes(b"fake")
    return FakeEngine(path)


@pytest.fixture(autouse=True)
def no_other_process(request, monkeypatch):
    """No test starts a process that learns, but the one that asks for it by `real_worker`."""
    from spad.worker import Worker, WorkerError

    def start(_worker, _device):
        raise WorkerError("tests have a worker of their own")

    if "real_worker" not in request.fixturenames:
        monkeypatch.setattr(Worker, "_start", start)


@pytest.fixture
def real_worker() -> None:
    """The dock's worker is a process here."""


@pytest.fixture
def settings(tmp_path: Path):
    from qtpy.QtCore import QSettings

    return QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def quiet():
    """Errors are shown, not raised, while tests look at them."""
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    yield
    notification_manager.records.clear()


@pytest.fixture
def open_dock(make_napari_viewer, engine, settings, qtbot, tmp_path):
    """Open a viewer with the dock in it, as napari does."""
    from napari_spad.dock import SpadDock

    def opened(**options):
        viewer = make_napari_viewer(**options)
        dock = SpadDock(viewer, engine=engine, settings=settings, folder=tmp_path)
        viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
        qtbot.waitUntil(lambda: dock.form.model.listed, timeout=30_000)
        return viewer, dock

    return opened
