"""Lines in a viewer without a window: tools, actions, undo, a band and its labels, files."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from vispy.util.keys import SHIFT, Key

from napari_spad.borders import add_lines, borders_of
from napari_spad.borders.line_actions import LineActions
from napari_spad.borders.line_files import export_lines, import_lines
from napari_spad.borders.line_layers import LineDrawing, bscan_of, image_of, placed_like
from napari_spad.borders.tools import Tools
from spad.borders import Lines, in_order

SHAPE = (5, 60, 80)
TOPS = (20.5, 35.5)


def stack() -> np.ndarray:
    """Two bright bands in speckle, on every B-scan one row further down."""
    rows = np.arange(SHAPE[1])[None, :, None] - np.arange(SHAPE[0])[:, None, None]
    bright = 90 * (rows > TOPS[0]) * (rows < TOPS[0] + 6) + 150 * (rows > TOPS[1])
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    return (60 + bright + noise).clip(0, 255).astype(np.uint8)


class Bench:
    """A viewer with an image, lines over it, and the tools."""

    def __init__(self, names: tuple[str, ...] = ("ILM", "IS/OS", "BM")) -> None:
        self.viewer = ViewerModel()
        self.image = self.viewer.add_image(stack(), name="eye", scale=(0.2, 0.004, 0.01))
        lines = Lines.nowhere(names, SHAPE[0], SHAPE[2])
        placed = placed_like(self.image)
        self.layer = add_lines(self.viewer, lines, SHAPE[1], "eye – lines", placed)
        self.borders = borders_of(self.layer)
        assert self.borders is not None
        self.said: list[str] = []
        drawing = LineDrawing(self.viewer, self.layer)
        self.tools = Tools(self.viewer, self.layer, self.borders, drawing, self.said.append)
        self.actions = LineActions(self.viewer, self.borders, self.tools, self.said.append)
        self.go(0)

    def go(self, z: int) -> None:
        self.viewer.dims.set_current_step(0, z)

    def event(self, kind: str, row: float, column: float, *modifiers: Key) -> SimpleNamespace:
        place = self.layer.data_to_world((self.tools.bscan, row, column))
        return SimpleNamespace(type=kind, button=1, position=place, modifiers=modifiers)

    def stroke(self, *points: tuple[float, float], shift: bool = False) -> None:
        event = self.event("mouse_press", *points[0], *([SHIFT] if shift else []))
        for generator in [f(self.layer, event) for f in self.layer.mouse_drag_callbacks]:
            next(generator, None)
            for point in points[1:]:
                vars(event).update(vars(self.event("mouse_move", *point, *event.modifiers)))
                next(generator, None)
            event.type = "mouse_release"
            next(generator, None)

    def line(self, number: int = 0, z: int = 0) -> np.ndarray:
        return self.borders.heights[number, z]


def test_a_stroke_replaces_a_stretch_and_shift_rubs_it_out() -> None:
    bench = Bench()
    bench.stroke((30, 30))
    assert np.isnan(bench.line()).all(), "a click alone leaves nothing"
    bench.stroke((10, 5), (14, 25), (10, 45))
    assert np.isfinite(bench.line()[5:46]).all()
    assert np.isnan(bench.line()[[4, 46]]).all()
    assert bench.line()[15] == pytest.approx(12)
    bench.stroke((30, 20), (30, 24), shift=True)
    assert np.isnan(bench.line()[20:25]).all()
    bench.actions.undo()
    assert np.isfinite(bench.line()[5:46]).all()
    bench.actions.undo()
    assert np.isnan(bench.borders.heights).all()
    bench.actions.undo(again=True)
    assert np.isfinite(bench.line()[5:46]).all()


@pytest.mark.parametrize("others", ["push", "stop"])
def test_lines_push_or_stop_each_other(others) -> None:
    bench = Bench()
    bench.tools.others = others
    bench.stroke((20, 0), (20, 79))
    bench.borders.select(1)
    bench.stroke((30, 0), (30, 79))
    bench.stroke((10, 40), (10, 60))
    assert in_order(bench.borders.heights[:, 0])
    assert bench.line(0)[50] == (10 if others == "push" else 20)
    assert bench.line(1)[50] == (10 if others == "push" else 20)


def test_a_drag_takes_the_nearest_line_along() -> None:
    bench = Bench()
    bench.stroke((20, 0), (20, 79))
    bench.borders.select(1)
    bench.stroke((30, 0), (30, 79))
    bench.tools.choose("drag")
    bench.tools.reach = 10
    bench.stroke((21, 40), (18, 40), (16, 40))
    assert bench.borders.selected == 0
    assert bench.line(0)[40] == pytest.approx(15)
    assert (bench.line(0)[[30, 50]] == 20).all()
    assert (bench.line(1) == 30).all()


def test_a_wire_follows_the_edge_and_knots_are_joined_smoothly() -> None:
    bench = Bench()
    bench.tools.choose("wire")
    for column in (2, 40, 77):
        bench.stroke((TOPS[0] + 1, column))
    assert np.nanmean(np.abs(bench.line() - TOPS[0])) < 0.6
    assert np.isfinite(bench.line()[2:78]).all()
    bench.borders.select(1)
    bench.tools.choose("knots")
    for point in ((40, 5), (44, 40), (40, 75)):
        bench.stroke(point)
    assert bench.line(1)[[5, 40, 75]] == pytest.approx([40, 44, 40])
    bench.actions.undo()
    assert np.isnan(bench.line(1)[41:]).all(), "each click is one step"


def test_edges_are_those_of_the_pixels_that_are_there_now() -> None:
    bench = Bench()
    bench.tools.choose("wire")
    for column in (2, 40, 77):
        bench.stroke((TOPS[0] + 1, column))
    bench.image.data = np.roll(stack(), 8, axis=1)
    bench.borders.select(1)
    for column in (2, 40, 77):
        bench.stroke((TOPS[0] + 9, column))
    assert np.nanmean(np.abs(bench.line(1) - TOPS[0] - 8)) < 0.6


def test_the_stretch_drawn_last_is_snapped_then_all_of_it() -> None:
    bench = Bench()
    bench.stroke((TOPS[0] + 1.5, 0), (TOPS[0] + 1.5, 79))
    bench.stroke((TOPS[0] + 1.5, 20), (TOPS[0] + 1.5, 50))
    bench.actions.snap(6)
    assert np.abs(bench.line()[20:51] - TOPS[0]).mean() < 0.6
    assert (bench.line()[:20] == TOPS[0] + 1.5).all()
    bench.borders.stretch = None
    bench.actions.snap(6)
    assert np.abs(bench.line() - TOPS[0]).mean() < 0.6
    rough = np.abs(np.diff(bench.line())).sum()
    bench.actions.smooth()
    assert np.abs(np.diff(bench.line())).sum() <= rough


def test_a_copy_moves_as_the_eye_moved_and_between_fills_the_gap() -> None:
    bench = Bench()
    bench.stroke((TOPS[0], 0), (TOPS[0], 79))
    bench.go(1)
    bench.actions.copy(-1)
    assert bench.line(z=1)[10:70] == pytest.approx(np.full(60, TOPS[0] + 1))
    bench.go(4)
    bench.stroke((TOPS[0] + 4, 0), (TOPS[0] + 4, 79))
    bench.actions.interpolate()
    assert "Go to a B-scan between two" in bench.said[-1]
    bench.go(2)
    bench.actions.interpolate()
    assert "B-scans 2 to 3" in bench.said[-1]
    for z in (2, 3):
        assert bench.line(z=z)[10:70] == pytest.approx(np.full(60, TOPS[0] + z), abs=0.6)
    assert bench.borders.by_hand[0].tolist() == [True, True, False, False, True]
    bench.go(0)
    bench.actions.undo()
    assert np.isnan(bench.borders.heights[0, 2:4]).all(), "one step for all of them"
    assert bench.tools.bscan == 2, "what is undone is seen"
    assert bench.said[-1] == "B-scan 2: taken back."
    bench.actions.undo(again=True)
    assert bench.said[-1] == "The last step of the lines is made again."


def test_between_fills_where_a_line_is_missing_between_two_that_a_file_has() -> None:
    bench = Bench()
    for z in (0, 4):  # as opened from a file: nothing of it is by hand
        bench.borders.heights[0, z] = TOPS[0] + z
    bench.borders.heights[1] = 35.5
    bench.go(2)
    bench.actions.interpolate()
    assert "B-scans 1 to 3" in bench.said[-1]
    for z in (1, 2, 3):
        assert bench.line(z=z)[10:70] == pytest.approx(np.full(60, TOPS[0] + z), abs=0.6)
    bench.actions.remove()
    bench.go(3)
    bench.actions.remove()
    bench.actions.interpolate()
    assert bench.line(z=3)[10:70] == pytest.approx(np.full(60, TOPS[0] + 3), abs=0.6)
    assert np.isnan(bench.line(z=2)).all(), "what was taken away there stays so"
    before = bench.borders.heights[1].copy()
    bench.borders.selected = 1
    bench.actions.interpolate()
    assert "Go to a B-scan between two" in bench.said[-1], "it is there already"
    np.testing.assert_array_equal(bench.borders.heights[1], before)


def test_what_cannot_be_done_is_said() -> None:
    bench = Bench()
    bench.actions.snap(5)
    assert "not on this B-scan yet" in bench.said[-1]
    bench.actions.copy(-1)
    assert "no B-scan beside" in bench.said[-1]
    bench.actions.undo()
    assert "nothing to undo" in bench.said[-1]
    bench.tools.choose("drag")
    bench.stroke((5, 5), (8, 5))
    assert "draw one first" in bench.said[-1]
    bench.tools.choose("draw")
    bench.stroke((5, 5), (5, 9))
    bench.viewer.layers.remove(bench.image)
    bench.actions.snap(5)
    assert "no image under the lines" in bench.said[-1]


def test_a_line_stays_within_its_bscan_and_a_duplicate_has_lines_of_its_own() -> None:
    bench = Bench()
    bench.stroke((-20, -9), (500, 200))
    assert np.nanmin(bench.line()) >= -0.5
    assert np.nanmax(bench.line()) <= SHAPE[1] - 0.5
    twin = copy.deepcopy(bench.borders)
    twin.put({1: np.full_like(twin.plane(1), 7)})
    assert np.isnan(bench.line(z=1)).all()


def test_lines_find_their_image_and_their_bscan() -> None:
    bench = Bench()
    bench.go(3)
    assert bscan_of(bench.layer, bench.viewer) == 3
    bench.viewer.add_image(np.zeros((4, 60, 80)))
    assert image_of(bench.borders, bench.viewer) is bench.image


def test_lines_keep_to_their_own_visit_where_another_of_its_size_lies_above() -> None:
    bench = Bench()
    other = bench.viewer.add_image(np.zeros(SHAPE), name="next visit")
    assert image_of(bench.borders, bench.viewer) is bench.image
    bench.layer.name = "ILM to BM"  # renamed by hand: its own as ever
    bench.image.name = "first visit"
    assert image_of(bench.borders, bench.viewer) is bench.image
    bench.viewer.layers.remove(bench.image)
    assert image_of(bench.borders, bench.viewer) is None, "and not those of the next visit"
    again = bench.viewer.add_image(np.zeros(SHAPE), name="first visit")  # opened anew
    bench.viewer.layers.move_selected(bench.viewer.layers.index(again), 0)
    assert image_of(bench.borders, bench.viewer) is again is not other


@pytest.mark.parametrize("kind", ["in colour", "with NaN"])
def test_lines_follow_edges_of_images_that_no_model_takes_as_they_are(kind, tmp_path) -> None:
    bench, plain = Bench(), Bench()
    pixels = stack()
    if kind == "in colour":
        pixels = np.repeat(pixels[..., None], 3, -1)
        pixels[0, 0, 0] = (9, 0, 0)
    else:
        pixels = pixels.astype(np.float32)
        pixels[:, :, :8] = np.nan
    bench.viewer.layers.remove(bench.image)
    image = bench.viewer.add_image(pixels, rgb=kind == "in colour", name="eye")
    for one in (bench, plain):
        one.tools.choose("wire")
        one.stroke((TOPS[0] + 1, 12))
        one.stroke((TOPS[0] - 1, 70))
        one.actions.snap(3)
        one.go(1)
        one.actions.copy(-1)
    for z in (0, 1):
        far = slice(30, 70)  # of the columns without pixels
        assert bench.line(z=z)[far] == pytest.approx(plain.line(z=z)[far], abs=0.3)
    eyepy = pytest.importorskip("eyepy", reason="eyepy is not installed: the extra oct")
    said = export_lines(bench.layer, tmp_path / "lines.eye", bench.viewer)
    assert "in pixels" in said, "this image has no scale"
    volume = eyepy.EyeVolume.load(tmp_path / "lines.eye")
    assert volume.data.shape == SHAPE
    assert (volume.meta["scale_unit"], volume.scale) == ("pixel", (1.0, 1.0, 1.0))
    image.scale, image.units = (0.2, 0.004, 0.01), ("mm",) * 3
    assert export_lines(bench.layer, tmp_path / "lines.eye", bench.viewer) == ""
    volume = eyepy.EyeVolume.load(tmp_path / "lines.eye")
    assert (volume.meta["scale_unit"], volume.scale) == ("mm", (0.2, 0.004, 0.01))


def test_a_wire_over_an_image_that_cannot_be_read_goes_straight_and_says_so() -> None:
    da = pytest.importorskip("dask.array")
    bench = Bench()
    bench.viewer.layers.remove(bench.image)
    gone = [False]

    def read(block):
        if gone[0]:
            raise OSError("the drive is gone")
        return block

    lazy = da.from_array(stack(), chunks=(1, *SHAPE[1:])).map_blocks(read, dtype=np.uint8)
    bench.viewer.add_image(lazy, contrast_limits=(0, 255), name="eye")
    gone[0] = True
    bench.tools.choose("wire")
    bench.stroke((20, 10))
    bench.stroke((30, 60))
    assert bench.line()[35] == pytest.approx(25)
    assert "no edges to follow: B-scan 0 of “eye” cannot be read (the drive is" in bench.said[-1]


def test_nothing_is_drawn_where_the_stack_is_seen_from_another_side() -> None:
    bench = Bench()
    bench.stroke((30, 0), (30, 79))
    before = bench.borders.heights.copy()
    for order in ((1, 0, 2), (2, 0, 1), (0, 2, 1)):
        bench.viewer.dims.order = order
        for tool in ("draw", "drag", "wire", "knots"):
            bench.tools.choose(tool)
            bench.stroke((30, 20), (35, 40), (37, 60))
            assert "turn the view back" in bench.said[-1]
        for change in (
            bench.actions.remove,
            bench.actions.smooth,
            bench.actions.interpolate,
            lambda: bench.actions.copy(1),
            lambda: bench.actions.snap(5),
        ):
            bench.said.clear()
            change()
            assert "turn the view back" in bench.said[-1]
    assert np.array_equal(bench.borders.heights, before, equal_nan=True)


def test_a_layers_name_tells_the_image_of_which_it_is_not_one_whose_name_begins_alike() -> None:
    viewer, placed = ViewerModel(), {"scale": (1, 1, 1)}
    for name in ("eye – late", "eye"):
        viewer.add_image(np.zeros(SHAPE), name=name)
    lines = Lines.nowhere(("ILM",), SHAPE[0], SHAPE[2])
    layer = add_lines(viewer, lines, SHAPE[1], "eye – late – lines", placed)
    assert image_of(borders_of(layer), viewer).name == "eye – late"
    read_back = add_lines(viewer, lines, SHAPE[1], "ILM", placed, "eye – late")
    assert image_of(borders_of(read_back), viewer).name == "eye – late"
    unknown = add_lines(viewer, lines, SHAPE[1], "ILM", placed)
    assert image_of(borders_of(unknown), viewer).name == "eye", "the topmost"


def test_a_duplicated_layer_has_lines_of_its_own() -> None:
    from napari.layers._layer_actions import _duplicate_layer

    bench = Bench()
    bench.stroke((30, 0), (30, 79))
    bench.viewer.layers.selection = {bench.layer}
    _duplicate_layer(bench.viewer.layers)
    twin = borders_of(bench.viewer.layers[f"{bench.layer.name} copy"])
    bench.stroke((40, 0), (40, 79))
    assert (twin.heights[0, 0] == 30).all()
    assert (borders_of(bench.layer).heights[0, 0] == 40).all()
    assert image_of(twin, bench.viewer) is bench.image


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".eye"])
def test_what_is_exported_is_read_back_to_the_same_numbers(tmp_path, suffix) -> None:
    if suffix == ".eye":
        pytest.importorskip("eyepy", reason="eyepy is not installed: the extra oct")
    bench = Bench()
    for number, row in enumerate((10.25, 20.125, 40.3)):
        bench.borders.select(number)
        bench.stroke((row, 3), (row + 1 / 3, 70))
    path = tmp_path / f"eye{suffix}"
    export_lines(bench.layer, path, bench.viewer)
    after = import_lines(path, SHAPE)
    assert after.names == bench.borders.names
    assert np.array_equal(after.heights, bench.borders.heights, equal_nan=True)
    with pytest.raises(ValueError, match="lines of 5 B-scans of 80 columns, and the image 4 of 80"):
        import_lines(path, (4, 60, 80))
