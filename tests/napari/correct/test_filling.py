"""Fill between: what lies between accepted B-scans is proposed, and nothing else is touched."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from corrected import AT, accept, paint, press, run, said
from docked import shown_errors
from qtpy.QtCore import Qt

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


@pytest.fixture
def ends(desk):
    """The first and the last B-scan accepted, with a structure that moves from one to the other."""
    viewer, dock, result = desk
    for z, rows in ((0, slice(4, 10)), (3, slice(10, 16))):
        result.layer.data[z] = 0
        result.layer.data[z, rows, 10:30] = 3
    accept(dock, 0, 3)
    return viewer, dock, result


def test_a_gap_is_filled_by_shapes_and_model_an_undo_step_each(ends, engine, qtbot):
    viewer, dock, result = ends
    paint(result.layer, z=1)  # by hand: stays
    before, count = result.layer.data.copy(), len(engine.calls)
    run(dock, qtbot, lambda: press(viewer, Qt.Key.Key_G))
    assert len(engine.calls) == count + 2
    after = result.layer.data.copy()
    np.testing.assert_array_equal(after[[0, 3]], before[[0, 3]])
    assert (after[1][AT] == 4).all()
    assert result.hand.mask.sum() == 24
    rows = [np.flatnonzero((after[z] == 3)[:, 20]) for z in (1, 2)]
    assert 4 < rows[0].mean() < rows[1].mean() < 16
    assert "2 of 2 B-scans between 0 and 3 are filled" in said(dock)
    made = result.layer.metadata["spad"]["provenance"]
    assert [run.get("between") for run in made] == [None, [0, 3], [0, 3], None]
    assert result.untouched(result.part((2,)))  # it is a proposal of the model's
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data[2], before[2])
    np.testing.assert_array_equal(result.layer.data[1], after[1])
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data, before)


def test_all_gaps_are_filled_from_anywhere(ends, engine, qtbot):
    viewer, dock, result = ends
    accept(dock, 1, 3)
    viewer.dims.set_current_step(0, 0)
    press(viewer, Qt.Key.Key_G)
    assert not dock.running
    assert "none is accepted before it. Shift+G fills all gaps." in said(dock)
    before = result.layer.data.copy()
    engine.shift = 2
    run(dock, qtbot, lambda: press(viewer, Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier))
    assert "1 of 1 B-scans between 1 and 3 are filled" in said(dock)
    assert [(result.layer.data[z] != before[z]).any() for z in range(4)] == [0, 0, 1, 0]


def test_it_is_said_where_nothing_can_be_filled(desk, engine):
    _, dock, _ = desk
    count = len(engine.calls)
    dock.correct.fill.click()
    assert "accept one on either side first (none is so far)" in said(dock)
    accept(dock, 0, 1)
    dock.correct.fill_all.click()
    assert "next to each other: nothing lies between them" in said(dock)
    assert len(engine.calls) == count


def test_what_is_accepted_or_locked_meanwhile_stays_and_cancelling_keeps_what_is_done(
    ends, engine, qtbot
):
    _, dock, result = ends
    engine.gate = threading.Event()
    before = result.layer.data.copy()
    result.locked.add(3)
    dock.correct.filling.fill()
    accept(dock, 0, 1, 3)
    engine.gate.set()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    np.testing.assert_array_equal(result.layer.data[1], before[1])
    np.testing.assert_array_equal(result.layer.data == 3, before == 3)
    assert "1 of 2 B-scans" in said(dock)
    accept(dock, 0, 3)
    engine.gate = threading.Event()
    dock.correct.filling.fill()
    dock.cancel()
    engine.gate.set()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    assert "cancelled; Nothing was changed." in said(dock)


def test_bscans_of_several_sizes_are_not_interpolated(ends, engine):
    _, dock, result = ends
    result.image.metadata["bscan_sizes"] = [(24, 36), (24, 30), (24, 36), (24, 36)]
    dock.correct.filling.fill()
    assert not dock.running
    assert any("B-scans 0 to 3 differ in size" in error for error in shown_errors())
