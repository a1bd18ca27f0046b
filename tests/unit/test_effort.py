"""The annotator that benchmarks play: it mends, ends, and paints the same again."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from annotator import Annotator, Work, largest
from effort_ways import Eye, Model, Scratch, worked_through

JUDGED = np.arange(256, dtype=np.uint8)
PERSON = Annotator()


def bscan(*discs: tuple[int, int, int, int], shape: tuple[int, int] = (90, 120)) -> np.ndarray:
    out = np.zeros(shape, np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for row, column, radius, value in discs:
        out[np.hypot(y - row, x - column) <= radius] = value
    return out


REFERENCE = bscan((30, 30, 14, 1), (50, 90, 8, 2), (0, 60, 5, 1))


def work_on(labels: np.ndarray, reference: np.ndarray = REFERENCE) -> Work:
    return Work(labels, reference, JUDGED, 3)


def eye_of(*references: np.ndarray) -> Eye:
    images = [np.zeros(r.shape, np.uint8) for r in references]
    return Eye("eye", images, list(references), JUDGED, 3)


def through(help_: Scratch, eye: Eye) -> dict:
    numbers = list(range(len(eye.images)))
    return worked_through(help_, eye, PERSON, every=1, order=numbers, seed=0)


@pytest.mark.parametrize("accepts", [0.8, 0.9, 0.97])
def test_every_stroke_mends_until_each_structure_is_accepted(accepts: float) -> None:
    draft = bscan((33, 33, 15, 1), (50, 90, 12, 1), (80, 20, 6, 2))
    work = work_on(draft)
    left = [work.mistakes()]
    for _ in Annotator(accepts).strokes(work, np.random.default_rng(0)):
        left.append(work.mistakes())
    assert left == sorted(set(left), reverse=True)
    assert left[-1] == np.count_nonzero(work.labels != REFERENCE)
    for value in (1, 2):
        mine, theirs = work.labels == value, value == REFERENCE
        good = 2 * np.count_nonzero(mine & theirs) >= accepts * (mine.sum() + theirs.sum())
        first = np.count_nonzero((draft == value) != theirs)
        assert good or np.count_nonzero(mine != theirs) <= 0.05 * first


def test_the_same_seed_paints_the_same() -> None:
    def painted(seed: int) -> np.ndarray:
        work = work_on(np.zeros_like(REFERENCE))
        list(PERSON.strokes(work, np.random.default_rng(seed)))
        return work.labels

    np.testing.assert_array_equal(painted(3), painted(3))
    assert (painted(3) != painted(4)).any()


def test_the_largest_mistake_comes_first_and_unknown_pixels_are_none() -> None:
    reference = REFERENCE.copy()
    reference[:45] = 255
    where, part, value = largest(work_on(np.zeros_like(reference), reference), [1, 2])
    assert value == 2
    assert np.count_nonzero(part) == np.count_nonzero(reference == 2)
    np.testing.assert_array_equal(reference[where] == 2, part)


def test_what_is_accepted_costs_nothing_and_an_empty_bscan_is_only_cleared() -> None:
    assert not list(PERSON.strokes(work_on(REFERENCE), np.random.default_rng(0)))
    empty = np.zeros_like(REFERENCE)
    work = work_on(bscan((40, 40, 4, 1)), empty)
    strokes = list(PERSON.strokes(work, np.random.default_rng(0)))
    assert len(strokes) == 1
    assert work.mistakes() <= 2
    assert not work.labels[work.hand].any()


def test_it_gives_up_after_so_many_strokes() -> None:
    person = Annotator(accepts=1.0, length=1.0, most=5)
    noise = np.random.default_rng(0).integers(0, 3, REFERENCE.shape).astype(np.uint8)
    assert list(person.strokes(work_on(noise), np.random.default_rng(0)))[-1] in (5, 6, 7)


class Answers(Scratch):
    answers = True

    def __init__(self, eye: Eye, says: np.ndarray) -> None:
        super().__init__(eye)
        self.says = says

    def answer(self, z: int, work: Work) -> np.ndarray:
        self.asked += 1
        return self.says


def test_an_answer_is_kept_only_if_it_mends() -> None:
    eye = eye_of(REFERENCE)
    alone = through(Scratch(eye), eye)
    bad = Answers(eye, np.full_like(REFERENCE, 2))
    ignored = through(bad, eye)
    assert ignored["strokes"] == alone["strokes"]
    assert (ignored["taken"], bad.asked) == ([0], 2)  # then no more
    good = through(Answers(eye, REFERENCE), eye)
    assert (good["strokes"], good["taken"], good["reached"]) == ([1], [1], [True])
    assert alone["strokes"][0] > 2


def learner(taught: list[int], says: np.ndarray) -> SimpleNamespace:
    card = SimpleNamespace(schedule=SimpleNamespace(steps=10))
    learnt = SimpleNamespace(segment=lambda *_, **__: SimpleNamespace(labels=says), card=card)

    def learn(images: list, maps: list, seed: int) -> SimpleNamespace:
        taught.append(len(maps))
        return learnt

    return SimpleNamespace(learn=learn, card=card)


def test_learning_begins_with_the_first_structure_and_draws_what_waits_anew() -> None:
    empty = np.zeros_like(REFERENCE)
    eye, taught = eye_of(empty, *[REFERENCE] * 6), []
    model = learner(taught, REFERENCE)
    found = through(Model(eye, model=model, drafts=[empty] * 7, learns=True), eye)
    assert taught == [2, 5]
    assert found["strokes"][0] == 0
    assert found["strokes"][1] > 0
    assert found["strokes"][2:] == [0] * 5


def test_a_draft_that_learning_made_worse_is_undone() -> None:
    eye = eye_of(REFERENCE, REFERENCE)
    model = learner([], np.full_like(REFERENCE, 2))
    drafts = [np.zeros_like(REFERENCE)] * 2
    alone = through(Model(eye, model=model, drafts=drafts), eye)
    found = through(Model(eye, model=model, drafts=drafts, learns=True), eye)
    assert found["strokes"] == alone["strokes"]
