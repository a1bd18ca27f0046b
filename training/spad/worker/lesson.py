"""A lesson in the worker: learnt step by step, then saved or sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import file_error
from spad.checkpoint import IGNORE, LabelClass
from spad.inference import Step, drained
from spad.worker.rehearsal import Pairs, keep_cases, kept_cases, rehearsed

if TYPE_CHECKING:
    from spad.inference import Segmenter

__all__ = ["learn", "teach"]

_GUARDED = 4  # B-scans of earlier cases at most, on which the learnt model is scored too

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
    if content["inverted"]:  # kept as the model sees them, for later lessons may not be
        pairs = [(_negative(image), labels) for image, labels in pairs]
        content = content | {"inverted": False}
    out = Path(content["out"])
    cases: list[Pairs] = []
    said = []
    if content["earlier"]:
        file = Path(content["earlier"])
        try:
            cases = kept_cases(file, max(len(old.card.classes), len(content["classes"] or ())))
        except Exception as error:  # a flipped bit ends in any of a dozen kinds
            said.append(
                f"earlier lessons, {file.name}, could not be read ({file_error(error)}): none is "
                "rehearsed"
            )

    def noted(step: Step) -> None:
        if step.said:
            said.append(step.said)
        tell(step)

    earlier = [pair for case in cases for pair in case]
    learnt = _learnt(old, content, pairs, earlier, noted)
    out.parent.mkdir(parents=True, exist_ok=True)
    learnt.save(out)
    keep_cases(out, rehearsed([pairs, *cases]))
    guarded = [pair for case in rehearsed(cases, _GUARDED) for pair in case]
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
    return list(zip(arrays[:count], arrays[count:], strict=True))


def _negative(image: NDArray[Any]) -> NDArray[Any]:
    """An image whose low values are dark, of one whose high values are."""
    return -image if image.dtype.kind == "f" else ~image


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
