"""Parameters are kept, refused and shown as Slicer does."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import pytest
import slicer
from scene import add_volume, save_scene

pytest.importorskip("PySide6", reason="the stand-in for Slicer's Qt is made of PySide6")

from standin.parameters import parameterNodeWrapper
from standin.validators import Choice, Default, WithinRange


class Speed(enum.Enum):
    FAST = 1
    EXACT = 2

    def label(self):
        return self.name.capitalize()


@parameterNodeWrapper
class Parameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    reference: Optional[slicer.vtkMRMLSegmentationNode]  # noqa: UP045  # Slicer takes no “X | None”
    steps: Annotated[int, WithinRange(1, 100)] = 20
    share: Annotated[float, WithinRange(0.0, 1.0), Default(0.5)]
    device: Annotated[str, Choice(["cpu", "cuda"])] = "cpu"
    folder: Path
    speed: Speed = Speed.EXACT
    live: bool = True
    note: str


@pytest.fixture
def parameters(app):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class TinyLogic(ScriptedLoadableModuleLogic):
        pass

    return Parameters(TinyLogic().getParameterNode())


def image(name):
    return add_volume(np.zeros((2, 3, 4), np.uint8), name=name)


def test_parameters_start_with_their_defaults(parameters):
    assert parameters.volume is None
    assert parameters.reference is None
    assert (parameters.steps, parameters.share, parameters.device) == (20, 0.5, "cpu")
    assert (parameters.speed, parameters.live, parameters.note) == (Speed.EXACT, True, "")
    assert parameters.folder == Path()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("steps", 0, ValueError),
        ("steps", 2.0, TypeError),
        ("share", 1.5, ValueError),
        ("device", "tpu", ValueError),
        ("note", None, ValueError),
        ("live", 1, TypeError),
        ("reference", "id", TypeError),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_and_changes_nothing(parameters, name, value, error):
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_node_of_another_kind_is_no_image(parameters, scene):
    with pytest.raises(TypeError):
        parameters.volume = scene.AddNewNodeByClass("vtkMRMLModelNode")


def test_parameters_are_saved_with_the_scene(parameters, scene, tmp_path):
    parameters.volume = image("OCT")
    parameters.reference = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "truth")
    parameters.steps, parameters.share, parameters.live = 7, 0.25, False
    parameters.speed, parameters.folder = Speed.FAST, Path("/data/cases")
    file = save_scene(scene, tmp_path)
    scene.Clear(0)
    assert Parameters(parameters.parameterNode).steps == 20
    scene.SetURL(str(file))
    scene.Import()
    again = Parameters(scene.GetSingletonNode("Tiny", "vtkMRMLScriptedModuleNode"))
    assert again.volume.GetName() == "OCT"
    assert again.reference.GetName() == "truth"
    assert (again.steps, again.share, again.live) == (7, 0.25, False)
    assert (again.speed, again.folder) == (Speed.FAST, Path("/data/cases"))


def test_a_reference_can_be_taken_back(parameters, scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    parameters.reference = node
    assert parameters.reference is node
    parameters.reference = None
    assert parameters.reference is None


def test_every_change_is_told_once(parameters):
    told = []
    parameters.AddObserver("ModifiedEvent", lambda *_: told.append(parameters.steps))
    parameters.steps = 3
    with slicer.util.NodeModify(parameters):
        parameters.steps, parameters.share = 4, 0.1
    assert told == [3, 4]


def test_widgets_and_parameters_follow_each_other(parameters, panel, scene):
    panel.Panel.setMRMLScene(scene)
    parameters.connectGui(panel)
    assert panel.steps.value() == 20
    assert (panel.steps.minimum(), panel.steps.maximum()) == (1, 100)
    node = image("OCT")
    parameters.steps, parameters.folder, parameters.volume = 33, Path("/a"), node
    assert panel.steps.value() == 33
    assert panel.path.currentPath == "/a"
    assert panel.volumeBox.currentNode() is node
    panel.steps.setValue(44)
    panel.path.setCurrentPath("/b")
    panel.volumeBox.setCurrentNode(None)
    assert (parameters.steps, parameters.folder, parameters.volume) == (44, Path("/b"), None)


def test_each_kind_of_widget_shows_its_parameter(app, parameters):
    import ctk
    import qt

    widgets = {
        "share": ctk.ctkSliderWidget(),
        "device": qt.QComboBox(),
        "speed": qt.QComboBox(),
        "live": qt.QPushButton(),
        "note": qt.QLineEdit(),
    }
    tag = parameters.connectParametersToGui(widgets)
    assert [widgets["speed"].itemText(n) for n in range(2)] == ["Fast", "Exact"]
    assert widgets["live"].isChecked()
    widgets["share"].setValue(0.75)
    widgets["device"].setCurrentIndex(1)
    widgets["speed"].setCurrentIndex(0)
    widgets["live"].click()
    widgets["note"].setText("seen")
    assert (parameters.share, parameters.device, parameters.speed) == (0.75, "cuda", Speed.FAST)
    assert (parameters.live, parameters.note) == (False, "seen")
    parameters.disconnectGui(tag)
    widgets["note"].setText("later")
    assert parameters.note == "seen"
    with pytest.raises(RuntimeError, match="no connection"):
        parameters.connectParametersToGui({"steps": qt.QLineEdit()})


def test_slicer_knows_no_union_written_with_a_bar(app):
    with pytest.raises(TypeError, match="Optional"):

        @parameterNodeWrapper
        class Wrong:
            reference: slicer.vtkMRMLSegmentationNode | None


def test_closing_the_scene_brings_the_defaults_back_into_the_widgets(parameters, panel, scene):
    panel.Panel.setMRMLScene(scene)
    parameters.connectGui(panel)
    parameters.volume, parameters.steps = image("OCT"), 33
    scene.Clear(0)
    assert panel.volumeBox.currentNode() is None
    assert panel.steps.value() == 20
    assert (parameters.volume, parameters.steps) == (None, 20)
