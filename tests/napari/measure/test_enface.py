"""The map seen from above: what it shows, where a click goes, the fovea that is dragged."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import segment
from measuring import BAND, PIXEL_NL, SHAPE, total
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget

from napari_spad.measure.enface_view import Drawing, EnFaceView
from napari_spad.measure.maps import flattened, greys, under_review, with_values
from spad.measuring import projection

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


@pytest.fixture
def view(qtbot):
    """20 B-scans of 100 columns, 2 by 2 mm, the first one below; 200 x 200 pixels on screen."""
    view = EnFaceView()
    qtbot.addWidget(view)
    view.resize(204, 204)
    colours = np.zeros((20, 100, 3), np.uint8)
    colours[:10] = (255, 0, 0)
    view.draw(Drawing(colours, (0.1, 0.02), fovea=(9.5, 49.5)), 3)
    return view


def point(view, bscan, column) -> QPoint:
    return view.to_widget(bscan, column).toPoint()


def test_the_first_bscan_lies_below_and_the_proportion_is_true(view):
    assert (view.box.width(), view.box.height()) == (200, 200)
    image = view.grab().toImage()
    assert image.pixelColor(150, 190).red() > 200  # B-scans 0 to 9
    assert image.pixelColor(150, 20).red() < 50
    assert view.to_stack(view.to_widget(4, 30)) == pytest.approx((4, 30))


def test_a_click_goes_to_its_bscan_and_column(view, qtbot):
    with qtbot.waitSignal(view.clicked) as heard:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=point(view, 4, 30))
    assert heard.args == [4, pytest.approx(30 / 99, abs=0.005)]


def test_the_fovea_is_dragged_and_set_by_a_double_click(view, qtbot):
    heard, clicks = [], []
    view.fovea_placed.connect(lambda *at: heard.append(at))
    view.clicked.connect(lambda *at: clicks.append(at))
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=point(view, 9.5, 49.5))
    qtbot.mouseMove(view, point(view, 6, 60))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=point(view, 6, 60))
    assert not clicks
    np.testing.assert_allclose(heard, [(6, 60)], atol=0.6)
    qtbot.mouseDClick(view, Qt.MouseButton.LeftButton, pos=point(view, 2, 20))
    np.testing.assert_allclose(heard[1], (2, 20), atol=0.6)
    # Let go outside, it stays at the edge of what was scanned.
    view.draw(Drawing(view.drawing.colours, (0.1, 0.02), fovea=(9.5, 49.5)), 3)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=point(view, 9.5, 49.5))
    qtbot.mouseMove(view, QPoint(400, -50))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(400, -50))
    assert heard[2] == (19.5, 99.5)


def test_on_the_fundus_a_click_goes_to_the_nearest_bscan(view, qtbot):
    """Two lines and a circle on a picture of 100 x 100 pixels, in 200 on screen."""
    turn = np.linspace(0, 2 * np.pi, 97)
    scans = [
        np.array([[10.0, 10], [10, 90]]),
        np.array([[20.0, 90], [60, 90]]),
        np.array([70, 50]) + 20 * np.stack([np.sin(turn), np.cos(turn)], 1),
    ]
    drawing = Drawing(np.zeros((100, 100, 3), np.uint8), (1, 1), upward=False, scans=scans)
    view.draw(drawing, 1)
    for place, bscan, share in (((12, 30), 0, 0.25), ((30, 80), 1, 0.25), ((90, 50), 2, 0.25)):
        found = view.place_at(view.to_widget(*place))
        assert found == (bscan, pytest.approx(share, abs=0.01))
    placed = []
    view.fovea_placed.connect(lambda *at: placed.append(at))
    qtbot.mouseDClick(view, Qt.MouseButton.LeftButton, pos=point(view, 50, 50))
    assert not placed  # it has no grid
    yellow = view.grab().toImage().pixelColor(point(view, 40, 90))
    assert yellow.red() > 150 > yellow.blue()


def test_a_bscan_is_flattened_along_the_lower_edge_of_its_labels():
    """A bowed retina with a mound on it, and a cyst high above that is alone in its columns."""
    across = np.arange(200)
    base = np.round(60 + 15 * ((across - 80) / 100) ** 2).astype(int)
    rows = np.arange(120)[:, None]
    labels = ((rows > base - 4) & (rows <= base)).astype(np.uint8)
    labels[(rows > base - 14) & (rows <= base) & (across > 60) & (across < 90)] = 2
    labels[:, 150:170] = 0
    labels[20:30, 150:170] = 3
    image = np.where(rows > base, 200, 20).astype(np.uint8)
    found, level = flattened(image, labels, {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)})
    assert found.shape == (120, 200, 3)
    below = found[level + 3 : level + 20, :, 0]
    assert (below == 255).all()  # what lies under the line, and no column above it
    assert (found[..., 2].astype(int) - found[..., 0] > 200).any()  # the cyst is still there
    assert flattened(image, np.zeros_like(labels), {}) is None
    line = np.where(across < 100, base, np.nan).astype(float)
    told, level = flattened(image, np.zeros_like(labels), {}, line)
    assert (told[level + 3 : level + 20, :100, 0] == 255).all()
    holes = np.where(across < 20, np.float32(3.4e38), image.astype(np.float32))
    told, level = flattened(holes, labels, {})
    assert (told[level + 3 : level + 20, 20:, 0] == 255).all()
    assert not told[:, :20].any()


def test_maps_say_what_is_there():
    pixels = np.zeros((3, 4, 5), np.float32)
    pixels[1, :2] = 10
    pixels[2, 0, 0] = 3.4e38  # no pixel, in Heidelberg's files
    flat = projection(pixels)
    np.testing.assert_array_equal(flat[:, 0], (0, 5, 0))
    ground = greys(flat)
    heights = np.zeros((3, 5), np.float32)
    heights[1, 2], heights[2, 2] = 100, np.nan
    found = with_values(ground, heights, 100)
    assert (found[1, 2] != (ground * 0.6).astype(np.uint8)[1, 2]).any()
    np.testing.assert_array_equal(found[2], (ground * 0.6).astype(np.uint8)[2])
    states = under_review(ground, {0: "accepted", 1: "edited"}, {1: 0.5})
    assert states[0, 0].tolist() == [86, 180, 233]
    assert states[1, 2].tolist() != ground[1, 2].tolist()  # an expected error glows


def test_the_map_follows_the_slider_and_leads_it(open_dock, qtbot):
    viewer, dock = open_dock(show=True)
    image = viewer.add_image(
        np.zeros((6, 20, 30), np.uint8), name="eye", scale=(0.2, 0.004, 0.02), units=("mm",) * 3
    )
    panel = dock.measure.enface
    dock.panels.setCurrentWidget(dock.measure)
    qtbot.waitUntil(panel.isVisible, timeout=3000)
    qtbot.waitUntil(lambda: panel.view.drawing is not None, timeout=3000)
    viewer.dims.set_current_step(0, 4)
    assert panel.view.bscan == 4
    qtbot.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=point(panel.view, 1, 7))
    assert viewer.dims.current_step[0] == 1
    assert dock.measure.measures.facts.fovea is None  # a flat image has no pit
    qtbot.mouseDClick(panel.view, Qt.MouseButton.LeftButton, pos=point(panel.view, 2, 11))
    np.testing.assert_allclose(image.metadata["fovea"]["at"], (2, 11), atol=0.2)
    at, to = point(panel.view, 2, 11), point(panel.view, 3, 20)
    qtbot.mousePress(panel.view, Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseMove(panel.view, to)
    qtbot.mouseRelease(panel.view, Qt.MouseButton.LeftButton, pos=to)
    np.testing.assert_allclose(panel.view.drawing.fovea, (3, 20), atol=0.2)
    np.testing.assert_allclose(image.metadata["fovea"]["at"], (3, 20), atol=0.2)
    assert len(panel.view.drawing.lines) == 7  # three circles and four spokes
    dock.measure.map.click()
    assert not panel.isVisible()
    dock.measure.map.click()
    qtbot.waitUntil(panel.isVisible, timeout=3000)


def test_of_several_stacks_the_map_is_of_the_one_on_screen(open_dock, qtbot):
    viewer, dock = open_dock()
    pixels = np.zeros((2, 4, 24, 36), np.uint8)
    pixels[0, :, :, :18] = pixels[1, :, :, 18:] = 200
    viewer.add_image(pixels, name="eye")
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    dock.panels.setCurrentWidget(dock.measure)
    dock.measure.measures.wake(True)
    panel, (result,) = dock.measure.enface, dock.results
    result.uncertainty.data[...] = 0
    result.uncertainty.data[1, 2] = 1
    panel.isVisible = lambda: True
    reviews = dock.review.reviews
    qtbot.waitUntil(lambda: len(reviews.bench(result).queue.error) == 4, timeout=5000)
    reviews.accept(result, (0, 3))

    def drawn(shown):
        panel.refresh()
        panel.shown.setCurrentIndex(panel.shown.findText(shown))
        return panel.view.drawing.colours.astype(int)

    for stack, bright in ((0, np.s_[:, :18]), (1, np.s_[:, 18:])):
        viewer.dims.set_current_step(0, stack)
        image = drawn("image")
        assert (image[bright] == 255).all()
        assert image.sum() == image[bright].sum()
        doubt = drawn("uncertainty")
        assert (np.ptp(doubt[2], -1) > 0).all() == bool(stack)
        review = drawn("review")
        assert (review[3, 0].tolist() == [86, 180, 233]) != bool(stack)


def placed(window, here) -> str:
    """Where the map's dock is."""
    tab = "a tab" if window.tabifiedDockWidgets(here) else "below the layer list"
    return "floats" if here.isFloating() else tab


@pytest.mark.parametrize(
    ("height", "place"), [(600, "floats"), (690, "a tab"), (900, "below the layer list")]
)
def test_the_map_makes_no_window_higher(open_dock, qtbot, height, place):
    viewer, dock = open_dock(show=True)
    viewer.add_image(np.zeros((6, 20, 30), np.uint8), name="eye")
    viewer.add_labels(np.zeros((6, 20, 30), np.uint8))  # whose controls ask for more
    dock.complete()
    window = dock.window()
    window.resize(1280, height)
    qtbot.wait(100)
    assert window.height() == height
    dock.panels.setCurrentWidget(dock.measure)
    qtbot.waitUntil(dock.measure.enface.isVisible, timeout=3000)
    qtbot.wait(100)
    assert window.height() == height
    assert window.minimumSizeHint().height() <= height
    assert placed(window, dock.measure._dock) == place
    dock.measure.map.click()
    dock.measure.map.click()
    qtbot.wait(100)
    assert dock.measure.enface.isVisible()
    assert window.height() == height


@pytest.mark.parametrize(
    ("own", "height", "place"),
    [(560, 900, "below the layer list"), (950, 690, "a tab")],
    ids=["lower than the window", "higher than the window"],
)
def test_where_the_dock_floats_the_map_fits_into_naparis_window(
    open_dock, qtbot, own, height, place
):
    viewer, dock = open_dock(show=True)
    viewer.add_image(np.zeros((6, 20, 30), np.uint8), name="eye")
    viewer.add_labels(np.zeros((6, 20, 30), np.uint8))
    dock.complete()
    window, around = dock.window(), dock.parentWidget()
    while not isinstance(around, QDockWidget):
        around = around.parentWidget()
    window.resize(1280, height)
    around.setFloating(True)
    around.resize(420, own)
    qtbot.wait(100)
    assert dock.window() is around
    dock.panels.setCurrentWidget(dock.measure)
    qtbot.waitUntil(dock.measure.enface.isVisible, timeout=3000)
    qtbot.wait(100)
    assert window.height() == height
    assert placed(window, dock.measure._dock) == place


def test_the_panel_shows_the_fundus_and_the_bscan_flattened(measured):
    viewer, dock = measured()
    image, panel = viewer.layers["eye"], dock.measure.enface
    panel.isVisible = lambda: True
    scans = [np.array([[z, 0.0], [z, 9.0]]) for z in (8, 6, 4, 2)]
    image.metadata["fundus"] = {"pixels": np.full((10, 10), 90, np.uint8), "scans": scans}
    panel.refresh()
    shown = [panel.shown.itemText(n) for n in range(panel.shown.count())]
    assert shown[:3] == ["image", "fundus", "B-scan, flattened"]
    panel.shown.setCurrentIndex(1)
    assert len(panel.view.drawing.scans) == 4
    panel.view.clicked.emit(2, 0.5)
    assert viewer.dims.current_step[0] == 2
    assert panel.view.bscan == 2
    panel.shown.setCurrentIndex(2)
    before = panel.view.drawing
    assert before.colours.shape == (24, 36, 3)
    panel.view.clicked.emit(0, 0.5)  # along the line: the B-scan stays
    assert viewer.dims.current_step[0] == 2
    viewer.dims.set_current_step(0, 1)
    assert panel.view.drawing is not before
    assert "straight" in panel.view.tip(0, 0.5)
    image.metadata["fundus"] = "nonsense"
    panel.refresh()
    assert panel.shown.findText("fundus") < 0


@pytest.mark.parametrize("error", [OSError("disk gone"), SystemExit("out")], ids=repr)
def test_a_bscan_that_cannot_be_read_is_dark_and_costs_no_number(measured, monkeypatch, error):
    import dask.array as da
    from dask import delayed

    def plane(z):
        if z == 3:
            raise error
        return np.full(SHAPE[1:], 100 + z, np.uint8)

    planes = [da.from_delayed(delayed(plane)(z), SHAPE[1:], np.uint8) for z in range(4)]
    _, dock = measured(pixels=da.stack(planes))
    assert dock.measure.measures.problem == ""
    assert total(dock, "SRF").volume_nl == pytest.approx(3 * BAND * PIXEL_NL)
    panel = dock.measure.enface
    rows = panel._projection().mean((1, 2))
    assert rows[3] == 0 < rows[0] < rows[1] < rows[2]
    gone = da.stack([planes[3]] * 4)
    monkeypatch.setattr("napari_spad.measure.enface_panel.level_0", lambda _: gone)
    assert panel._flat() is None
    assert str(error) in panel.view.empty
