"""A lesson in the worker: learnt step by step, then saved or sent."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import file_error, parsed_json, replaced
from spad.checkpoint import IGNORE, LabelClass
from spad.inference import Step, drained
from spad.worker.learnt_models import lessons_of

if TYPE_CHECKING:
    from spad.inference import Segmenter

__all__ = ["Pairs", "learn", "teach"]

_REHEARSED = 16  # B-scans at most
_GUARDED = 4  # of them, on which the learnt model is scored too

Pairs = list[tuple[NDArray[Any], NDArray[np.uint8]]]
Tell = Callable[[Step], None]


def learn(
    old: Segmenter, content: dict[str, Any], arrays: Sequence[NDArray[Any]], tell: Tell
) -> dict[str, Any]:
    """Learn as a desk of this computer asks: what comes of it is a file, and its lessons beside it.

    Returns
    -------
    dict
        What the desk is answered.
    """
    began = time.monotonic()
    pairs = _pairs(arrays, len(arrays) // 2)
    out = Path(content["out"])
    earlier, said = [], []
    if content["earlier"]:
        try:
            earlier = _lessons(Path(content["earlier"]))
        except Exception as error:  # a flipped bit ends in any of a dozen kinds
            said.append(
                f"earlier lessons could not be read ({file_error(error)}): none is rehearsed"
            )

    def noted(step: Step) -> None:
        if step.said:
            said.append(step.said)
        tell(step)

    learnt = _learnt(old, content, pairs, earlier, noted)
    out.parent.mkdir(parents=True, exist_ok=True)
    learnt.save(out)
    _keep(out, [*pairs, *earlier][:_REHEARSED])
    guarded = earlier[:_GUARDED]
    return {
        "kind": "done",
        "out": str(out),
        "seconds": time.monotonic() - began,
        "said": said,
        "earlier": len(earlier),
        "guard": [_mean_dice(m, guarded) for m in (old, learnt)] if guarded else None,
    }


def teach(
    old: Segmenter, content: dict[str, Any], arrays: Sequence[NDArray[Any]], tell: Tell
) -> NDArray[np.uint8]:
    """Learn as a desk elsewhere asks: nothing of it stays here.

    Returns
    -------
    array of uint8, shape (bytes,)
        The checkpoint file of the model that has learnt.
    """
    now = 2 * int(content["bscans"])
    pairs = _pairs(arrays[:now], now // 2)
    earlier = _pairs(arrays[now:], len(arrays[now:]) // 2)
    learnt = _learnt(old, content, pairs, earlier, tell)
    with tempfile.TemporaryDirectory(prefix="spad-") as folder:
        file = Path(folder, "learnt.safetensors")
        learnt.save(file)
        return np.frombuffer(file.read_bytes(), np.uint8)


def _pairs(arrays: Sequence[NDArray[Any]], count: int) -> Pairs:
    """Images, then as many label maps."""
    label_maps = (a.astype(np.uint8) for a in arrays[count:])
    return list(zip(arrays[:count], label_maps, strict=True))


def _learnt(
    old: Segmenter, content: dict[str, Any], pairs: Pairs, earlier: Pairs, tell: Tell
) -> Segmenter:
    classes = content["classes"]
    if classes is not None:
        classes = tuple(
            LabelClass(c["value"], c["name"], tuple(c["color"]), c.get("terminology"))
            for c in classes
        )
    steps = old.learn_steps(
        [image for image, _ in pairs],
        [labels for _, labels in pairs],
        classes=classes,
        earlier=earlier,
        seed=content["seed"],
        inverted=content["inverted"],
        **content["options"],
    )
    return drained(steps, tell)


def _lessons(path: Path) -> Pairs:
    """Images and label maps of earlier lessons."""
    with np.load(path, allow_pickle=False) as file:
        count = int(parsed_json(str(file["about"]))["count"])
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
