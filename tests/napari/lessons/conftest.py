"""A worker that learns nothing, at once; and a dock with it and a segmented stack."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from spad.annotation import RunProgress
from spad.worker import Learnt, WorkerError

from corrected import run  # isort: skip

SHAPE = (6, 24, 36)


class FakeWorker:
    """What `spad.worker.Worker` offers, with knobs; what it was asked for."""

    def __init__(self) -> None:
        self.running = False
        self.plans, self.warmed, self.closings = [], [], 0
        self.gate: threading.Event | None = None
        self.fails_with = ""
        self.guard: tuple[float, float] | None = None
        self.on_learn = lambda: None

    def warm_up(self, checkpoint=None, device="auto"):
        self.running = True
        self.warmed.append(checkpoint)

    def close(self):
        self.running = False
        self.closings += 1

    def learn(self, plan):
        finished = False
        try:
            self.running = True
            self.plans.append(plan)
            yield RunProgress(1, 2, 1.0, unit="step")
            while self.gate is not None and not self.gate.wait(0.01):
                yield None
            if self.fails_with:
                raise WorkerError(self.fails_with)
            self.on_learn()
            plan.out.parent.mkdir(parents=True, exist_ok=True)
            plan.out.write_bytes(b"learnt")
            np.savez(plan.out.with_suffix(".lessons.npz"), about="{}")
            finished = True
            return Learnt(plan.out, 9.2, guard=self.guard, earlier=0 if self.guard is None else 4)
        finally:
            if not finished:
                self.close()


@pytest.fixture
def desk(make_napari_viewer, engine, settings, qtbot, tmp_path: Path):
    """Viewer, dock, result and worker; B-scan 2 of six on screen."""
    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer()
    dock = SpadDock(viewer, engine=engine, settings=settings, folder=tmp_path, worker=FakeWorker)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.form.model.listed, timeout=30_000)
    pixels = np.random.default_rng(0).integers(0, 200, SHAPE, np.uint8)
    viewer.add_image(pixels, name="eye")
    dock.form.whole.setChecked(True)
    viewer.dims.set_current_step(0, 2)
    run(dock, qtbot, dock.segment)
    engine.shift = 3  # the learnt model's drafts are others
    return viewer, dock, dock.results[0], dock.lessons.learning.worker
