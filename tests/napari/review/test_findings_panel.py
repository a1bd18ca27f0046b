"""The findings in the B-scan on screen."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from qtpy.QtCore import Qt

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def findings(panel) -> list[str]:
    listing = panel.checks.list
    return [listing.item(i).text() for i in range(listing.count())]


def paint_a_ring(layer, z: int) -> None:
    """Paint a square with a hole at row 20, column 20, below all bands of the fake engine."""
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    rows, columns = np.nonzero(ring)
    layer.data_setitem((np.full(24, z), rows + 18, columns + 18), 3)


def test_findings_follow_the_strokes_and_a_click_goes_there(review, qtbot):
    viewer, dock, panel = review()
    layer = dock.desk.result.layer
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: "finding" in panel.checks.title.text(), timeout=5000)
    before = findings(panel)
    paint_a_ring(layer, 1)
    text = "hole in PED (1 px)"
    qtbot.waitUntil(lambda: text in findings(panel), timeout=5000)
    listing = panel.checks.list
    row = findings(panel).index(text)
    labels = layer.data.copy()
    listing.scrollToItem(listing.item(row))
    box = listing.visualItemRect(listing.item(row))
    qtbot.mouseClick(listing.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    camera = getattr(viewer, "scene", viewer).camera
    np.testing.assert_allclose(camera.center[-2:], (20, 20))
    np.testing.assert_array_equal(layer.data, labels)
    layer.undo()
    qtbot.waitUntil(lambda: findings(panel) == before, timeout=5000)


def test_no_findings_are_said_in_words(review, qtbot):
    viewer, dock, panel = review()
    viewer.dims.set_current_step(0, 1)
    dock.desk.result.layer.data[2] = 0
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(
        lambda: panel.checks.title.text() == "Checks: no findings in this B-scan.", timeout=5000
    )
    assert panel.checks.list.isHidden()


def test_findings_have_their_area_where_the_spacing_is_known(review, qtbot):
    viewer, dock, panel = review(scale=(0.1, 0.02, 0.03), units=("mm",) * 3)
    viewer.dims.set_current_step(0, 1)
    paint_a_ring(dock.desk.result.layer, 1)
    qtbot.waitUntil(lambda: any("0.0006 mm²" in t for t in findings(panel)), timeout=5000)
