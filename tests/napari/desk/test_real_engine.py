"""The dock with the real engine and a small untrained model, as a user would run it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("torch")

from napari_spad.read.phantom_sample import phantom_stack

pytestmark = pytest.mark.gui
SMALL = (16, 256, 384)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    import torch

    from spad import checkpoint as files
    from spad.checkpoint.card import (
        Card,
        InputConfig,
        NetworkConfig,
        SamplingConfig,
        ScheduleConfig,
    )
    from spad.checkpoint.labels import label_classes
    from spad.network import build
    from spad.phantom import CLASS_NAMES

    torch.manual_seed(0)
    card = Card(
        name="untrained",
        classes=label_classes(CLASS_NAMES),
        network=NetworkConfig(widths=(8, 8, 8, 8), blocks=1, denoiser_widths=(8, 8), time_width=8),
        schedule=ScheduleConfig(),
        input=InputConfig(size=(64, 96)),
        sampling=SamplingConfig(steps=2, samples=2),
    )
    path = tmp_path / "untrained.safetensors"
    files.save(path, card, build(card.network, len(card.classes), None).state_dict())
    return path


@pytest.fixture
def dock(make_napari_viewer, settings, checkpoint, qtbot, tmp_path):
    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer()
    dock = SpadDock(viewer, settings=settings, folder=tmp_path)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.form.model.listed, timeout=120_000)
    dock.form.checkpoint.choose(checkpoint)
    return dock


def run(dock, qtbot) -> None:
    dock.form.button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert "done on" in dock.footer.status.text()


def test_a_bscan_alone_equals_the_same_in_a_whole_stack(dock, qtbot):
    image, settings, _ = phantom_stack(shape=SMALL)[0]
    dock.viewer.add_image(image[:3], **settings)
    dock.viewer.dims.set_current_step(0, 2)
    run(dock, qtbot)
    dock.form.whole.setChecked(True)
    run(dock, qtbot)
    alone, whole = (dock.viewer.layers[f"phantom OCT – SPAD{n}"].data for n in ("", " 2"))
    np.testing.assert_array_equal(alone[2], whole[2])
    assert not alone[:2].any()
    assert "torch" in sys.modules
    provenance = dock.viewer.layers["phantom OCT – SPAD"].metadata["spad"]["provenance"][0]
    assert provenance["checkpoint"]["name"] == "untrained"
    assert len(provenance["checkpoint"]["sha256"]) == 64
    assert provenance["samples"] == 2
    assert "untrained" in dock.form.model.card_text.text()


def test_a_lesson_in_the_real_worker_gives_new_drafts(real_worker, dock, qtbot):
    image, placed, _ = phantom_stack(shape=SMALL)[0]
    reference = phantom_stack(shape=SMALL)[1][0]
    dock.viewer.add_image(image[:3], **placed)
    dock.form.whole.setChecked(True)
    run(dock, qtbot)
    result = dock.results[0]
    where = np.nonzero(result.layer.data[0] != reference[0])
    result.layer.data_setitem((where[0] * 0, *where), reference[0][where])
    dock.review.reviews.accept(result, (0,))
    dock.lessons.learn.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=300_000)
    assert "learnt from 1 B-scan in" in dock.footer.status.text()
    assert "2 B-scans are drafted anew; 1 stays" in dock.footer.status.text()
    runs = result.layer.metadata["spad"]["provenance"]
    names = [one["checkpoint"]["name"] for one in runs]
    assert names == ["untrained", "untrained, learnt", "untrained, learnt"]
    np.testing.assert_array_equal(result.layer.data[0], reference[0])
    dock.close()
    assert not dock.lessons.learning.worker.running


def test_rgb_and_odd_sizes(dock, qtbot):
    rng = np.random.default_rng(0)
    dock.viewer.add_image(rng.integers(0, 255, (53, 171, 3), np.uint8), name="exported", rgb=True)
    run(dock, qtbot)
    assert dock.viewer.layers["exported – SPAD"].data.shape == (53, 171)


def test_a_foreign_file_is_refused_in_words(dock, tmp_path: Path, qtbot):
    pickle = tmp_path / "model.safetensors"
    pickle.write_bytes(b"PK\x03\x04 not a model at all")
    dock.form.checkpoint.choose(pickle)
    assert "pickle" in dock.footer.status.text()
    dock.viewer.add_image(np.zeros((40, 60), np.uint8))
    dock.form.button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert "pickle" in dock.footer.status.text()
    assert dock.form.button.isEnabled()


def test_the_demo_goes_through_the_dock(make_napari_viewer, settings, checkpoint, qtbot, tmp_path):
    """One run of `python -m napari_spad.demo`, up to its screenshots."""
    import napari
    from PIL import Image as Picture

    from napari_spad import demo

    folder = tmp_path / "scans" / "images"
    folder.mkdir(parents=True)
    for name, width in (("a", 96), ("b", 80)):
        Picture.fromarray(phantom_stack(shape=SMALL)[0][0][0][:64, :width]).save(
            folder / f"{name}.png"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(napari, "Viewer", make_napari_viewer)
        patch.setattr("napari_spad.dock.QSettings", lambda *_: settings)
        done = demo.main(
            ["--images", str(folder), "--checkpoint", str(checkpoint), "--screenshots",
             str(tmp_path / "shots")]
        )  # fmt: skip
    assert done == 0
    shots = sorted((tmp_path / "shots").glob("*.png"))
    assert len(shots) == 3
    assert np.asarray(Picture.open(shots[0])).std() > 10
