"""The tab Measure: right numbers in right units, which follow strokes; right words without them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from measuring import BAND, MM, PIXEL_NL, SHAPE, shown, total
from qtpy.QtGui import QGuiApplication

from napari_spad.keep.export import FORMATS, export

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_volumes_are_pixels_times_the_scale(measured):
    _, dock = measured()
    assert total(dock, "SRF").volume_nl == pytest.approx(4 * BAND * PIXEL_NL)
    assert shown(dock, "SRF", 1).splitlines()[0] == "3.6"
    headers = [dock.measure.table.horizontalHeaderItem(c).text() for c in range(2)]
    assert headers == ["", "all"]
    assert "derived from the layer's scale" in dock.measure.scale.text.text()


def test_volumes_of_a_part_of_the_stack_are_said_to_be_that(measured):
    _, dock = measured()
    assert "segmented" not in dock.measure.note.text()
    made = dock.results[0].layer.metadata["spad"]["provenance"]
    dock.results[0].layer.metadata["spad"]["provenance"] = made[:1]
    dock.measure.refresh()
    said = f"nly 1 of {len(made)} B-scans is segmented"
    assert said in dock.measure.note.text()
    assert said in dock.measure.saving.rows()[0]["remark"]


@pytest.mark.parametrize("inverted", [False, True])
def test_the_pit_is_looked_for_in_the_image_as_the_model_sees_it(monkeypatch, inverted):
    from napari.layers import Image

    from napari_spad.measure import counting
    from spad.measuring import Scale

    asked = []
    monkeypatch.setattr(counting, "propose_fovea", lambda *_, **how: asked.append(how))
    image = Image(np.zeros(SHAPE, np.uint8), metadata={"inverted": True} if inverted else {})
    facts = SimpleNamespace(image=image, shape=SHAPE, scale=Scale.of(MM))
    counting.pit_of(facts)()
    assert asked == [{"inverted": inverted}]


def test_a_table_without_numbers_has_no_header(qtbot):
    from napari_spad.measure.sheets import Sheet
    from napari_spad.measure.table import MeasureTable

    table = MeasureTable()
    qtbot.addWidget(table)
    for headers in ((), ("all",), ()):
        table.show_sheet(Sheet(headers, (), ()), {})
        assert table.horizontalHeader().isHidden() is not bool(headers)


def test_a_stroke_is_in_the_numbers_at_once_and_undo_too(measured, qtbot):
    viewer, dock = measured()
    layer, before = viewer.layers["eye – SPAD"], total(dock, "SRF").volume_nl
    layer.data_setitem((np.array([1, 1, 1]), np.array([0, 0, 1]), np.array([3, 4, 3])), 1)
    qtbot.waitUntil(
        lambda: total(dock, "SRF").volume_nl == pytest.approx(before + 3 * PIXEL_NL), timeout=300
    )
    layer.undo()
    qtbot.waitUntil(lambda: total(dock, "SRF").volume_nl == pytest.approx(before), timeout=2000)


def test_a_write_that_napari_does_not_tell_of_is_found(measured, qtbot):
    viewer, dock = measured()
    layer, before = viewer.layers["eye – SPAD"], total(dock, "SRF").volume_nl
    layer.data[3, 0, :5] = 1  # not on screen
    layer.refresh()
    qtbot.waitUntil(
        lambda: total(dock, "SRF").volume_nl == pytest.approx(before + 5 * PIXEL_NL), timeout=2000
    )


def test_the_samples_give_a_range_and_what_is_accepted_is_certain(measured, qtbot):
    _, dock = measured()
    srf = total(dock, "SRF")
    # The fake engine's samples are its labels moved down: those of the last row wrap around.
    assert srf.low_nl == pytest.approx(srf.volume_nl)
    assert srf.high_nl == pytest.approx(srf.volume_nl)
    result = dock.results[0]
    packed = result.packed[(0,)]
    result.packed[(0,)] = type(packed).of(packed.samples() * 0)
    dock.desk.written.emit(result, (0,))
    qtbot.waitUntil(lambda: total(dock, "SRF").low_nl < 3.6, timeout=2000)
    assert total(dock, "SRF").low_nl == pytest.approx(3 * BAND * PIXEL_NL)
    dock.review.reviews.accept(result, (0,))
    qtbot.waitUntil(lambda: total(dock, "SRF").low_nl == pytest.approx(srf.volume_nl), timeout=2000)


def test_the_reference_stands_beside_it(measured, qtbot):
    viewer, dock = measured()
    truth = viewer.layers["eye – SPAD"].data.copy()
    truth[0][truth[0] == 1] = 0
    viewer.add_labels(truth, name="truth", scale=MM, units=("mm",) * 3)
    dock.scores.reference.choose(viewer.layers["truth"])
    dock.measure.shown.setCurrentIndex(dock.measure.shown.findData("against"))
    qtbot.waitUntil(lambda: bool(dock.measure.measures.reference_rows), timeout=5000)
    assert [shown(dock, "SRF", c) for c in (1, 2, 3)] == ["2.7", "3.6", "+0.9\n+33%"]


def test_beside_a_reference_only_what_that_annotates_is_compared(measured, qtbot):
    """As scores do: a public reader's labels end where the reader stopped (Duke's)."""
    viewer, dock = measured()
    labels, panel = viewer.layers["eye – SPAD"], dock.measure
    truth = labels.data.copy()
    truth[2:], truth[:, :, 30:] = 255, 255
    truth[0][truth[0] == 1] = 0
    viewer.add_labels(truth, name="truth", scale=MM, units=("mm",) * 3)
    dock.scores.reference.choose(viewer.layers["truth"])
    panel.shown.setCurrentIndex(panel.shown.findData("against"))
    measures = panel.measures
    qtbot.waitUntil(lambda: bool(measures.reference_rows), timeout=5000)
    one, all_ = 2 * 30 * PIXEL_NL, 4 * BAND * PIXEL_NL
    assert [shown(dock, "SRF", c) for c in (1, 2)] == [f"{one:.3g}", f"{2 * one:.3g}"]
    assert "reference is not annotated everywhere" in panel.note.text()
    assert total(dock, "SRF").volume_nl == pytest.approx(all_)  # what there is, in other sheets
    (agreed,) = (a for v, a in panel._agreed().items() if v == 1)
    np.testing.assert_allclose(agreed.differences, [2 * 30 * MM[1] * MM[2], 0], atol=1e-9)
    labels.data_setitem((np.array([1, 3]), np.array([20, 20]), np.array([5, 5])), 1)
    more = 2 * one + PIXEL_NL  # the other pixel lies where nobody annotated
    qtbot.waitUntil(lambda: shown(dock, "SRF", 2) == f"{more:.3g}", timeout=5000)
    told = {row["labels"]: row["remark"] for row in panel.saving.rows()}
    assert "reference is not annotated everywhere" in told["truth"]


def test_circles_and_fields_come_with_a_fovea(measured):
    _, dock = measured(shape=(9, 24, 160))
    facts = dock.measure.measures.facts
    facts.place_fovea((4.0, 79.5))
    assert "first B-scan is taken to be inferior" in dock.measure.note.text()
    facts.choose_eye("OD")
    facts.choose_first("superior")
    assert "taken to be inferior" not in dock.measure.note.text()
    assert dock.measure.measures.live.grid.first == "superior"
    by = {m.region: m for m in dock.measure.measures.rows if m.structure == "SRF"}
    height_mm = 2 * MM[1]
    assert by["1 mm"].volume_nl == pytest.approx(np.pi / 4 * height_mm * 1000, rel=0.01)
    assert by["3 mm"].scanned < 0.7
    assert {"S3", "N3", "I3", "T3"} <= set(by)
    assert dock.measure.fovea.text() == "B-scan 4.0, column 80, by hand"


@pytest.mark.parametrize(
    ("mm", "shape", "words"),
    [
        ((0.25, None, None), SHAPE, "scale of rows or columns is not known"),
        ((None, 0.004, 0.0125), SHAPE, "distance of the B-scans is not known"),
        (MM, SHAPE[1:], "One single B-scan: areas and heights, but no volume"),
    ],
)
def test_what_cannot_be_measured_is_said(measured, mm, shape, words):
    _, dock = measured(mm=mm, shape=shape)
    assert words in dock.measure.note.text()
    for row in range(dock.measure.table.rowCount()):
        assert dock.measure.table.item(row, 1).text() == "–"


def test_a_turned_layer_is_measured_and_a_slanted_or_stretched_one_refused(measured, qtbot):
    viewer, dock = measured()
    image, right = viewer.layers["eye"], total(dock, "SRF").volume_nl
    measures = dock.measure.measures
    image.rotate = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    measures.look()
    assert total(dock, "SRF").volume_nl == right
    for crooked in ({"shear": (0.1, 0, 0)}, {"affine": np.diag((1, 1, 2, 1))}):
        for name, value in {"shear": np.zeros(3), "affine": np.eye(4), **crooked}.items():
            setattr(image, name, value)
        measures.look()
        dock.measure.scale.refresh()
        dock.measure.refresh()
        assert dock.measure.note.text().startswith("A transform slants or stretches “eye”")
        assert measures.rows == ()
        assert not dock.measure.saving.csv.isEnabled()
        assert dock.measure.scale.text.text().startswith("no mm: a transform")
    image.affine = np.eye(4)
    measures.look()
    qtbot.waitUntil(lambda: bool(measures.rows), timeout=5000)
    assert total(dock, "SRF").volume_nl == right


def test_a_wrong_scale_is_doubted_beside_the_numbers(measured):
    _, dock = measured(mm=(0.25, 1.0, 1.0))
    assert "in OCT they are 0.5 to 50 µm apart" in dock.measure.note.text()


def test_what_fills_smaller_bscans_up_is_not_measured_and_a_fovea_outside_is_none(measured, qtbot):
    viewer, dock = measured()
    image, labels = viewer.layers["eye"], viewer.layers["eye – SPAD"].data
    sizes = image.metadata["bscan_sizes"] = [(24, 36), (24, 20), (24, 36), (24, 10)]
    image.metadata["fovea"] = {"at": [1, 99], "origin": "in the file"}
    measures = dock.measure.measures
    measures._begin()
    qtbot.waitUntil(lambda: bool(measures.rows), timeout=5000)
    dock.measure.refresh()
    pixels = sum((b[:h, :w] == 1).sum() for b, (h, w) in zip(labels, sizes, strict=True))
    assert total(dock, "SRF").volume_nl == pytest.approx(pixels * PIXEL_NL)
    assert pixels < (labels == 1).sum()
    assert "B-scans of unequal sizes: what fills" in dock.measure.note.text()
    assert "The fovea is not known: double click" in dock.measure.note.text()


def test_other_data_put_into_the_labels_are_told_and_exported_as_they_are(
    measured, qtbot, tmp_path
):
    viewer, dock = measured()
    layer, measures = dock.results[0].layer, dock.measure.measures
    layer.data = layer.data[1:, :20].copy()
    qtbot.waitUntil(lambda: bool(measures.problem), timeout=5000)
    assert "holds other data now, of shape (3, 20, 36), and “eye” is of (4, 24, 36)" in (
        measures.problem
    )
    panel = dock.measure.visits
    panel.look()
    with pytest.raises(ValueError, match="holds other data now"):
        panel.stacks[0].task()
    viewer.layers.remove("eye")  # they are measured by themselves, without the samples
    measures.look()
    qtbot.waitUntil(lambda: bool(measures.rows), timeout=5000)
    assert total(dock, "SRF").volume_nl == pytest.approx((layer.data == 1).sum() * PIXEL_NL)
    assert total(dock, "SRF").low_nl is None
    for suffix in (".tif", ".png"):
        form = next(form for form in FORMATS if form.suffix == suffix)
        _, meta, _ = layer.as_layer_data_tuple()
        files = export(tmp_path / f"cropped{suffix}", form, layer.data, meta)
        told = json.loads(next(Path(f) for f in files if f.endswith(".json")).read_text("utf-8"))
        assert told["shape"][-2:] == [20, 36]
        assert not told.get("edited"), "who painted what is not known of these"


def test_the_first_samples_that_come_amid_other_changes_are_counted_anew(measured, qtbot):
    _, dock = measured()
    result, measures = dock.results[0], dock.measure.measures
    packed = dict(result.packed)
    result.packed.clear()
    measures._of = None
    measures.look()  # the labels alone
    qtbot.waitUntil(lambda: measures.live is not None, timeout=5000)
    assert not measures._number
    result.packed |= packed
    result.layer.data[2, 0] = 1
    measures._samples_due.add(2)
    measures._on_quiet()
    qtbot.waitUntil(lambda: bool(measures.rows), timeout=5000)
    assert total(dock, "SRF").low_nl is not None


def test_sizes_of_bscans_that_make_no_sense_are_as_good_as_none(measured):
    viewer, dock = measured()
    pixels = (viewer.layers["eye – SPAD"].data == 1).sum()
    image = viewer.layers["eye"]
    for odd in ([(24, 36)], "24 x 36", [(0, 99)] * 4, 7):
        image.metadata["bscan_sizes"] = odd
        assert dock.measure.measures.class_maps().shape == (4, 24, 36)
        assert (dock.measure.measures.class_maps() == 1).sum() == pixels


def test_what_limits_the_numbers_stands_in_the_rows_of_the_table_too(measured, qtbot):
    viewer, dock = measured(mm=(0.3, 0.004, 0.0125), shape=(9, 24, 160))
    viewer.add_labels(viewer.layers["eye – SPAD"].data.copy(), name="theirs")
    theirs = viewer.layers["theirs"]
    theirs.scale, theirs.units = viewer.layers["eye"].scale, viewer.layers["eye"].units
    dock.scores.reference.choose(theirs)
    measures = dock.measure.measures
    qtbot.waitUntil(lambda: bool(measures.reference_rows), timeout=5000)
    measures.facts.place_fovea((4.0, 79.5))
    rows = dock.measure.saving.rows()
    assert {row["labels"] for row in rows} == {"eye – SPAD", "theirs"}
    for row in rows:
        assert "B-scans are 300 µm apart" in row["remark"]
        assert "74% of the 3 mm circle" in row["remark"]
        assert "nobody said which eye it is" in row["remark"]


def test_an_empty_structure_is_nought_and_leads_nowhere(measured, qtbot):
    viewer, dock = measured()
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data == 4), 0)
    qtbot.waitUntil(lambda: total(dock, "SHRM").volume_nl == 0, timeout=2000)
    assert shown(dock, "SHRM", 1).splitlines()[0] == "0"
    dock.measure.shown.setCurrentIndex(dock.measure.shown.findData("largest"))
    step = viewer.dims.current_step
    row = [dock.measure.table.item(r, 0).text() for r in range(5)].index("SHRM")
    dock.measure.table.cellClicked.emit(row, 1)
    assert viewer.dims.current_step == step
    assert [shown(dock, "SHRM", c) for c in (1, 2, 3, 4)] == ["0", "0", "0", "0"]


def test_a_click_goes_to_the_largest_area(measured, qtbot):
    viewer, dock = measured()
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem((np.full(9, 2), np.zeros(9, int), np.arange(9)), 1)
    qtbot.waitUntil(lambda: total(dock, "SRF").largest_area_bscan == 2, timeout=2000)
    viewer.dims.set_current_step(0, 0)
    dock.measure.shown.setCurrentIndex(dock.measure.shown.findData("largest"))
    dock.measure.table.cellClicked.emit(0, 1)
    assert viewer.dims.current_step[0] == 2


def test_the_table_is_copied_and_saved_with_units_and_the_scales_origin(measured, tmp_path):
    _, dock = measured()
    dock.measure.saving.copy.click()
    head, first, *_ = QGuiApplication.clipboard().text().splitlines()
    assert "volume [nL]" in head.split("\t")
    assert first.split("\t")[head.split("\t").index("structure")] == "SRF"
    path = tmp_path / "numbers.csv"
    dock.measure.saving.save_csv(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["volume [nL]"]) == pytest.approx(3.6)
    assert "derived from the layer's scale" in rows[0]["scale"]
    assert "research use only" in rows[0]["notice"]
    dock.measure.saving.save_csv(tmp_path / "no such folder" / "x.csv")
    assert "no such folder" in dock.footer.status.text()


def test_a_page_is_written(measured, qtbot, tmp_path):
    pytest.importorskip("matplotlib")
    _, dock = measured()
    path = tmp_path / "page.pdf"
    dock.measure.saving.save_pdf(path)
    qtbot.waitUntil(lambda: dock.footer.status.text() == f"Written: {path}", timeout=20_000)
    assert path.read_bytes().startswith(b"%PDF")


def test_the_page_shows_colours_as_the_model_saw_them(measured, qtbot, tmp_path, monkeypatch):
    from napari_spad.measure import saving

    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[..., 1] = 100  # a mean would be 33
    pages = []
    monkeypatch.setattr(saving, "page_pdf", lambda **page: pages.append(page) or b"%PDF")
    _, dock = measured(pixels=pixels)
    dock.measure.saving.save_pdf(tmp_path / "page.pdf")
    qtbot.waitUntil(lambda: bool(pages), timeout=20_000)
    np.testing.assert_allclose(pages[0]["image"], np.full(SHAPE, 58.7), rtol=1e-5)


def test_labels_without_their_image_are_measured_too(measured, qtbot):
    viewer, dock = measured()
    viewer.layers.remove("eye")
    dock.measure.measures.look()
    qtbot.waitUntil(lambda: bool(dock.measure.measures.rows), timeout=5000)
    assert total(dock, "SRF").volume_nl == pytest.approx(4 * BAND * PIXEL_NL)
