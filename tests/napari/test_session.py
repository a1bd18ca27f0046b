"""An annotator's session on phantoms, with the shipped model, real mouse and key events."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("torch")

from driver import Driver
from session import STEPS, Session, accept_and_next, add_to_the_training_set, play, report, save

from napari_spad.layers.reference_layer import outline
from napari_spad.read.phantom_sample import phantom_stack
from spad.checkpoint import shipped

pytestmark = pytest.mark.gui
SMALL = (16, 256, 384)


def test_a_session_on_phantoms_raises_dice_by_strokes(make_napari_viewer, settings, tmp_path):
    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1400, 900)
    (image, looks, _), (labels, named, _) = phantom_stack(shape=SMALL)
    viewer.add_image(image[6:9], **looks)
    outline(viewer.add_labels(labels[6:9], **named))
    dock = SpadDock(viewer, settings=settings, folder=tmp_path)
    viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
    driver = Driver(viewer, shots=tmp_path / "shots")
    viewer.reset_view()
    driver.wait(lambda: dock.form.model.listed, 120, "PyTorch")
    dock.form.checkpoint.choose(shipped()["oct-phantom"])
    dock.form.samples.setValue(2)
    session = Session(viewer, dock, driver, strokes=4, timeout=120)
    dock.keep.export_panel.folder.setText(str(tmp_path / "exports"))
    dock.training.cases.folder.choose(tmp_path / "set")
    first = STEPS[: STEPS.index(accept_and_next) + 1]
    segmented, jumped, painted, sampled, accepted = play(session, first)
    at = dock.desk.place(dock.results[-1])
    assert dock.review.reviews.accepted(dock.results[-1]) != {at}
    assert sampled.counts.keys == accepted.counts.keys == 1
    play(session, (save, add_to_the_training_set))
    assert list((tmp_path / "exports").glob("*.spad.json"))
    assert len(list((tmp_path / "set" / "masks").glob("*.png"))) == 1
    assert jumped.bscan_dice > 0.4  # the model knows phantoms
    assert jumped.stack_dice == segmented.stack_dice
    assert painted.counts.strokes == 4
    assert painted.bscan_dice > jumped.bscan_dice
    assert painted.stack_dice > segmented.stack_dice
    by_hand = dock.results[-1].by_hand.data
    assert by_hand.any(axis=(1, 2)).sum() == 1
    assert len(list((tmp_path / "shots").glob("*.png"))) == 7
    assert "| paint |" in report(session.took)
