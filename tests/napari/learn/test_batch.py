"""A folder, or all open images, through the dock: skipped, named, cancelled, written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

import tifffile
from conftest import FakeEngine, fake_labels
from PIL import Image as Picture

from napari_spad.learn.batch import image_files
from spad.checkpoint.safetensors_file import sha256
from spad.inference import ServerError
from spad.measuring import Scale

pytestmark = pytest.mark.gui

SHAPE = (24, 36)


class Hashed(FakeEngine):
    """The quick engine, with the provenance that the real one writes."""

    def steps(self, *args, **options):
        made = yield from super().steps(*args, **options)
        made.provenance.update(
            {
                "checkpoint": {"name": "fake", "sha256": sha256(self.checkpoint)},
                "steps": options["steps"] or 3,
            }
        )
        return made


@pytest.fixture
def engine(tmp_path: Path) -> Hashed:
    path = tmp_path / "fake.safetensors"
    path.write_bytes(b"fake")
    return Hashed(path)


@pytest.fixture
def panel(open_dock, qtbot):
    """The dock with the panel in it, and the folder of images chosen."""
    from napari_spad.learn.train_panel import TrainingPanel

    _viewer, dock = open_dock()
    panel = TrainingPanel(dock.desk)
    dock.panels.addTab(panel, "Train")
    panel.follow(dock.form)
    panel.dock = dock
    yield panel
    panel.disconnect_viewer()


def bscan(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        Picture.fromarray(bscan(number)).save(folder / f"eye{number}.png")
    return folder


def run(panel, qtbot, button=None) -> str:
    (button or panel.batch.folder).click()
    qtbot.waitUntil(lambda: not panel.desk.busy, timeout=20_000)
    return panel.batch.status.text()


def test_a_folder_becomes_label_maps_with_sidecars(panel, scans: Path, qtbot):
    tifffile.imwrite(scans / "volume.tif", bscan(5, (4, *SHAPE)), photometric="minisblack")
    (scans / "letter.txt").write_text("Dear")
    panel.batch.images.choose(scans)
    assert run(panel, qtbot) == "4 segmented."
    out = scans / "spad"
    picture = Picture.open(out / "eye1.png")
    np.testing.assert_array_equal(np.asarray(picture), fake_labels(bscan(1)))
    assert picture.mode == "P"
    np.testing.assert_array_equal(tifffile.imread(out / "volume.tif"), [fake_labels(bscan())] * 4)
    beside = json.loads((out / "volume.spad.json").read_text())
    assert [entry["bscan"] for entry in beside["provenance"]] == [[0], [1], [2], [3]]
    assert beside["image"] == "volume.tif"
    assert not panel.desk.viewer.layers


def test_what_is_done_is_skipped_unless_model_settings_or_image_changed(
    panel, scans: Path, engine: Hashed, qtbot
):
    panel.batch.images.choose(scans)
    run(panel, qtbot)
    assert run(panel, qtbot) == "0 segmented, 3 done before and skipped."
    assert len(engine.calls) == 3
    Picture.fromarray(bscan(9)).save(scans / "eye0.png")
    assert run(panel, qtbot).startswith("1 segmented, 2 done")
    panel.dock.form.seed.setValue(7)
    assert run(panel, qtbot) == "3 segmented."
    engine.checkpoint.write_bytes(b"another model")
    assert run(panel, qtbot) == "3 segmented."


def test_an_older_result_is_kept_when_it_is_made_anew(panel, scans: Path, qtbot):
    panel.batch.images.choose(scans)
    run(panel, qtbot)
    corrected = np.full(SHAPE, 2, np.uint8)
    Picture.fromarray(corrected).save(scans / "spad" / "eye0.png")
    panel.dock.form.seed.setValue(7)
    run(panel, qtbot)
    kept = scans / "spad" / "eye0.png.1.bak"
    np.testing.assert_array_equal(np.asarray(Picture.open(kept, formats=["PNG"])), corrected)
    assert (scans / "spad" / "eye0.spad.json.1.bak").exists()


def test_a_bad_file_is_named_and_does_not_end_the_others(panel, scans: Path, qtbot):
    (scans / "broken.png").write_bytes(b"no picture")
    tifffile.imwrite(scans / "nan.tif", np.full(SHAPE, np.nan, np.float32))
    (scans / "spad").mkdir()
    Picture.fromarray(bscan()).save(scans / "spad" / "eye2.png")  # somebody's own
    panel.batch.images.choose(scans)
    said = run(panel, qtbot)
    assert said.startswith("2 segmented, 3 failed.")
    assert "broken.png: cannot be read" in said
    assert "nan.tif" in said
    assert "NaN" in said
    assert "eye2.png is in the folder of the results, and has no sidecar" in said
    np.testing.assert_array_equal(np.asarray(Picture.open(scans / "spad" / "eye2.png")), bscan())


def test_a_bad_bscan_is_named_and_costs_no_other(panel, tmp_path: Path, qtbot):
    pixels = bscan(5, (4, *SHAPE)).astype(np.float32)
    pixels[2] = np.nan
    folder = tmp_path / "stacks"
    folder.mkdir()
    tifffile.imwrite(folder / "volume.tif", pixels, photometric="minisblack")
    panel.batch.images.choose(folder)
    said = run(panel, qtbot)
    assert said.startswith("1 segmented.")
    assert "volume.tif: 3 of 4 B-scans are done; left out: 2 (" in said
    whole = fake_labels(bscan())
    empty = np.zeros_like(whole)
    made = tifffile.imread(folder / "spad" / "volume.tif")
    np.testing.assert_array_equal(made, [whole, whole, empty, whole])
    beside = json.loads((folder / "spad" / "volume.spad.json").read_text())
    assert [entry["bscan"] for entry in beside["provenance"]] == [[0], [1], [3]]


def test_a_model_that_does_not_open_ends_the_batch_in_words(
    panel, scans: Path, engine: Hashed, qtbot, monkeypatch
):
    def broken(*_: object, **__: object) -> None:
        raise ValueError("that is a pickle")

    monkeypatch.setattr(panel.desk.engine, "load", broken)
    panel.batch.images.choose(scans)
    assert run(panel, qtbot) == "0 segmented, 3 left."
    assert "pickle" in panel.dock.footer.status.text()


def test_a_server_that_is_gone_ends_the_batch_in_words(panel, scans: Path, engine: Hashed, qtbot):
    engine.fails_with = ServerError("the server is gone")
    panel.batch.images.choose(scans)
    assert run(panel, qtbot) == "0 segmented, 3 left."
    assert "the server is gone" in panel.dock.footer.status.text()
    assert len(engine.calls) == 1


def test_cancel_keeps_what_is_done(panel, scans: Path, engine: Hashed, qtbot):
    engine.seconds_a_step = 0.05
    panel.batch.images.choose(scans)
    panel.batch.folder.click()
    assert not panel.batch.folder.isEnabled()
    qtbot.waitUntil(lambda: "1 segmented" in panel.batch.status.text(), timeout=10_000)
    assert "image" in panel.dock.footer.status.text()
    panel.desk.cancel()
    qtbot.waitUntil(lambda: not panel.desk.busy, timeout=10_000)
    assert "left" in panel.batch.status.text()
    assert "cancelled" in panel.dock.footer.status.text()
    assert panel.batch.folder.isEnabled()
    assert (scans / "spad" / "eye0.png").exists()
    assert "done before and skipped" in run(panel, qtbot)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: (p / "nowhere", p), "is no folder"),
        (lambda p: (p, p), "lie among the images"),
        (lambda p: (p, p / "out"), "no image that napari opens"),
    ],
)
def test_a_folder_that_makes_no_batch_is_refused(tmp_path: Path, make, match: str):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(ValueError, match=match):
        image_files(*make(folder))


def test_of_a_case_folder_the_images_are_segmented_elsewhere(tmp_path: Path):
    for name in ("images/a.tif", "masks/a.tif"):
        (tmp_path / name).parent.mkdir()
        tifffile.imwrite(tmp_path / name, bscan())
    (tmp_path / "labels.json").write_text("{}")
    (item,) = image_files(tmp_path, tmp_path / "out")
    assert item.path == tmp_path / "images" / "a.tif"
    with pytest.raises(ValueError, match="lie among the images"):
        image_files(tmp_path, tmp_path / "images")


def test_two_files_of_one_name_do_not_overwrite_each_other(scans: Path):
    tifffile.imwrite(scans / "EYE0.tif", bscan())
    items = image_files(scans, scans / "out")
    assert len({str(item.target).lower() for item in items}) == 4


AXES = ("B-scan", "row", "column")


def test_of_a_file_with_both_eyes_the_first_is_segmented_and_the_other_named(
    panel, tmp_path: Path, qtbot, monkeypatch
):
    scale = Scale.of((0.24, 0.004, 0.012), "derived", "from the scan angle of a medium eye")
    eyes = [
        (bscan(5, (4, *SHAPE)), {"name": f"OCT {eye}", "scale": scale.spacing_mm,
            "units": ("mm",) * 3, "metadata": {
            "notes": ["it was exported in part"], "eye": eye, "scale": scale.as_json(),
            "patient": "P-1", "date": "2026-01-31"}})
        for eye in ("OD", "OS")
    ]  # fmt: skip
    monkeypatch.setattr("npe2.read", lambda *_, **__: eyes)
    monkeypatch.setattr("napari_spad.learn.batch._opens", lambda path: True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "both.e2e").write_bytes(b"")
    panel.batch.images.choose(tmp_path / "in")
    said = run(panel, qtbot)
    assert "it was exported in part (1 of them)" in said
    assert "both.e2e holds 2 images, of which the first is segmented, “OCT OD”" in said
    assert said.endswith("open it in napari for “OCT OS” (1 of them)")
    text = (tmp_path / "in" / "spad" / "both.spad.json").read_text("utf-8")
    told = json.loads(text)
    assert told["facts"] == {"scale": scale.as_json(), "eye": "OD"}  # as an export tells
    assert "P-1" not in text


def test_a_case_s_spacing_is_that_of_its_result(panel, tmp_path: Path, qtbot):
    (tmp_path / "images").mkdir()
    Picture.fromarray(bscan()).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels.json").write_text("{}")
    (tmp_path / "cases.json").write_text(json.dumps({"a": {"spacing_mm": [0.004, 0.012]}}))
    panel.batch.images.choose(tmp_path)
    assert run(panel, qtbot) == "1 segmented."
    told = json.loads((tmp_path / "spad" / "a.spad.json").read_text("utf-8"))
    assert told["spacing_mm"] == [0.004, 0.012]


def test_all_open_images_get_a_result_once(panel, engine: Hashed, qtbot):
    viewer = panel.desk.viewer
    viewer.add_image(bscan(0), name="one")
    viewer.add_image(bscan(1, (3, *SHAPE)), name="stack", axis_labels=AXES)
    written = []
    panel.desk.written.connect(lambda result, index: written.append((result.layer.name, index)))
    assert run(panel, qtbot, panel.batch.layers) == "2 segmented."
    np.testing.assert_array_equal(viewer.layers["stack – SPAD"].data[2], fake_labels(bscan()))
    assert len(panel.desk.results) == 2
    assert ("one – SPAD", ()) in written
    assert len(written) == 4
    viewer.add_image(bscan(2), name="two")
    assert run(panel, qtbot, panel.batch.layers) == "1 segmented."
    for result in panel.desk.results:
        result.show_all()
    assert len(viewer.layers) == 3 * 4  # of each an image, labels, uncertainty, by hand
    panel.batch.layers.click()
    assert "all 3 open images have a result" in panel.dock.footer.status.text()


def test_of_an_open_image_that_was_segmented_in_part_the_rest_is_done(panel, engine, qtbot):
    viewer, desk = panel.desk.viewer, panel.desk
    viewer.add_image(bscan(1, (3, *SHAPE)), name="stack", axis_labels=AXES)
    viewer.dims.set_current_step(0, 1)
    run(panel, qtbot, panel.dock.form.button)  # this B-scan alone
    (result,) = desk.results
    result.layer.data_setitem((np.array([1, 2]), np.array([3, 3]), np.array([4, 4])), 4)
    before, calls = result.layer.data.copy(), len(engine.calls)
    assert run(panel, qtbot, panel.batch.layers) == "1 segmented."
    assert len(engine.calls) - calls == 1
    assert desk.results == [result]
    np.testing.assert_array_equal(result.layer.data[0], fake_labels(bscan()))
    np.testing.assert_array_equal(result.layer.data[1:], before[1:])  # by hand, too
    assert [run["bscan"] for run in result.runs] == [[0], [1]]


def test_an_open_image_with_other_pixels_since_gets_a_result_of_its_own(panel, qtbot):
    image = panel.desk.viewer.add_image(bscan(0), name="one")
    assert run(panel, qtbot, panel.batch.layers) == "1 segmented."
    image.data = bscan(1)
    assert run(panel, qtbot, panel.batch.layers) == "1 segmented."
    first, second = panel.desk.results
    assert first.image is second.image is image
    panel.batch.layers.click()
    assert "open images have a result" in panel.dock.footer.status.text()


def test_with_no_image_open_it_says_what_to_do(panel):
    panel.batch.layers.click()
    assert "Open an image first" in panel.dock.footer.status.text()
