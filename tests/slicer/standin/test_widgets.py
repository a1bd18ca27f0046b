"""The stand-in behaves as Slicer does where the module's widget relies on it."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import slicer
from scene import add_volume

pytest.importorskip("PySide6", reason="the stand-in for Slicer's Qt is made of PySide6")

import standin
from standin.sample import MODULE, UI


def image(name):
    return add_volume(np.zeros((2, 3, 4), np.uint8), name=name)


def names(combo):
    return [combo.nodeFromIndex(n).GetName() for n in range(combo.nodeCount())]


def combo_of(scene, **properties):
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    for name, value in properties.items():
        setattr(combo, name, value)
    combo.setMRMLScene(scene)
    return combo


def test_qt_has_what_pythonqt_has_and_nothing_that_it_lacks(app):
    import qt

    assert qt.Qt.Horizontal is not None
    for name in ("QTimer", "QWidget", "QAction", "QIcon"):
        assert hasattr(qt, name)
    for name in ("Signal", "Slot", "Property", "QThread"):
        assert not hasattr(qt, name)
    assert isinstance(slicer.util.settingsValue("SPAD/none", "default"), str)
    qt.QSettings().setValue("SPAD/model", "x")
    assert slicer.app.userSettings().value("SPAD/model") == "x"
    standin.install(slicer.mrmlScene)
    assert not qt.QSettings().contains("SPAD/model")


def test_removing_the_stand_in_leaves_nothing_behind(scene):
    load, before = slicer.util.loadUI, set(sys.modules)
    standin.install(scene)
    standin.install(scene)
    assert slicer.util.loadUI is not load
    left_over = combo_of(scene)
    standin.remove()
    image("OCT")
    assert names(left_over) == []
    assert slicer.util.loadUI is load
    assert not hasattr(slicer, "app")
    assert {"qt", "ctk", "slicer.i18n"}.isdisjoint(set(sys.modules) - before)


def test_the_list_of_nodes_follows_the_scene(app, scene):
    first = image("OCT")
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    hidden = image("hidden")
    hidden.SetHideFromEditors(True)
    combo = combo_of(scene, noneEnabled=True, showChildNodeTypes=False)
    told = []
    combo.currentNodeChanged.connect(told.append)
    assert names(combo) == ["OCT"]
    assert combo.currentNode() is None
    second = image("fellow eye")
    assert names(combo) == ["OCT", "fellow eye"]
    assert told == []
    combo.setCurrentNode(first)
    assert told == [first]
    first.SetName("right eye")
    assert names(combo) == ["right eye", "fellow eye"]
    hidden.SetHideFromEditors(False)
    assert names(combo) == ["right eye", "hidden", "fellow eye"]
    scene.RemoveNode(hidden)
    assert combo.currentNode() is first
    scene.RemoveNode(first)
    assert combo.currentNode() is second
    assert combo.currentNodeID == second.GetID()
    scene.Clear(0)
    assert names(combo) == []
    assert combo.currentNode() is None
    assert told == [first, first, second, None]


def test_without_none_the_first_node_is_chosen_by_itself(app, scene):
    combo = combo_of(scene, addEnabled=False)
    assert combo.currentNode() is None
    node = image("OCT")
    assert combo.currentNode() is node
    image("second")
    assert combo.currentNode() is node


def test_a_node_set_before_the_scene_is_chosen_with_it(app, scene):
    image("first")
    node = image("second")
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLVolumeNode"]
    assert not combo.isEnabled()
    combo.setCurrentNode(node)
    combo.setMRMLScene(scene)
    assert combo.isEnabled()
    assert combo.currentNode() is node


def test_only_nodes_with_the_attribute_are_listed(app, scene):
    image("plain")
    node = image("result")
    combo = combo_of(scene, noneEnabled=True)
    combo.addAttribute("vtkMRMLScalarVolumeNode", "SPAD.run")
    assert names(combo) == []
    node.SetAttribute("SPAD.run", "1")
    assert names(combo) == ["result"]
    made = combo.addNode()
    assert made.GetAttribute("SPAD.run") == ""
    assert combo.currentNode() is made


def test_a_setter_that_slicer_does_not_wrap_is_refused_with_the_remedy(app):
    import ctk

    combo = slicer.qMRMLNodeComboBox()
    with pytest.raises(AttributeError, match=r"write widget\.nodeTypes = value"):
        combo.setNodeTypes(["vtkMRMLVolumeNode"])
    with pytest.raises(AttributeError, match=r"write widget\.collapsed = value"):
        ctk.ctkCollapsibleButton().setCollapsed(True)
    with pytest.raises(AttributeError, match=r"write widget\.minimum = value"):
        ctk.ctkSliderWidget().setMinimum(1)
    ctk.ctkPathLineEdit().setCurrentPath("a")  # a slot


def test_a_collapsed_section_hides_its_contents(app, panel):
    panel.Panel.show()
    standin.process_events()
    assert panel.advanced.collapsed
    assert not panel.path.isVisible()
    assert panel.steps.isVisible()
    told = []
    panel.advanced.contentsCollapsed.connect(told.append)
    panel.advanced.collapsed = False
    assert panel.path.isVisible()
    panel.advanced.click()
    assert panel.advanced.collapsed
    assert not panel.path.isVisible()
    assert told == [False, True]


def test_a_slider_and_its_box_agree(app):
    import ctk

    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.decimals = 0.2, 0.8, 3
    told = []
    slider.valueChanged.connect(told.append)
    slider.setValue(5.0)
    assert slider.value == pytest.approx(0.8)
    assert told == [pytest.approx(0.8)]
    ends = ctk.ctkRangeWidget()
    pairs = []
    ends.valuesChanged.connect(lambda low, high: pairs.append((low, high)))
    ends.setValues(10, 20)
    ends.minimumValue = 30
    assert (ends.minimumValue, ends.maximumValue) == (30, 30)
    assert pairs == [(10, 20), (30, 30)]


def test_a_ui_file_gives_the_widgets_and_hands_on_the_scene(app, panel, scene):
    node = image("OCT")
    assert panel.volumeBox.noneDisplay == "Choose an image"
    assert panel.advanced.text() == "Advanced"
    assert panel.path.filters == 0x21
    panel.Panel.setMRMLScene(scene)
    assert panel.volumeBox.mrmlScene() is scene
    assert names(panel.volumeBox) == ["OCT"]
    panel.volumeBox.setCurrentNodeIndex(0)
    assert panel.volumeBox.currentNode() is node
    assert panel.steps.isEnabled()
    panel.volumeBox.setCurrentNode(None)
    assert not panel.steps.isEnabled()
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("nowhere.ui")


def test_the_browse_button_asks_the_test_for_a_folder(app, panel):
    standin.dialogs.answer("folder", "/data")
    panel.path.browse()
    assert panel.path.currentPath == "/data"
    panel.path.browse()  # cancelled
    assert panel.path.currentPath == "/data"


def test_one_parameter_node_for_each_module_and_scene(app, scene):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class TinyLogic(ScriptedLoadableModuleLogic):
        pass

    node = TinyLogic().getParameterNode()
    assert TinyLogic().getParameterNode() is node
    assert node.GetAttribute("ModuleName") == "Tiny"


def test_a_module_is_opened_left_and_entered_again(app, scene, tmp_path):
    (tmp_path / "Tiny.py").write_text(MODULE)
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / "Tiny.ui").write_text(UI)
    spec = importlib.util.spec_from_file_location("Tiny", tmp_path / "Tiny.py")
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    widget = standin.open_module(source)
    assert slicer.util.getModuleWidget("Tiny") is widget
    assert slicer.util.getModuleLogic("Tiny") is widget.logic
    assert widget.ui.volumeBox.mrmlScene() is scene
    slicer.util.selectModule("SegmentEditor")
    slicer.util.selectModule("Tiny")
    assert widget.entered == [True, False, True]
    assert standin.selected == ["Tiny", "SegmentEditor", "Tiny"]
    picture = standin.screenshot(widget.parent, tmp_path / "panel.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_the_segment_editor_takes_the_nodes(app, scene):
    editor = slicer.util.getModuleWidget("SegmentEditor")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    volume = image("OCT")
    editor.editor.setSegmentationNode(segmentation)
    editor.editor.setSourceVolumeNode(volume)
    assert editor.parameterSetNode.GetSegmentationNode() is segmentation
    assert editor.parameterSetNode.GetSourceVolumeNode() is volume
    assert [name for name, _ in editor.editor.calls] == [
        "setSegmentationNode",
        "setSourceVolumeNode",
    ]


def test_slice_views_are_real_nodes(app, scene):
    volume = add_volume(np.zeros((5, 6, 7), np.uint8), spacing=(2.0, 1.0, 1.0), name="OCT")
    slicer.util.setSliceViewerLayers(background=volume, fit=True, rotateToVolumePlane=True)
    manager = slicer.app.layoutManager()
    assert manager.sliceViewNames() == ("Red", "Green", "Yellow")
    red = manager.sliceWidget("Red")
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    red.sliceLogic().SetSliceOffset(4.0)
    assert red.mrmlSliceNode().GetSliceOffset() == pytest.approx(4.0)
    assert red.mrmlSliceNode() is scene.GetNodeByID("vtkMRMLSliceNodeRed")


def test_dialogs_are_recorded_and_answered(app):
    import ctk

    slicer.util.errorDisplay("No model", windowTitle="SPAD")
    assert slicer.util.confirmYesNoDisplay("Replace?")
    standin.dialogs.answer("yes/no", False)
    assert not slicer.util.confirmYesNoDisplay("Really?")
    assert slicer.util.confirmYesNoDisplay("And now?")
    slicer.util.showStatusMessage("done", 1000)
    box = ctk.ctkMessageBox()
    box.setText("Hm")
    box.exec_()
    assert standin.dialogs.texts("yes/no") == ["Replace?", "Really?", "And now?"]
    assert standin.dialogs.shown[0][:3] == ("error", "No model", "SPAD")
    assert standin.dialogs.texts()[-2:] == ["done", "Hm"]
    with pytest.raises(ValueError, match="yes/no"):
        standin.dialogs.answer("maybe", True)


def test_a_timer_runs_while_events_are_processed(app):
    import qt

    told = []
    timer = qt.QTimer()
    timer.timeout.connect(lambda: told.append(1))
    timer.setInterval(1)
    timer.start()
    standin.process_events(0.1)
    timer.stop()
    assert len(told) > 2
