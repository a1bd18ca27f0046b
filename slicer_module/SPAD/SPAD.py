"""SPAD in 3D Slicer: segment with a diffusion model, see where it doubts, correct it, compare.

The panel's parts are in `SPADLib`, one file each; all computing is the engine's (`spad`). This file
also loads in Slicers whose Python is too old for the engine, so that it can say so.
"""

import sys
import unittest
from collections.abc import MutableMapping
from typing import Annotated, Union

import qt
import slicer
import vtk
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

MODEL = "oct-lesions"
ALL, CURRENT, RANGE = "all B-scans", "the one on screen", "a range"


class SPAD(ScriptedLoadableModule):
    """The module, as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "SPAD"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SPAD developers (SPAD segmentation project)"]
        self.parent.helpText = (
            "Segments retinal OCT B-scans and other images with a conditional categorical "
            "diffusion model, shows where its samples disagree, scores against any reference "
            "while you edit, and samples anew around your corrections. For research use only. "
            "Not a medical device."
        )
        self.parent.acknowledgementText = (
            "The method: Structure and Progress Aware Diffusion for Medical Image Segmentation, "
            "arXiv 2603.07889."
        )
        if not slicer.app.commandOptions().noMainWindow:
            slicer.app.connect("startupCompleted()", _register_sample)


def _register_sample():
    """Offer the phantom in the Sample Data module. Nothing is made before it is asked for."""
    from SPADLib.install import version_refusal
    from SPADLib.read import register_sample

    if not version_refusal(*_versions()):
        register_sample()


def _versions():
    """Versions (major, minor) of Slicer and of its Python."""
    return (slicer.app.majorVersion, slicer.app.minorVersion), tuple(sys.version_info[:2])


class SPADFileReader:
    """What Slicer's *Add Data* asks to open the scans that SPAD reads."""

    def __init__(self, parent):
        self.parent = parent

    def description(self):
        return "OCT scan"

    def fileType(self):
        return "SPADScan"

    def extensions(self):
        return ["Bioptigen or Optovue (*.OCT)", "Zeiss Cirrus (*.img)"]

    def load(self, properties):
        from SPADLib.read import added

        self.parent.loadedNodes = added(properties["fileName"])
        return bool(self.parent.loadedNodes)


@parameterNodeWrapper
class SPADParameterNode:
    """The choices, kept with the scene. Numbers: 0 stands for what the model recommends."""

    inputVolume: Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLVectorVolumeNode, None]
    checkpoint: str = MODEL
    device: str = "auto"
    bscans: Annotated[str, Choice([ALL, CURRENT, RANGE])] = ALL
    samples: Annotated[int, WithinRange(0, 64)] = 0
    steps: Annotated[int, WithinRange(0, 4000)] = 0
    seed: Annotated[int, WithinRange(0, 2147483647)] = 0
    probability: bool = False
    result: slicer.vtkMRMLSegmentationNode
    showUncertainty: bool = True
    reference: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]
    roi: slicer.vtkMRMLMarkupsROINode


class SPADWidget(ScriptedLoadableModuleWidget):
    """The panel: builds its parts, and follows the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.desk = None
        self.following = None

    def setup(self):
        """Called by Slicer once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        from SPADLib.install import version_refusal

        refusal = version_refusal(*_versions())
        if refusal:
            label = qt.QLabel(refusal)
            label.setWordWrap(True)
            self.layout.addWidget(label)
            self.layout.addStretch(1)
            return
        from SPADLib.install import InstallPanel, add_report_button

        self.install = InstallPanel(self.layout, self._open)
        self.reportButton = add_report_button(self.layout)
        self.install.check()

    def _open(self):
        """Build the panel; the engine is there."""
        from spad.inference import Engine
        from SPADLib.correct import CorrectPanel, EditPanel, LearnPanel, ReviewPanel
        from SPADLib.desk import Desk, Following, RunBox, Words
        from SPADLib.host import ink
        from SPADLib.keep import KeepPanel
        from SPADLib.learn import TrainingPanel
        from SPADLib.lines import LinesPanel
        from SPADLib.measure import MeasurePanel
        from SPADLib.scene import register
        from SPADLib.scores import ComparePanel
        from SPADLib.segment import SegmentPanel
        from SPADLib.write import SavePanel

        register()
        self._ink = ink
        widget = slicer.util.loadUI(self.resourcePath("UI/SPAD.ui"))
        self.layout.addWidget(widget)
        self.ui = ui = slicer.util.childWidgetVariables(widget)
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", "SPAD.classes")
        for label in (ui.preflightLabel, ui.belongsLabel):
            label.setStyleSheet(ink(label, "warning"))
            label.hide()
        ui.alternativeImage.hide()
        ui.offerFrame.hide()
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = SPADLogic()
        self.desk = Desk(Engine.spad(), _Settings(), self._say)
        runs = self.runs = RunBox(self.desk, ui)
        self.segment = SegmentPanel(self.desk, ui, runs, (ALL, CURRENT, RANGE), MODEL)
        self.edit = EditPanel(self.desk, ui)
        self.compare = ComparePanel(self.desk, ui, runs)
        self.lines = LinesPanel(self.desk, ui, self.edit.editor)
        self.measure = MeasurePanel(self.desk, ui)
        self.review = ReviewPanel(self.desk, ui)
        self.correct = CorrectPanel(self.desk, ui, runs, self.segment)
        self.lessons = LearnPanel(self.desk, ui, runs, self.segment)
        self.save = SavePanel(self.desk, ui)
        self.learn = TrainingPanel(self.desk, ui, runs, self.review)
        self.keep = KeepPanel(self.desk, ui)
        self.words = Words(self.desk, ui)
        for what in ("parameters", "view"):
            self.desk.on(what, self._hush)
        self.following = Following(self.desk, ui, self.logic.getParameterNode, self._leave_scene)
        self.layout.addWidget(self.reportButton)  # below the panel, whenever that came

    def _say(self, text, wrong):
        label = self.ui.statusLabel
        label.setStyleSheet("")
        label.setStyleSheet(self._ink(label, "error" if wrong else ""))
        label.setText(text)

    def _hush(self):
        if not self.runs.busy:
            self.desk.hush()

    # ------------------------------------------------------------------ life

    def enter(self):
        """Called each time the module is opened."""
        if self.following is not None:
            self.following.resume()
            self.edit.editor.enter()

    def exit(self):
        """Called each time another module is opened. Scores go on following the edits."""
        if self.following is not None:
            self.edit.editor.exit()

    def cleanup(self):
        """Called when Slicer closes, or the module is reloaded."""
        if self.following is not None:
            self._leave_scene()
            self.edit.editor.exit()
            self.edit.editor.edit(None)
            self.keep.stop()
            self.following.stop()
            self.segment.models.list.stop()

    def onReload(self):
        """Reload the module with its parts: Slicer itself reads this file alone anew."""
        for name in [n for n in sys.modules if n.partition(".")[0] == "SPADLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _leave_scene(self):
        self.keep.leave()
        self.runs.cancel("the scene was closed")
        self.segment.preflight.stop()
        self.compare.stop()
        self.lines.stop()
        self.measure.stop()
        self.review.stop()
        self.correct.stop()
        self.lessons.stop()
        self.edit.editor.edit(None)
        self.desk.forget()


class _Settings(MutableMapping):
    """The application's settings as a mapping of texts."""

    def __getitem__(self, key):
        value = slicer.app.userSettings().value(key)
        if value is None:
            raise KeyError(key)
        return str(value)

    def __setitem__(self, key, value):
        slicer.app.userSettings().setValue(key, value)

    def __delitem__(self, key):
        slicer.app.userSettings().remove(key)

    def __iter__(self):
        return iter(slicer.app.userSettings().allKeys())

    def __len__(self):
        return len(slicer.app.userSettings().allKeys())


class SPADLogic(ScriptedLoadableModuleLogic):
    """What scripts call; see also SPADLib/batch.py for whole folders."""

    def getParameterNode(self):
        """The choices, kept with the scene."""
        return SPADParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))

    def segment(self, volume, checkpoint=MODEL, **options):
        """Segment a volume and wait for it.

        Parameters
        ----------
        volume : vtkMRMLVolumeNode
        checkpoint : path, or the name of a model
        **options
            As of `SPADLib.batch.segment`.

        Returns
        -------
        SPADLib.scene.result.Result
        """
        from SPADLib.batch import segment

        return segment(volume, checkpoint, **options)

    def compare(self, result, reference):
        """Score a result against a segmentation or a label map on any grid.

        Parameters
        ----------
        result : SPADLib.scene.result.Result
        reference : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode

        Returns
        -------
        SPADLib.scores.live_scores.LiveScores
            Its `distances()` are counted.
        """
        from SPADLib.scores import LiveScores, Reference

        found = LiveScores(result, Reference.of(reference, result))
        for _ in found.distances():
            pass
        return found


class SPADTest(ScriptedLoadableModuleTest):
    """Self-tests: the same in Slicer (Reload and Test, ctest) and in pytest on slicer-core."""

    def setUp(self):
        from SPADLib.install import SlicerHost, missing

        if lacking := missing(SlicerHost()):
            raise unittest.SkipTest(f"not installed: {', '.join(lacking)}")
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run all of them, as Slicer's button does; a missing engine is said, and no fault."""
        loader = unittest.TestLoader()
        try:
            for name in loader.getTestCaseNames(type(self)):
                self.setUp()
                getattr(self, name)()
        except unittest.SkipTest as skipped:
            self.delayDisplay(f"The self-test was left out: {skipped}")

    def _segmented(self):
        from SPADLib.read import make_phantom

        volume, reference = make_phantom(shape=(3, 64, 96))
        options = {"device": "cpu", "samples": 2, "steps": 2}
        return volume, reference, SPADLogic().segment(volume, "oct-phantom", **options)

    def test_a_phantom_is_segmented_with_every_structure(self):
        volume, _, result = self._segmented()
        inner = result.segmentation.GetSegmentation()
        names = [inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs()]
        self.assertEqual(names, ["SRF", "IRF", "PED", "SHRM", "IS/OS"])
        self.assertEqual(result.labels().shape, (3, 64, 96))
        self.assertGreater(int((result.labels() > 0).sum()), 0)
        self.assertEqual(result.uncertainty().shape, (3, 64, 96))
        self.assertIs(result.volume, volume)

    def test_scores_follow_an_edit(self):
        import numpy as np

        from SPADLib.scene import replace_labels

        volume, reference, result = self._segmented()
        comparison = SPADLogic().compare(result, reference)
        before = comparison.rows()[0].dice
        truth = np.ascontiguousarray(comparison.labels[1])
        where = np.ones(truth.shape, bool)
        replace_labels(result.segmentation, result.values, volume, where, truth)
        self.assertTrue(comparison.refresh())
        self.assertNotEqual(comparison.rows()[0].dice, before)
        self.assertEqual(comparison.rows()[0].dice, 1)
        self.assertTrue(result.by_hand().any())

    def test_a_cancelled_run_changes_nothing(self):
        from pathlib import Path

        from spad.annotation import RunProgress
        from spad.checkpoint import shipped
        from spad.inference import Engine
        from SPADLib.desk import Request, events
        from SPADLib.read import make_phantom
        from SPADLib.scene import guessed_layout, open_source

        volume, _ = make_phantom(shape=(3, 64, 96))
        before = slicer.mrmlScene.GetNumberOfNodes()
        ask = Request(Path(shipped()["oct-phantom"]), "cpu", range(3), 2, 2)
        run = events(Engine.spad(), ask, open_source(volume, guessed_layout(volume)[0]))
        while not isinstance(next(run), RunProgress):
            pass
        run.close()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_a_result_is_saved_and_read_back(self):
        import json
        import tempfile
        from pathlib import Path

        import numpy as np

        from SPADLib.read import load_segmentation
        from SPADLib.scene import labels_of_volume
        from SPADLib.write import save

        volume, _, result = self._segmented()
        with tempfile.TemporaryDirectory() as folder:
            image, sidecar = save(result, Path(folder) / "phantom.nii.gz")
            found = labels_of_volume(load_segmentation(image), volume).labels
            self.assertTrue(np.array_equal(result.layout.stack(found), result.labels()))
            self.assertEqual(json.loads(sidecar.read_text())["shape"], [3, 64, 96])

    def test_a_volume_under_a_transform_keeps_its_segmentation(self):
        from SPADLib.read import make_phantom

        volume, _ = make_phantom(shape=(3, 64, 96))
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 12)
        transform.SetMatrixTransformToParent(matrix)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        options = {"device": "cpu", "samples": 1, "steps": 1}
        result = SPADLogic().segment(volume, "oct-phantom", **options)
        self.assertGreater(int((result.labels() > 0).sum()), 0)
        self.assertEqual(result.segmentation.GetTransformNodeID(), transform.GetID())
