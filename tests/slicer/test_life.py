"""The module's panel in an old Slicer, without its engine, and after a scene is loaded."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle
from fakes import run_of
from scene import add_volume, save_scene

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


def saved_scene_with_a_result(folder):
    """A scene file with a volume and a result, as another session left it; the scene is empty."""
    from spad.cases import Layout
    from SPADLib.scene import Result

    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), name="other")
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :5] = 2
    Result.create(volume, Layout(), run_of(labels))
    folder.mkdir()
    return save_scene(slicer.mrmlScene, folder)


def test_a_scene_with_results_is_added_while_one_is_at_work(panel, tmp_path, panel_volume, caplog):
    panel.ui.segmentButton.click()
    settle(panel)
    mine = panel.desk.result.segmentation
    other = slicer.vtkMRMLScene()
    before, slicer.mrmlScene = slicer.mrmlScene, other
    try:
        file = saved_scene_with_a_result(tmp_path / "other")
    finally:
        slicer.mrmlScene = before
    slicer.mrmlScene.SetURL(str(file))
    assert slicer.mrmlScene.Import()
    settle(panel)
    assert not caplog.records
    assert mine.GetScene() is slicer.mrmlScene
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2
    assert panel.ui.resultSelector.currentNode() is panel.desk.parameters.result
    tables = slicer.util.getNodes("SPAD uncertainty*", useLists=True)
    assert sum(map(len, tables.values())) == 1
    panel.desk.parameters.result = mine
    settle(panel)
    assert panel.desk.result.segmentation is mine
    assert panel.ui.nextButton.isEnabled()


def test_what_is_chosen_within_a_batch_is_told_at_its_end(panel, panel_volume):
    scene, told = slicer.mrmlScene, []
    panel.desk.on("parameters", lambda: told.append(panel.desk.parameters.inputVolume))
    scene.StartState(scene.BatchProcessState)
    panel.desk.parameters.inputVolume = None
    assert told == []
    scene.EndState(scene.BatchProcessState)
    assert told
    assert told[-1] is None
    assert panel.ui.inputSelector.currentNode() is None


def test_no_button_stays_enabled_when_the_scene_is_closed(panel, panel_result):
    names = ("next", "accept", "skip", "resample", "carry", "takeBack", "save", "addThis", "view")
    buttons = {n: getattr(panel.ui, f"{n}Button") for n in names}
    assert buttons["next"].isEnabled()
    slicer.mrmlScene.Clear(0)
    settle(panel)
    assert {n for n, b in buttons.items() if b.isEnabled()} == set()


def test_a_result_without_its_volumes_pixels_costs_that_result_and_not_the_panel(
    panel, panel_result
):
    node = panel_result.segmentation
    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.Copy(panel_result.volume)
    panel.desk.parameters.inputVolume = slicer.mrmlScene.AddNode(copy)
    panel_result.volume.SetAndObserveImageData(None)
    panel.desk.parameters.Modified()
    settle(panel)
    assert panel.desk.result is None
    text = said(panel)
    assert "has no pixels" in text
    assert node.GetName() in text
    assert "segment the volume again" in text
    assert not panel.ui.nextButton.isEnabled()
    panel.ui.intoCombo.setCurrentIndex(0)
    panel.ui.segmentButton.click()
    settle(panel)
    assert panel.desk.result.segmentation is not node


@pytest.mark.parametrize("how", ["gone", "no pixels"])
def test_a_result_that_lost_its_companions_is_recovered_and_nothing_of_it_can_be_lost(
    panel, panel_result, panel_worker, how
):
    node = panel_result.segmentation
    panel_result.put(1, np.full(SHAPE[1:], 3, np.uint8))
    settle(panel)
    before = panel_result.labels().copy()
    for role in ("SPAD.proposal", "SPAD.uncertainty"):
        lost = node.GetNodeReference(role)
        if how == "gone":
            slicer.mrmlScene.RemoveNode(lost)
        else:
            lost.SetAndObserveImageData(None)
    panel.desk.parameters.Modified()
    settle(panel)
    found = panel.desk.result
    assert found.segmentation is node
    assert "all that is labelled counts as by hand" in said(panel)
    assert "The uncertainty of" in said(panel)
    assert found.by_hand().all()
    assert not found.uncertainty().any()
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.desk.parameters.seed = 5
    panel.ui.segmentButton.click()
    settle(panel)
    assert "0 pixels changed" in said(panel)
    assert np.array_equal(found.labels(), before)
    assert not found.by_hand(sure=True).any()  # so it teaches nothing that nobody accepted
    panel.ui.learnButton.click()
    settle(panel)
    assert "press Accept first" in said(panel)
    assert panel.ui.addCorrectedButton.text() == "Corrected (0)"
    panel.review._go(1)
    panel.ui.acceptButton.click()
    settle(panel)
    panel.ui.learnButton.click()
    settle(panel)
    assert np.array_equal(panel_worker.plans[0].label_maps, before[1:2])
    assert "0 B-scans are drafted anew" in said(panel)
    assert np.array_equal(found.labels(), before)


def test_bscans_that_nobody_segmented_are_free_in_a_result_that_is_recovered(scene):
    from spad.cases import Layout
    from SPADLib.scene import Result, recovered

    volume = add_volume(np.zeros(SHAPE, np.uint8), name="OCT")
    run = run_of(np.ones((2, *SHAPE[1:]), np.uint8))
    result = Result.create(volume, Layout(), run, first=1)
    scene.RemoveNode(result.segmentation.GetNodeReference("SPAD.proposal"))
    assert "proposal" in recovered(result.segmentation)
    assert recovered(result.segmentation) == ""
    held = Result.of(result.segmentation).by_hand()
    assert held.any(axis=(1, 2)).tolist() == [False, True, True, False]


def test_the_module_opens_on_a_scene_with_a_bad_result(app, panel_engine):
    import SPAD
    from spad.cases import Layout
    from SPADLib.scene import Result

    volume = add_volume(np.zeros(SHAPE, np.uint8), name="OCT")
    node = Result.create(volume, Layout(), run_of(np.zeros(SHAPE, np.uint8))).segmentation
    volume.SetAndObserveImageData(None)
    SPAD.SPADLogic().getParameterNode().result = node
    panel = standin.open_module(SPAD)
    assert panel.desk is not None
    assert "has no pixels" in said(panel)


def test_a_look_at_the_choices_ends_with_the_panel(panel, panel_volume):
    panel.desk.parameters.samples = 3
    panel.segment.preflight._start()
    assert panel.segment.preflight.busy
    panel.cleanup()
    assert not panel.segment.preflight.busy


def test_a_panel_that_was_closed_is_held_by_no_timer_and_no_observer(
    panel, panel_volume, panel_result
):
    gone = weakref.ref(panel.desk), weakref.ref(panel.review), weakref.ref(panel.following)
    panel.desk.parameters = None
    standin.close_module("SPAD")
    for name in list(vars(panel)):
        delattr(panel, name)
    del panel_result
    gc.collect()
    assert [g() for g in gone[1:]] == [None, None]


def test_a_run_that_ended_holds_nothing(panel, panel_result):
    assert panel.runs._pump is None
    assert panel.runs._guard is None


def test_the_self_test_without_the_engine_is_left_out_and_no_failure(app, monkeypatch):
    import SPAD
    from SPADLib.install import SlicerHost

    told = []
    monkeypatch.setattr(SlicerHost, "version", lambda self, name: None)
    monkeypatch.setattr(SPAD.SPADTest, "delayDisplay", lambda self, text, *_: told.append(text))
    SPAD.SPADTest().runTest()
    assert "left out: not installed: torch" in told[0]


def test_reload_takes_the_parts_of_the_module_anew(panel, monkeypatch):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

    seen = []
    monkeypatch.setattr(
        ScriptedLoadableModuleWidget,
        "onReload",
        lambda self: seen.append([n for n in sys.modules if n.startswith("SPADLib")]),
        raising=False,
    )
    before = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "SPADLib"}
    try:
        panel.onReload()
    finally:
        sys.modules.update(before)
    assert seen == [[]]


def test_what_helps_when_the_module_does_not_open_fits_the_cause(app):
    from SPADLib.install.install_panel import _advice

    def raised(code, filename):
        try:
            exec(compile(code, filename, "exec"))  # noqa: S102 - our own line
        except Exception as error:
            return error

    node = raised("raise ValueError('no pixels')", "/x/SPADLib/scene/result.py")
    assert "Close the scene" in _advice(node)
    assert "PyTorch" not in _advice(node)
    library = raised("raise OSError('WinError 1114')", "/x/site-packages/torch/__init__.py")
    assert "reinstall PyTorch" in _advice(library)
    assert "reinstall PyTorch" in _advice(ImportError("no", name="torch"))
    assert "reinstall the extension SPAD" in _advice(ImportError("no", name="spad"))
