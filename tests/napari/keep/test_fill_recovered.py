"""A fill outlives a kill: its proposals are there again, and what became of each B-scan."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from corrected import press, run, said
from docked import segment
from qtpy.QtCore import Qt
from reviewed import Doubting, queue_of, stack

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


@pytest.fixture
def engine(engine):
    return Doubting(engine.checkpoint)


def test_what_was_filled_and_what_was_accepted_are_there_after_a_kill(open_dock, qtbot, tmp_path):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    result, reviews = dock.results[0], dock.review.reviews
    qtbot.waitUntil(lambda: len(queue_of(dock, dock.review).state) == 5, timeout=5000)
    for z, rows in ((0, slice(4, 10)), (2, slice(7, 13))):
        plane = np.zeros((24, 36), np.uint8)
        plane[rows, 10:30] = 3
        index = np.indices(plane.shape).reshape(2, -1)
        result.layer.data_setitem((np.full(plane.size, z), *index), plane.ravel())
        reviews.accept(result, (z,))
    viewer.dims.set_current_step(0, 1)
    before = result.layer.data.copy()
    run(dock, qtbot, lambda: press(viewer, Qt.Key.Key_G))
    filled = result.layer.data.copy()
    assert "1 of 1 B-scans between 0 and 2 are filled" in said(dock)
    assert (filled[1] != before[1]).any()
    autosave = dock.keep.autosave
    qtbot.waitUntil(lambda: not autosave.waiting, timeout=10_000)
    qtbot.waitUntil((tmp_path / "reviews.json").exists, timeout=10_000)
    qtbot.waitUntil(lambda: queue_of(dock, dock.review).state[(1,)] == "seen", timeout=10_000)
    qtbot.waitUntil(lambda: not reviews._save.isActive(), timeout=10_000)
    states = {place: str(state) for place, state in queue_of(dock, dock.review).state.items()}
    assert [states[z,] for z in (0, 2)] == ["accepted"] * 2
    # A killed process leaves its folder, and a lock that nobody holds.
    shutil.copytree(autosave.session.folder, tmp_path / "autosave" / "killed")

    viewer, again = open_dock()
    viewer.add_image(stack(), name="eye")
    qtbot.waitUntil(lambda: bool(again.keep.kept.copies), timeout=10_000)
    again.keep.kept._recover([c for c in again.keep.kept.copies if c.lost])
    qtbot.waitUntil(lambda: bool(again.results), timeout=10_000)
    back = again.results[0]
    np.testing.assert_array_equal(back.layer.data, filled)
    made = back.layer.metadata["spad"]["provenance"]
    assert [one.get("between") for one in made] == [None, [0, 2], None, None, None]
    assert back.untouched(back.part((1,)))  # still a proposal
    qtbot.waitUntil(lambda: again.review.reviews.accepted(back) == {(0,), (2,)}, timeout=10_000)
    assert queue_of(again, again.review).state[(1,)] == states[1,]
