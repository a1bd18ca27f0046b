"""Expected errors, the review queue, and its record on the disk."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spad.annotation.expected_errors import expected_error, mismatch, taught_by_phantoms
from spad.annotation.review_book import Entry, ReviewBook, check_sum
from spad.annotation.review_queue import STATES, Queue
from spad.checkpoint import label_classes

K = 6
SURE, UNSURE = np.float16(0), np.float16(0.35)


def bscan(uncertain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((64, 96), np.uint8)
    labels[20:30, 20:50] = 1
    labels[40:44, 20:50] = 3
    return labels, np.full(labels.shape, uncertain, np.float16)


# ---------------------------------------------------------------------- expected error


def test_certainty_expects_no_error_and_structures_are_named() -> None:
    labels, uncertainty = bscan()
    expected = expected_error(labels, uncertainty, K)
    assert expected.error == 0
    assert expected.dice == {1: 1.0, 3: 1.0}
    assert expected.spot is None
    assert expected.shown == 10 * 30 + 4 * 30
    assert expected_error(labels, uncertainty, K, {3}).shown == 10 * 30


def test_a_structure_that_phantoms_alone_have_taught_counts_where_there_is_no_other() -> None:
    labels, uncertainty = bscan()
    uncertainty[40:44, 20:50] = UNSURE
    classes = label_classes(["background", "IRF", "PED", "IS/OS"])
    aside = taught_by_phantoms(classes, [{}, {"phantoms_only": ["IS/OS"]}])
    assert aside == {3}
    both, lesion = (expected_error(labels, uncertainty, K, a) for a in ((), aside))
    assert both.error > 0
    assert lesion.error == pytest.approx(0, abs=1e-3)
    assert lesion.dice == both.dice
    labels[labels == 1] = 0
    alone = expected_error(labels, uncertainty, K, aside)
    assert alone.error == pytest.approx(1 - alone.dice[3])
    assert alone.error > 0.1


@pytest.mark.parametrize("runs", [[], [{}], [{"phantoms_only": None}], [{"phantoms_only": 7}]])
def test_what_says_nothing_of_phantoms_sets_nothing_aside(runs) -> None:
    assert not taught_by_phantoms(label_classes(["background", "IS/OS"]), runs)


@given(st.floats(0.001, 0.5))
def test_the_chance_of_a_wrong_label_follows_from_the_entropy_of_two_classes(chance) -> None:
    entropy = stats.entropy([chance, 1 - chance]) / np.log(K)
    assert mismatch(np.array([entropy], np.float16), K)[0] == pytest.approx(chance, abs=0.02)


def test_the_chance_grows_with_the_uncertainty_up_to_a_blind_guess() -> None:
    for k in (2, 3, 6):
        chances = mismatch(np.linspace(0, 1, 500, dtype=np.float16), k)
        assert (np.diff(chances) >= 0).all()
        assert chances[-1] == pytest.approx(1 - 1 / k, abs=1e-3)


def test_doubt_within_a_structure_and_beside_it_counts_but_far_away_it_does_not() -> None:
    labels, uncertainty = bscan()
    places = {"inside": (25, 30), "beside": (17, 30), "far": (5, 90)}
    errors = {}
    for name, (row, column) in places.items():
        doubt = uncertainty.copy()
        doubt[row - 2 : row + 2, column - 3 : column + 3] = UNSURE
        errors[name] = expected_error(labels, doubt, K).error
    assert errors["inside"] > errors["beside"] > 0
    assert errors["far"] == 0


def test_the_band_follows_the_structure_and_not_its_box() -> None:
    labels, uncertainty = np.zeros((80, 80), np.uint8), np.zeros((80, 80), np.float16)
    labels[5:75, 5:8] = labels[72:75, 5:75] = 1  # an L
    uncertainty[10:20, 60:70] = UNSURE
    assert expected_error(labels, uncertainty, K).error == 0


def test_expected_dice_is_that_of_the_pixels_expected_to_be_wrong() -> None:
    labels, uncertainty = bscan()
    uncertainty[20:30, 20:35] = np.log(2) / np.log(K)  # half of SRF: even odds
    expected = expected_error(labels, uncertainty, K)
    area, right = 300, 150 + 75
    assert expected.dice[1] == pytest.approx(2 * right / (area + right), abs=0.02)
    assert expected.dice[3] == pytest.approx(1)  # its band holds SRF, which is no miss of PED


def test_without_structures_the_greatest_doubt_counts() -> None:
    labels, uncertainty = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.float16)
    assert expected_error(labels, uncertainty, K).error == 0
    uncertainty[5, 6] = np.log(2) / np.log(K)
    expected = expected_error(labels, uncertainty, K)
    assert expected.error == pytest.approx(0.5, abs=0.02)
    assert expected.spot == (5, 6)


def test_the_spot_lies_in_the_largest_uncertain_region_even_if_that_is_a_ring() -> None:
    labels, uncertainty = bscan()
    uncertainty[2:4, 90:94] = 0.9  # small, and very uncertain
    rows, columns = np.indices(labels.shape)
    radius = np.hypot(rows - 30, columns - 40)
    uncertainty[(radius > 10) & (radius < 13)] = UNSURE
    row, column = expected_error(labels, uncertainty, K).spot
    assert 10 < np.hypot(row - 30, column - 40) < 13


@pytest.mark.parametrize(
    ("labels", "uncertainty", "k", "said"),
    [
        (np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.float16), K, r"\(4, 5\).*\(5, 4\)"),
        (np.zeros((1, 4, 5), np.uint8), np.zeros((1, 4, 5), np.float16), K, "one B-scan"),
        (np.zeros((4, 5), np.uint8), np.full((4, 5), 1.5, np.float16), K, r"0\.\.1"),
        (np.zeros((4, 5), np.uint8), np.full((4, 5), -0.5, np.float16), K, r"0\.\.1"),
        (np.zeros((4, 5), np.uint8), np.full((4, 5), np.nan, np.float16), K, "NaN"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.float16), 1, "2 or more"),
    ],
)
def test_bad_input_is_refused_in_words(labels, uncertainty, k, said) -> None:
    with pytest.raises(ValueError, match=said):
        expected_error(labels, uncertainty, k)


# ---------------------------------------------------------------------- the queue


def queue(*errors: float) -> Queue:
    out = Queue()
    for z, error in enumerate(errors):
        out.put((z,), error)
    return out


def test_next_goes_from_the_worst_to_the_best_and_round_again() -> None:
    q = queue(0.1, 0.9, 0.5)
    visited, here = [], None
    for _ in range(5):
        here = q.next(here)
        visited.append(here[0])
    assert visited == [1, 2, 0, 1, 2]


def test_what_is_on_screen_at_first_comes_in_its_turn() -> None:
    q = queue(0.1, 0.9, 0.5)
    assert q.next((2,)) == (1,)
    assert q.next((1,)) == (2,)


def test_accepted_ones_do_not_come_again_and_skipped_ones_come_last() -> None:
    q = queue(0.1, 0.9, 0.5)
    q.mark((1,), "skipped")
    assert q.next((1,)) == (2,)
    q.mark((2,), "accepted")
    assert q.next((2,)) == (0,)
    q.mark((0,), "accepted")
    assert q.next((0,)) == (1,)
    q.mark((1,), "accepted")
    assert q.next((1,)) is None
    assert q.count("accepted") == 3


def test_an_accepted_one_that_is_edited_comes_again() -> None:
    q = queue(0.1, 0.9)
    for z in (0, 1):
        q.mark((z,), "accepted")
    q.mark((0,), "edited")
    assert q.next((1,)) == (0,)


def test_the_bscan_to_teach_with_is_the_one_whose_draft_shows_most() -> None:
    q = queue(0.9, 0.1, 0.2, 0.3)
    assert q.teacher() is None  # nothing is shown
    for z, shown in ((1, 50), (2, 70)):
        assert q.teacher() is None  # no choice
        q.put((z,), 0.1, shown)
    assert q.teacher() == (2,)
    q.put((1,), 0.1, 70)
    assert q.teacher() == (1,)  # the first of equals
    for state in ("seen", "edited", "skipped"):
        q.mark((1,), state)
        assert q.teacher() == (1,)
    q.mark((3,), "accepted")  # somebody has begun
    assert q.teacher() is None


def test_ranks_put_open_ones_before_skipped_before_accepted() -> None:
    q = queue(0.1, 0.9, 0.5, 0.7, 0.7)
    q.mark((1,), "accepted")
    q.mark((3,), "skipped")
    assert q.ranked() == [(4,), (2,), (0,), (3,), (1,)]


def test_uncertain_is_what_is_likely_poor_and_not_dealt_with() -> None:
    q = queue(0.9, 0.1)
    assert q.uncertain((0,))
    assert not q.uncertain((1,))
    q.mark((0,), "seen")
    assert q.uncertain((0,))
    for state in ("edited", "accepted"):
        q.mark((0,), state)
        assert not q.uncertain((0,))


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from(["accepted", "skipped", None]), st.booleans()), max_size=40),
)
def test_whatever_is_done_each_open_one_is_reached(errors, deeds) -> None:
    q, here = queue(*errors), None
    for state, _ in deeds:
        if here is not None and state is not None:
            q.mark(here, state)
        here = q.next(here) or here
    reached = {here}
    for _ in range(2 * len(errors)):
        here = q.next(here) or here
        reached.add(here)
    assert reached >= {p for p in q.error if q.state[p] != "accepted"}


def test_an_unknown_state_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'good'.*accepted"):
        queue(0.5).mark((0,), "good")


# ---------------------------------------------------------------------- the record


def test_what_is_saved_is_read_again_by_the_same_annotator_alone(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "reviews.json"
    mine, yours = ReviewBook(path, "A"), ReviewBook(path, "B")
    mine.mark("abc", Entry("accepted", 7))
    yours.mark("abc", Entry("skipped"))
    for book in (mine, yours):
        assert book.unsaved
        assert book.save() == ""
        assert not book.unsaved
    again = ReviewBook(path, "A")
    assert again.load() == ""
    assert again["abc"] == Entry("accepted", 7)
    assert again["else"] is None
    other = ReviewBook(path, "B")
    other.load()
    assert other["abc"] == Entry("skipped")


def test_two_programs_keep_each_others_entries(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    first, second = ReviewBook(path), ReviewBook(path)
    first.load(), second.load()
    first.mark("a", Entry("seen"))
    second.mark("b", Entry("edited"))
    first.save(), second.save()
    read = ReviewBook(path)
    read.load()
    assert (read["a"], read["b"]) == (Entry("seen"), Entry("edited"))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"format": 1}', b'{"format": 9, "annotators": {}}',
     b'{"format": 1, "annotators": {"": 3}}', b'{"format": 1, "annotators": []}', b"[" * 100_000],
)  # fmt: skip
def test_a_damaged_record_is_told_and_kept_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reviews.json"
    (tmp_path / "reviews.damaged-1.json").write_bytes(b"an earlier one")
    path.write_bytes(content)
    book = ReviewBook(path)
    said = book.load()
    assert "reviews.damaged-2.json" in said
    assert (tmp_path / "reviews.damaged-2.json").read_bytes() == content
    book.mark("a", Entry("seen"))
    assert book.save() == ""
    assert json.loads(path.read_bytes())["format"] == 1


def test_a_damaged_entry_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    entries = {"a": {"state": "good"}, "b": 4, "c": {"state": "accepted", "accepted": "x"}}
    path.write_text(json.dumps({"format": 1, "annotators": {"": entries}}))
    book = ReviewBook(path)
    assert book.load() == ""
    assert (book["a"], book["b"], book["c"]) == (None, None, Entry("accepted"))


def test_what_cannot_be_saved_stays_to_be_saved(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    book = ReviewBook(tmp_path / "file" / "reviews.json")
    book.mark("a", Entry("seen"))
    with pytest.raises(OSError, match="file"):
        book.save()
    assert book.unsaved
    assert book["a"] == Entry("seen")


def test_a_mark_made_while_the_file_is_written_is_saved_next_time(tmp_path, monkeypatch) -> None:
    book, replace = ReviewBook(tmp_path / "reviews.json"), os.replace

    def slow(new: Path, path: Path) -> None:
        book.mark("late", Entry("accepted", 1))
        replace(new, path)

    book.mark("early", Entry("seen"))
    monkeypatch.setattr(os, "replace", slow)
    book.save()
    monkeypatch.undo()
    assert book.unsaved
    assert book["late"] == Entry("accepted", 1)
    book.save()
    assert not book.unsaved
    assert set(json.loads(book.path.read_bytes())["annotators"][""]) == {"early", "late"}


def test_marks_from_several_threads_are_all_kept(tmp_path: Path) -> None:
    book = ReviewBook(tmp_path / "reviews.json")
    stop = threading.Event()

    def save_all_the_time() -> None:
        while not stop.is_set():
            book.save()

    thread = threading.Thread(target=save_all_the_time)
    thread.start()
    for number in range(200):
        book.mark(f"{number % 50}", Entry(STATES[number % 5], number))
        if number % 20 == 0:
            book.save()
    stop.set()
    thread.join()
    book.save()
    read = ReviewBook(book.path)
    read.load()
    assert [read[f"{n}"] for n in range(50)] == [Entry(STATES[n % 5], 150 + n) for n in range(50)]
    assert [p.name for p in tmp_path.iterdir()] == ["reviews.json"]


def test_a_check_sum_tells_labels_apart_and_not_their_integers() -> None:
    labels = bscan()[0]
    assert check_sum(labels) == check_sum(labels.astype(np.int64)) == check_sum(labels.T.copy().T)
    labels[0, 0] = 1
    assert check_sum(labels) != check_sum(bscan()[0])


def test_a_negative_zero_is_a_zero():
    zeros = np.zeros((4, 4), np.float16)
    np.testing.assert_array_equal(mismatch(-zeros, 4), mismatch(zeros, 4))
