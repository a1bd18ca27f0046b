"""A lesson as a host asks for it: arrays in, a card and a network out, within any memory."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from spad.cases import luminance
from spad.chain import times_of_use
from spad.checkpoint import IGNORE, Card, LabelClass, left_and_right
from spad.inference.hosts import is_out_of_memory
from spad.inference.letterbox import frame_of, normalise
from spad.inference.memory_ladder import CPU, KEPT, moved, release
from spad.inference.model import Model
from spad.inference.segmentation import Step
from spad.inference.stack import BScans
from spad.learning import Example, Lesson, Recipe, lesson, widened
from spad.network import Network, uncast

__all__ = ["learning_steps", "with_gradients"]

_LEARNT = ", learnt"
_Outcome = TypeVar("_Outcome")


def learning_steps(
    model: Model,
    bscans: BScans,
    *,
    classes: Sequence[LabelClass] | None,
    earlier: BScans,
    seed: int,
    inverted: bool,
    origin: Mapping[str, Tensor] | None,
    recipe: Recipe,
) -> Generator[Step, None, tuple[Card, Network, dict[str, Tensor]]]:
    """See :meth:`spad.inference.AnySegmenter.learn_steps`; to be run :func:`with_gradients`."""
    network, card = model.network, model.card
    if classes is not None:
        card, network = widened(card, network, classes, _shown(bscans))
    about = Lesson(
        _examples(card, bscans, inverted=inverted),
        _examples(card, earlier, inverted=inverted),
        card.input.size,
        model.schedule,
        [t for t in times_of_use(model.schedule, card.sampling) if not model.schedule.forgets(t)],
        new=len(card.classes) > len(model.card.classes),
        origin=origin,
        mirrored=not left_and_right(c.name for c in card.classes),
    )
    if not about.examples:
        raise ValueError("no pixel of the label maps counts; correct a B-scan, or accept one")
    device = model.device
    total = recipe.new_steps if about.new else recipe.steps
    while True:
        run = lesson(network, about, recipe, device=device, seed=seed)
        try:
            while True:
                try:
                    done = next(run)
                except StopIteration as stop:
                    release(device, KEPT)
                    return _named(card, about), *stop.value
                yield Step(done, total, 0, None)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or (recipe.batch == 1 and device == CPU):
                raise
        run.close()
        release(device)
        # From the start: what is learnt depends on how many views are learnt from at once.
        if recipe.batch > 1:
            recipe = replace(recipe, batch=recipe.batch // 2)
            instead = f"from {recipe.batch} views at once"
        else:
            device, instead = CPU, "on the CPU"
            network = moved(network, CPU)  # which is asked, too, where it is sure
        yield Step(0, total, 0, None, f"not enough memory: learning {instead}")


def with_gradients(
    run: Generator[Step, None, _Outcome], device: torch.device
) -> Generator[Step, None, _Outcome]:
    """Run a generator where gradients can be recorded, whatever the host's modes are."""
    # torch's modes are thread-wide: never hold them across a yield, where the host runs.
    while True:
        try:
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
                torch.device("cpu"),  # what is sent elsewhere says so
                uncast(device),
            ):
                step = next(run)
        except StopIteration as stop:
            outcome: _Outcome = stop.value
            return outcome
        yield step


def _shown(bscans: BScans) -> int:
    """How many classes it takes to tell what the B-scans show."""
    return 1 + max((int(of[of != IGNORE].max(initial=0)) for _, of in bscans), default=0)


def _named(card: Card, about: Lesson) -> Card:
    """The card of what was learnt: from what, and of how many B-scans; no patient.

    The scores were the old model's, and so was its licence: a person's corrections are in this one.
    """
    record = {
        "bscans": len(about.examples),
        "pixels": sum(int((e.labels != IGNORE).sum()) for e in about.examples),
        "earlier_bscans": len(about.earlier),
    }
    known = card.training.get("learnt")
    before = known if isinstance(known, list) else []  # a card is free-form there
    name = card.name if card.name.endswith(_LEARNT) else card.name[: 80 - len(_LEARNT)] + _LEARNT
    training = {k: v for k, v in card.training.items() if k != "licence"}
    training["learnt"] = [*before, record]
    return replace(card, name=name, training=training, scores={})


def _examples(card: Card, bscans: BScans, *, inverted: bool) -> list[Example]:
    """Corrected B-scans on the network's grid, but for those that say nothing."""
    examples = []
    for image, labels in bscans:
        if (labels == IGNORE).all():
            continue
        grey = luminance(image) if image.ndim == 3 else image
        frame = frame_of((labels.shape[0], labels.shape[1]), card.input, card.network.stride)
        on_grid = torch.from_numpy(frame.strokes(labels))
        examples.append(
            Example(frame.image(normalise(grey, card.input, inverted=inverted)), on_grid)
        )
    return examples
