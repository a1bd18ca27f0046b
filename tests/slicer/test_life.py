"""The module's panel in an old Slicer, without its engine, and after a scene is loaded."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle
from scene import save_scene

pytestmark = pytest.mark.gui


def test_choices_and_results_are_there_again_after_the_scene_is_loaded(
    panel, panel_volume, panel_result, tmp_path
):
    panel.desk.parameters.seed = 7
    file = save_scene(slicer.mrmlScene, tmp_path)
    slicer.mrmlScene.SetURL(str(file))
    slicer.mrmlScene.Connect()
    settle(panel)
    panel.exit()
    panel.enter()
    assert panel.desk.parameters.seed == 7
    found = panel.desk.result
    assert found is not None
    assert found.segmentation is not panel_result.segmentation
    assert np.array_equal(found.labels(), np.where(np.ones(SHAPE, bool), found.proposal(), 0))
    panel.ui.largerButton.click()
    assert "with the same seed" in said(panel)


def test_an_old_slicer_is_refused_in_words(app):
    import SPAD

    app.minorVersion = 8
    widget = standin.open_module(SPAD)
    assert widget.desk is None
    labels = [w for w in widget.parent.children() if hasattr(w, "text")]
    (label,) = [w for w in labels if "5.10" in w.text()]
    assert "this is Slicer 5.8" in label.text()


def test_a_missing_engine_is_asked_for_and_nothing_is_installed_unasked(app, monkeypatch):
    import SPAD
    from SPADLib.install import SlicerHost

    ran = []
    monkeypatch.setattr(SlicerHost, "version", lambda self, name: None)
    monkeypatch.setattr(
        SlicerHost, "pip", lambda self, arguments: iter(ran.append(arguments) or [])
    )
    widget = standin.open_module(SPAD)
    assert widget.desk is None
    assert "torch, safetensors, napari-spad must be installed" in widget.install.label.text()
    standin.process_events(0.1)
    assert ran == []
    standin.dialogs.answer("ok/cancel", False)
    widget.install.button.click()
    assert ran == []
    monkeypatch.setattr(app, "testing", True)
    widget.install.button.click()
    standin.process_events(0.2)
    assert "Nothing is installed in a self-test" in widget.install.status.text()
    assert ran == []
