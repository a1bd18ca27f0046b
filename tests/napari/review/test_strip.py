"""The strip of a stack's states."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")


pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_500_b_scans_fit_a_strip_of_320_pixels(review, qtbot):
    from napari_spad.review.strip import Cell, Strip

    strip = Strip()
    qtbot.addWidget(strip)
    strip.resize(308, 50)
    for count in (1, 5, 60, 500):
        strip.show_cells([Cell("seen", f"{z}") for z in range(count)], count - 1)
        strip.resize(308, strip.heightForWidth(308))
        strip.grab()
        assert strip.height() <= 160
        last = strip.cell_rect(count - 1)
        assert last.right() <= 308
        assert last.bottom() <= strip.height()
        for number in {0, count // 2, count - 1}:
            centre = strip.cell_rect(number).center()
            assert strip.cell_at(centre.x(), centre.y()) == number


def test_each_state_has_a_shape_of_its_own(qtbot):
    """Without colours, as a colour-blind user or a printer sees them."""
    from napari_spad.review.strip import LOOKS, Cell, Strip

    drawn = {}
    for look in (*LOOKS, ""):
        strip = Strip()
        qtbot.addWidget(strip)
        strip.resize(40, 24)
        strip.show_cells([Cell(look, "")], -1)
        image = strip.grab().toImage()
        ground = image.pixelColor(39, 0).lightness()
        at = strip.cell_rect(0).toRect()
        drawn[look] = frozenset(
            (x, y)
            for x in range(at.width())
            for y in range(at.height())
            if abs(image.pixelColor(x, y).lightness() - ground) > 25
        )
    assert len(set(drawn.values())) == len(drawn)
    sizes = {look: len(pixels) for look, pixels in drawn.items()}
    assert min(sizes.values()) > 0
    assert sizes["accepted"] > sizes["uncertain"] > sizes["not seen"]
