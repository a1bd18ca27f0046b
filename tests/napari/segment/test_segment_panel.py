"""The panel Segment: what is chosen reaches the engine, and is remembered."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import press_segment, segment, shown_errors, stack

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_settings_reach_the_engine(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)))
    assert dock.form.samples.value() == 4  # the card's
    dock.form.samples.setValue(2)
    dock.form.seed.setValue(5)
    segment(dock, qtbot)
    assert engine.calls[-1] == {
        "shape": (24, 36), "samples": 2, "steps": None, "seed": 5, "rgb": False
    }  # fmt: skip
    dock.form.steps.setValue(7)
    segment(dock, qtbot)
    assert engine.calls[-1]["steps"] == 7
    assert engine.loads == 1  # the model stays open


def test_choices_are_remembered(open_dock, make_napari_viewer, engine, settings, tmp_path, qtbot):
    from napari_spad.dock import SpadDock

    _, dock = open_dock()
    other = tmp_path / "mine.safetensors"
    other.write_bytes(b"fake")
    dock.form.checkpoint.choose(other)
    dock.form.samples.setValue(3)
    again = SpadDock(make_napari_viewer(), engine=engine, settings=settings)
    qtbot.addWidget(again)
    qtbot.waitUntil(lambda: again.form.device.count() == 3)
    assert again.form.checkpoint.path == other
    assert again.form.samples.value() == 3
    assert {"fake", "mine", "Browse…"} <= {
        again.form.checkpoint.itemText(i) for i in range(again.form.checkpoint.count())
    }


@pytest.fixture
def phantoms(engine, tmp_path, monkeypatch):
    """A second shipped model, for the phantoms."""
    model = tmp_path / "oct-phantom.safetensors"
    model.write_bytes(b"fake")
    ours = {"fake": engine.checkpoint, "oct-phantom": model}
    monkeypatch.setattr(type(engine), "shipped", lambda self: ours)
    return model


def test_a_phantom_is_for_the_phantoms_model_until_a_person_chooses(
    open_dock, engine, settings, phantoms
):
    viewer, dock = open_dock()
    dock._open_sample()
    assert dock.form.checkpoint.currentText() == "oct-phantom"
    real = viewer.add_image(stack(), name="real")
    assert dock.form.image.layer is real
    assert dock.form.checkpoint.path == engine.checkpoint
    assert settings.value("checkpoint") is None  # the next session's is no phantoms' model
    dock.form.checkpoint.choose(engine.checkpoint)
    dock.form.image.choose(viewer.layers["phantom OCT"])
    assert dock.form.checkpoint.path == engine.checkpoint


@pytest.mark.parametrize(("devices", "then"), [(["cuda:0", "cpu"], "cpu"), (["mps"], "auto")])
def test_the_remembered_device_counts_at_once_and_while_there_is_one(
    make_napari_viewer, engine, settings, qtbot, devices, then
):
    from napari_spad.dock import SpadDock

    object.__setattr__(engine, "devices", lambda: devices)
    settings.setValue("device", "cpu")
    dock = SpadDock(make_napari_viewer(), engine=engine, settings=settings)
    qtbot.addWidget(dock)
    offered = dock.form.model.devices
    assert dock.form.model.device == "cpu"
    qtbot.waitUntil(lambda: dock.form.model.listed, timeout=30_000)
    assert dock.form.model.device == then
    names = [offered.itemData(i) for i in range(offered.count())]
    assert names == ["auto", *devices, "server"]


def test_a_file_that_is_no_checkpoint_is_refused(open_dock, tmp_path, qtbot):
    _, dock = open_dock()
    wrong = tmp_path / "photo.png"
    wrong.write_bytes(b"")
    dock.form.checkpoint.choose(wrong)
    assert "no checkpoint" in dock.footer.status.text()
    assert shown_errors()


def test_image_choices_follow_the_viewer(open_dock, qtbot):
    viewer, dock = open_dock()
    one = viewer.add_image(stack((24, 36)), name="one")
    viewer.add_image(stack(), name="two")
    viewer.add_points(np.zeros((1, 2)))
    assert [dock.form.image.itemText(i) for i in range(dock.form.image.count())] == ["two", "one"]
    assert dock.form.image.currentText() == "two"
    assert dock.form.whole.isEnabled()
    dock.form.image.choose(one)
    one.name = "first"
    assert dock.form.image.currentText() == "first"
    viewer.layers.remove(one)
    assert dock.form.image.currentText() == "two"
    assert dock.form.whole.isEnabled()


def by_hand(combo, text: str) -> None:
    """Choose as a person does in the box."""
    combo.setCurrentIndex(combo.findText(text))
    combo.activated.emit(combo.currentIndex())


def test_what_is_segmented_is_the_image_that_came_last_or_was_made_active(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye A")
    segment(dock, qtbot)
    assert dock.footer.status.text().startswith("done on cpu")  # there is no other image
    viewer.add_image(stack((24, 40)), name="eye B")
    assert dock.form.image.currentText() == "eye B"
    assert dock.footer.status.text() == "Ready: “eye B”, 24 × 40 pixels."
    segment(dock, qtbot)
    assert engine.calls[-1]["shape"] == (24, 40)
    assert dock.footer.status.text().startswith("“eye B” is done on cpu")
    for active in ("eye A", "eye B – SPAD", "eye A – SPAD", "eye B", "eye A – uncertainty"):
        viewer.layers.selection.active = viewer.layers[active]
        assert dock.form.image.currentText() == active[:5]
    viewer.add_labels(np.zeros((24, 40), np.uint8), name="reference")
    viewer.add_points(np.zeros((1, 2)))
    assert dock.form.image.currentText() == "eye A"  # neither is of an image
    for name in ("eye C", "eye D", "eye E"):
        viewer.add_image(stack((24, 36)), name=name)
    assert dock.form.image.currentText() == "eye E"
    viewer.layers.remove("eye E")
    assert dock.form.image.currentText() == "eye D"


def test_the_image_that_a_person_chose_stays_while_it_is_there(open_dock):
    viewer, dock = open_dock()
    for name in ("eye A", "eye B"):
        viewer.add_image(stack((24, 36)), name=name)
    by_hand(dock.form.image, "eye A")
    viewer.add_image(stack((24, 36)), name="eye C")
    viewer.layers.selection.active = viewer.layers["eye B"]
    assert dock.form.image.currentText() == "eye A"
    viewer.layers.remove("eye A")
    assert dock.form.image.currentText() == "eye B"  # the active one, not the topmost
    viewer.layers.selection.active = viewer.layers["eye C"]
    assert dock.form.image.currentText() == "eye C"


def test_a_result_that_comes_takes_no_image_opened_meanwhile_out_of_the_choice(
    open_dock, engine, qtbot
):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)), name="eye A")
    engine.seconds_a_step = 0.1
    press_segment(dock, qtbot)
    viewer.add_image(stack((24, 36)), name="eye B")
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    qtbot.waitUntil(lambda: "eye A – uncertainty" in viewer.layers, timeout=5000)
    qtbot.wait(300)  # the result's labels have become the active layer
    assert dock.form.image.currentText() == "eye B"
    assert dock.footer.status.text().startswith("“eye A” is done on cpu")
    viewer.layers.selection.active = viewer.layers["eye B"]
    viewer.layers.selection.active = viewer.layers["eye A – SPAD"]
    assert dock.form.image.currentText() == "eye A"


@pytest.mark.parametrize("name", ["eye A – uncertainty", "eye A – by hand"])
def test_a_layer_of_a_result_that_made_itself_active_is_followed_at_once(
    open_dock, engine, qtbot, name
):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)), name="eye A")
    engine.seconds_a_step = 0.1
    press_segment(dock, qtbot)
    viewer.add_image(stack((24, 36)), name="eye B")
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    labels = dock.results[0].layer
    qtbot.waitUntil(lambda: viewer.layers.selection.active is labels, timeout=5000)
    dock.results[0].show_all()
    assert dock.form.image.currentText() == "eye B"
    viewer.layers.selection.active = viewer.layers[name]
    assert dock.form.image.currentText() == "eye A"


def test_an_image_that_came_amid_a_run_has_its_model_proposed(open_dock, engine, phantoms, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)), name="eye A")
    engine.seconds_a_step = 0.1
    press_segment(dock, qtbot)
    dock._open_sample()
    assert dock.form.checkpoint.path == engine.checkpoint
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    assert dock.form.checkpoint.path == phantoms
    assert "done on cpu" in dock.footer.status.text()


def test_three_planes_are_asked_about_and_the_answer_is_kept(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    question = dock.form.question
    planes = np.random.default_rng(0).integers(0, 255, (3, 24, 36), np.uint8)
    layer = viewer.add_image(planes, name="odd")
    assert not question.isHidden()
    assert "“odd” has 3 planes" in question.text.text()
    question.buttons["B-scans"].click()
    assert question.isHidden()
    assert layer.axis_labels == ("B-scan", "row", "column")
    viewer.layers.clear()
    viewer.add_image(planes, name="odd")
    question.buttons["Colours"].click()
    (made,) = viewer.layers
    assert (made.rgb, made.name, made.data.shape) == (True, "odd", (24, 36, 3))
    np.testing.assert_array_equal(made.data[..., 1], planes[1])
    segment(dock, qtbot)
    assert (engine.calls[-1]["shape"], engine.calls[-1]["rgb"]) == ((24, 36, 3), True)


def test_other_stacks_and_those_that_say_what_they_are_raise_no_question(open_dock):
    viewer, dock = open_dock()
    for options in (
        {"data": np.zeros((5, 24, 36))},
        {"data": np.zeros((3, 24, 36)), "scale": (0.12, 0.004, 0.01)},
        {"data": np.zeros((3, 24, 36)), "axis_labels": ("B-scan", "row", "column")},
        {"data": np.zeros((24, 36, 3)), "rgb": True},
    ):
        viewer.layers.clear()
        viewer.add_image(**options)
        assert dock.form.question.isHidden()
