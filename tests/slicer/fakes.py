"""Runs without a model, for tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spad.annotation import RunProgress
from spad.checkpoint import read_card, sha256, shipped
from spad.checkpoint.labels import label_classes
from spad.inference.hosts import _loaded
from spad.inference.segmentation import Segmentation, Step
from spad.inference.stack import Stack
from spad.worker.process import Learnt, Worker, WorkerError

CLASSES = label_classes(["background", "SRF", "IRF", "PED"])


def run_of(
    labels: np.ndarray, *, samples: Sequence[np.ndarray] = (), uncertainty: Any = 0.0, **made: Any
) -> Segmentation:
    """A segmentation (n, H, W) as a run of the engine gives it."""
    doubt = np.broadcast_to(np.asarray(uncertainty, np.float16), labels.shape)
    return Segmentation(
        labels=labels,
        samples=np.stack([labels, *samples]),
        uncertainty=doubt,
        probability=np.stack([(labels == c.value) for c in CLASSES]).astype(np.float16),
        classes=CLASSES,
        spacing_mm=None,
        provenance={
            "checkpoint": {"name": "fake", "sha256": "0" * 64},
            "seed": 0,
            "steps": 2,
            "samples": 1 + len(samples),
            **made,
        },
    )


def paint(result: Any, bscan: int, rows: slice, columns: slice, value: int) -> None:
    """As a person in the Segment Editor does: behind the result's back."""
    from SPADLib.scene.segments import replace_labels

    where = np.zeros(result.labels().shape, bool)
    where[bscan, rows, columns] = True
    on_grid = result.layout.volume(where)
    new = np.full(on_grid.shape, value, np.uint8)
    replace_labels(result.segmentation, result.values, result.volume, on_grid, new)


def image_sha256(image: Any, rgb: bool) -> str:
    """Hash of a B-scan, or of a stack of them, as the engine notes it."""
    stack = Stack(image, rgb)
    for z in range(stack.depth):
        stack.read(z)
    return stack.sha256()


class FakeSegmenter:
    """Segments at once: class 1 where the image is bright; held pixels stay."""

    def __init__(self, engine: FakeEngine, path: Any) -> None:
        self._engine, self._path = engine, path
        self.card = engine.read_card(path)
        learnt = path.read_bytes().startswith(b"learnt")
        self._threshold = engine.learnt_threshold if learnt else None

    def steps(self, image: Any, spacing_mm: Any = None, **asked: Any) -> Any:
        self._engine.asked.append({"image": image, "spacing_mm": spacing_mm, **asked})
        grey = np.asarray(image)[..., 0] if asked["rgb"] else np.asarray(image)
        stack = grey.reshape(-1, *grey.shape[-2:])
        total = 2 * len(stack)
        for done in range(1, total + 1):
            if self._engine.fails_at == done:
                raise RuntimeError("the network broke")
            said = self._engine.says if done == 1 else ""
            yield Step(done, total, asked["first_slice"] + (done - 1) // 2, None, said)
        threshold = self._engine.threshold if self._threshold is None else self._threshold
        labels = (grey > threshold).astype(np.uint8)
        for name in ("start", "clamp"):
            if asked.get(name) is not None:
                given = np.asarray(asked[name])
                held = given != 255 if name == "clamp" else np.zeros(grey.shape, bool)
                if name == "start" and asked.get("region") is not None:
                    held = ~asked["region"]
                labels = np.where(held, given, labels).astype(np.uint8)
        more = [np.roll(labels, n, -1) for n in range(1, asked["samples"] or 1)]
        by = {"name": self.card.name, "sha256": sha256(self._path)}
        run = {"seed": asked["seed"], "image_sha256": image_sha256(image, asked["rgb"])}
        made = run_of(labels, samples=more, uncertainty=0.25, checkpoint=by, **run)
        made = replace(made, classes=self.card.classes)
        return made if asked["probability"] else replace(made, probability=None)


class FakeEngine:
    """What `spad.inference.hosts.Engine` offers, with knobs."""

    def __init__(self, folder: Any) -> None:
        self.checkpoint = folder / "fake.safetensors"
        self.checkpoint.write_bytes(b"fake")
        self.card = replace(read_card(shipped()["oct-phantom"]), name="fake", classes=CLASSES)
        self.asked: list[dict[str, Any]] = []
        self.says, self.fails_at, self.threshold = "", 0, 127
        self.learnt_threshold = 255
        _loaded.clear()  # a model that another test opened is none of this engine's

    def load(self, path: Any, device: str) -> FakeSegmenter:
        return FakeSegmenter(self, path)

    def devices(self) -> list[str]:
        return ["cpu"]

    def read_card(self, path: Any) -> Any:
        new = path.read_text().split()[2:]  # of what `FakeWorker` writes
        names = [c.name for c in self.card.classes]
        return replace(self.card, classes=label_classes([*names, *new])) if new else self.card

    def shipped(self) -> dict[str, Any]:
        return {"fake": self.checkpoint}


class FakeWorker:
    """Takes the place of `spad.worker.Worker`, and starts no process.

    Attributes
    ----------
    did : list of str
        "warm", "learn", "killed" (in the midst of a lesson), "close".
    plans : list of LessonPlan
    fails : str
        What goes wrong with the next lesson.
    waits : int
        How often a lesson has no news.
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.did: list[str] = []
        self.plans: list[Any] = []
        self.fails, self.waits = "", 1
        monkeypatch.setattr(Worker, "warm_up", lambda one, *model: self.did.append("warm"))
        monkeypatch.setattr(Worker, "close", lambda one: self.did.append("close"))
        monkeypatch.setattr(Worker, "learn", lambda one, plan, wait_s: self._learn(plan))

    def _learn(self, plan: Any) -> Any:
        self.plans.append(plan)
        try:
            for _ in range(self.waits):
                yield None
            yield RunProgress(1, 2, 1.0, unit="step")
            if self.fails:
                raise WorkerError(self.fails)
            yield RunProgress(2, 2, 0.0, unit="step")
        except GeneratorExit:
            self.did.append("killed")
            raise
        plan.out.parent.mkdir(parents=True, exist_ok=True)
        known = {c.name for c in CLASSES}
        new = [c.name for c in plan.classes or () if c.name not in known]
        plan.out.write_text(" ".join(["learnt", str(len(self.plans)), *new]))
        plan.out.with_suffix(".lessons.npz").write_bytes(b"lessons")
        self.did.append("learn")
        return Learnt(plan.out, 9.0)
