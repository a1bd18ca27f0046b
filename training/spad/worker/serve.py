"""The worker's side: ``python -m spad.worker.serve``. Answers on its standard output.

Torch is loaded before anything is asked for, so that ten seconds are ten seconds. It ends when the
front end does: then its standard input is at its end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import replaced
from spad.checkpoint import IGNORE, LabelClass
from spad.inference import Engine, Segmenter, explain, open_model
from spad.worker.learnt_models import lessons_of
from spad.worker.messages import receive, send

__all__ = ["main"]

_MORE_NICE = 15
_REHEARSED = 16  # B-scans at most
_GUARDED = 4  # of them, on which the learnt model is scored too

Pairs = list[tuple[NDArray[Any], NDArray[np.uint8]]]


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    if hasattr(os, "nice"):
        os.nice(_MORE_NICE)  # whoever paints meanwhile comes first
    import torch  # noqa: F401

    while (message := receive(sys.stdin.buffer)) is not None:
        content, arrays = message
        try:
            if content["kind"] == "learn":
                send(answers, _learnt(content, arrays, answers))
            else:
                _opened(content)
        except Exception as error:
            if content["kind"] == "learn":  # a model that cannot be opened is told of then
                text = explain(error, safe="Nothing was changed.")
                send(answers, {"kind": "failed", "text": text})


def _opened(content: dict[str, Any]) -> Segmenter:
    segmenter: Segmenter = open_model(Engine.spad(), Path(content["checkpoint"]), content["device"])
    return segmenter


def _learnt(
    content: dict[str, Any], arrays: Sequence[NDArray[Any]], answers: IO[bytes]
) -> dict[str, Any]:
    """Learn, save, and say what came of it."""
    began = time.monotonic()
    half = len(arrays) // 2
    images, label_maps = list(arrays[:half]), [a.astype(np.uint8) for a in arrays[half:]]
    out = Path(content["out"])
    old = _opened(content)
    classes = content["classes"]
    if classes is not None:
        classes = tuple(
            LabelClass(c["value"], c["name"], tuple(c["color"]), c.get("terminology"))
            for c in classes
        )
    earlier, said = [], []
    if content["earlier"]:
        try:
            earlier = _lessons(Path(content["earlier"]))
        except (OSError, ValueError, KeyError) as error:
            said.append(f"earlier lessons could not be read ({error}): none is rehearsed")
    steps = old.learn_steps(
        images,
        label_maps,
        classes=classes,
        earlier=earlier,
        seed=content["seed"],
        inverted=content["inverted"],
        **content["options"],
    )
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            learnt: Segmenter = stop.value
            break
        if step.said:
            said.append(step.said)
        send(answers, {"kind": "step", "done": step.done, "total": step.total, "said": step.said})
    out.parent.mkdir(parents=True, exist_ok=True)
    learnt.save(out)
    _keep(out, [*zip(images, label_maps, strict=True), *earlier][:_REHEARSED])
    guarded = earlier[:_GUARDED]
    return {
        "kind": "done",
        "out": str(out),
        "seconds": time.monotonic() - began,
        "said": said,
        "earlier": len(earlier),
        "guard": [_mean_dice(m, guarded) for m in (old, learnt)] if guarded else None,
    }


def _lessons(path: Path) -> Pairs:
    """Images and label maps of earlier lessons."""
    with np.load(path, allow_pickle=False) as file:
        count = int(json.loads(str(file["about"]))["count"])
        return [(file[f"image_{i}"], file[f"labels_{i}"]) for i in range(count)]


def _keep(out: Path, pairs: Sequence[tuple[NDArray[Any], NDArray[np.uint8]]]) -> None:
    """Keep what was learnt from beside the model, for the next case to rehearse."""
    arrays = {f"image_{i}": image for i, (image, _) in enumerate(pairs)}
    arrays |= {f"labels_{i}": labels for i, (_, labels) in enumerate(pairs)}
    about = np.array(json.dumps({"count": len(pairs)}))
    with replaced(lessons_of(out)) as beside, beside.open("wb") as file:
        np.savez_compressed(file, about=about, **arrays)  # type: ignore[arg-type]


def _mean_dice(model: Segmenter, pairs: Pairs) -> float:
    """Dice of all structures of earlier lessons, pooled over them, where they count."""
    both = size = 0.0
    for image, labels in pairs:
        found = model.segment(image, samples=1, rgb=image.ndim == 3).labels
        known = labels != IGNORE
        same = (found == labels) & (labels > 0) & known
        both += float(same.sum())
        size += float(((found > 0) & known).sum() + ((labels > 0) & known).sum())
    return 2 * both / size if size else 1.0


if __name__ == "__main__":
    main()
