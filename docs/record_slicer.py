"""The pictures of docs/slicer.md, with a phantom, on the PyPI package slicer-core.

    xvfb-run -a python docs/record_slicer.py docs/images

The slice views are drawn by Slicer's own slice logic and displayable managers, off-screen. The
panel is the module's own, on the tests' stand-in for Slicer's Qt world: in Slicer the widgets have
another style.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "slicer"), str(ROOT / "slicer_module" / "SPAD")]

import numpy as np
import slicer
import standin
from driving import settle
from PIL import Image
from render import SliceView
from scene import new_scene

MODEL = "oct-phantom"
WIDTH_PX, HEIGHT_PX = 520, 200
GAP_PX = 6
LINES_HIGH_PX, ZOOM, PULLED_PX = 220, 1.9, 18
WAIT_S = 300
PANEL_PX, PANEL_HIGH_PX = 480, 1190


def main() -> None:
    """Record all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()  # of autosave
    scene, _, app = new_scene()
    standin.install(scene)
    import SPAD
    from SPADLib.desk.views import show_bscan
    from SPADLib.read import make_phantom

    panel = standin.open_module(SPAD)
    volume, reference = make_phantom(shape=(7, 256, 384))
    panel.desk.parameters.inputVolume = volume
    panel.desk.parameters.checkpoint = MODEL
    settle(panel, WAIT_S)
    panel.ui.segmentButton.click()
    settle(panel, WAIT_S)
    settle(panel, WAIT_S)
    reference.GetDisplayNode().SetVisibility(False)
    panel.desk.parameters.reference = reference
    settle(panel, WAIT_S)
    result = panel.desk.result

    view = SliceView(scene, app, "Recorded", (WIDTH_PX, HEIGHT_PX))
    display = result.segmentation.GetDisplayNode()
    display.SetVisibility2DFill(False)
    shown = []
    panel.ui.uncertaintyCheck.setChecked(False)
    show_bscan(view.node, volume, result.layout, 3)
    shown.append(view.pixels())
    display.SetVisibility(False)
    panel.ui.uncertaintyCheck.setChecked(True)
    shown.append(view.pixels())
    display.SetVisibility(True)
    panel.ui.uncertaintyCheck.setChecked(False)
    rows = panel.compare.comparison.rows()
    worst = min((r for r in rows if r.value and not r.word), key=lambda r: r.dice)
    panel.compare.act(rows.index(worst))
    show_bscan(view.node, volume, result.layout, worst.worst)
    shown.append(view.pixels())
    gap = np.full((GAP_PX, WIDTH_PX, 3), 255, np.uint8)
    picture = np.concatenate([part for image in shown for part in (image, gap)][:-1])
    Image.fromarray(picture).save(folder / "slicer-views.png", optimize=True)
    view.close()

    panel.compare.show_all()
    panel.ui.uncertaintyCheck.setChecked(True)
    panel.ui.nextButton.click()
    panel.ui.largerButton.click()
    settle(panel, WAIT_S)
    # The three tabs side by side, so that a page shows all of it.
    pages = []
    for tab in range(panel.ui.tabs.count()):
        panel.ui.tabs.setCurrentIndex(tab)
        panel.parent.resize(PANEL_PX, PANEL_HIGH_PX)
        panel.parent.show()
        standin.process_events(0.3)
        standin.screenshot(panel.parent, folder / "slicer-panel.png")
        pages.append(np.asarray(Image.open(folder / "slicer-panel.png").convert("RGB")))
    gap = np.full((len(pages[0]), 10, 3), 255, np.uint8)
    whole = np.concatenate([part for page in pages for part in (page, gap)][:-1], axis=1)
    Image.fromarray(whole).save(folder / "slicer-panel.png", optimize=True)
    panel.ui.tabs.setCurrentIndex(1)
    measure = panel.measure
    measure.section.setProperty("collapsed", False)
    settle(panel)
    measure.fovea.click()
    measure.eye.setCurrentIndex(1)
    settle(panel)
    standin.process_events(0.3)
    standin.screenshot(measure.section, folder / "slicer-measure.png")
    record_lines(panel, SliceView(scene, app, "Lines", (WIDTH_PX, LINES_HIGH_PX)), folder)
    standin.remove()
    slicer.mrmlScene.Clear(1)


def record_lines(panel, view, folder: Path) -> None:
    """Record the lines of a band, one point of them pulled, on the phantom's truth."""
    from SPADLib.desk.views import show_bscan, world_of
    from SPADLib.scene import replace_labels

    result, lines = panel.desk.result, panel.lines
    truth = np.ascontiguousarray(panel.compare.comparison.labels[1])
    replace_labels(result.segmentation, result.values, result.volume, truth >= 0, truth)
    panel.ui.uncertaintyCheck.setChecked(False)
    show_bscan(panel.desk.view, result.volume, result.layout, 3)
    settle(panel)
    lines.structures.setCurrentIndex(2)  # PED
    lines.band.click()
    panel.measure.section.setProperty("collapsed", True)
    fovea = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    fovea.GetDisplayNode().SetVisibility(False)
    top = lines.curves.shown(0)[0]
    for node in [n for line in (0, 1) for n in lines.curves.shown(line)]:
        node.GetDisplayNode().SetViewNodeIDs([view.node.GetID()])
    show_bscan(view.node, result.volume, result.layout, 3)
    middle = top.GetNumberOfControlPoints() // 2
    at = np.array(slicer.util.arrayFromMarkupsControlPoints(top)[middle])
    wide, high, deep = view.node.GetFieldOfView()
    view.node.SetFieldOfView(wide / ZOOM, high / ZOOM, deep)
    view.node.JumpSliceByCentering(*at)
    up = world_of(result.volume, result.layout, (3, 0, 0)) - world_of(
        result.volume, result.layout, (3, PULLED_PX, 0)
    )
    top.SetNthControlPointPositionWorld(middle, *(at + up))
    view.save(folder / "slicer-lines.png")
    view.close()


if __name__ == "__main__":
    main()
