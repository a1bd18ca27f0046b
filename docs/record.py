"""The pictures of README and docs/napari.md, from the real program with phantoms (`make pictures`).

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" \
        python docs/record.py --film docs/images/napari.gif --stills docs/images

The shipped `oct-phantom` segments the phantom stack in a real viewer, and a mouse that moves as a
person's does the rest (`benchmarks/driver.py`). A step is a function of the desk at the end of the
file; the first of them are the film, a GIF, which a README shows without a player, under 3 MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from camera import FRAME_MS, Camera, save_small
from driver import Driver
from session import Session, accept_and_next, paint, sample_around_the_edits, segment

WINDOW = (1280, 930)
WAITING = 8
"""Times as fast goes the film while the program is at work, at first."""
GAP_PX = 8
STROKES = 10
"""At most, on a B-scan."""


@dataclass
class Desk:
    """What a step works with."""

    session: Session
    camera: Camera
    stills: Path | None

    @property
    def dock(self) -> Any:
        """The dock."""
        return self.session.dock

    @property
    def driver(self) -> Driver:
        """The mouse and the keys."""
        return self.session.driver

    def still(self, name: str) -> None:
        """Save a picture for docs/napari.md."""
        if self.stills is not None:
            self.driver.pause(700)  # the distances come after a pause
            save_small(self.driver.screenshot(f"napari-{name}"))


# ---------------------------------------------------------------------- the steps, in their order


def empty(desk: Desk) -> None:
    """What a viewer without images says."""
    desk.camera.hold(1500)
    desk.still("empty")


def open_sample(desk: Desk) -> None:
    """Follow the link to the phantom stack, and draw its pixels as squares."""
    status = desk.dock.footer.status
    # A link in a text has no widget of its own: the mouse goes there, the label says it was hit.
    desk.driver.pointer = status.mapTo(desk.driver.window, status.rect().center())
    desk.camera.on_step(FRAME_MS)
    status.linkActivated.emit("sample")
    desk.session.viewer.reset_view()
    desk.camera.hold(800)
    desk.driver.click(desk.dock.measure.scale.stretch)
    desk.camera.hold(1200)
    desk.still("sample")


def segment_the_stack(desk: Desk) -> None:
    """Press Segment and wait; the film goes faster meanwhile."""
    desk.camera.speed = WAITING
    segment(desk.session)
    desk.camera.speed = 1
    desk.camera.hold(1500)
    desk.still("segmented")


def correct(desk: Desk) -> None:
    """Paint over the largest mistakes."""
    paint(desk.session)
    desk.camera.hold(1500)
    desk.still("painted")


def accept(desk: Desk) -> None:
    """One key; the next of the queue comes up."""
    accept_and_next(desk.session)
    desk.camera.hold(1500)
    desk.still("review")


def learn(desk: Desk) -> None:
    """One key: the model learns from what was accepted, and drafts the other B-scans anew."""
    driver, dock = desk.driver, desk.dock
    driver.open_tab(dock.panels, "Correct")
    driver.click(dock.scores.stack)
    desk.camera.hold(2000)
    desk.camera.speed = WAITING
    driver.press("K")
    driver.wait(lambda: dock.running, what="the lesson to begin")
    driver.wait(lambda: not dock.running, desk.session.timeout, "the lesson")
    desk.camera.speed = 1
    desk.camera.hold(2500)
    desk.still("learnt")
    for _ in range(3):
        driver.turn(driver.native.rect().center(), 1, "Ctrl")
        desk.camera.hold(600)
    driver.click(dock.scores.stack)


def measure(desk: Desk) -> None:
    """The numbers, and the map en face."""
    desk.driver.open_tab(desk.dock.panels, "Measure")
    panel = desk.dock.measure
    desk.driver.wait(lambda: bool(panel.measures.rows), 60, "the measurements")
    panel.measures.facts.choose_eye("OD")
    panel.measures.facts.place_fovea((7.5, 380.0))
    panel.enface.shown.setCurrentIndex(1)
    desk.camera.hold(3000)
    desk.still("measure")


def sample_anew(desk: Desk) -> None:
    """One key; what looks alike follows the strokes."""
    desk.dock.measure.map.click()
    desk.driver.open_tab(desk.dock.panels, "Correct")
    paint(desk.session)
    sample_around_the_edits(desk.session)
    desk.still("sampled")


def alternatives(desk: Desk) -> None:
    """Flip through what the samples say of the part under the mouse."""
    layer, driver = desk.session.layer, desk.driver
    at = desk.dock.desk.place(desk.dock.results[-1])
    value = int(np.bincount(layer.data[at][layer.data[at] > 0]).argmax())
    rows, columns = np.nonzero(layer.data[at] == value)
    middle = len(rows) // 2
    driver.move_to(layer, (rows[middle], columns[middle]))
    driver.pause(300)  # a busy machine is late with what is under the mouse
    driver.press(".")
    desk.still("alternative")
    driver.press("Escape")


def fill_between(desk: Desk) -> None:
    """Accept the B-scans on either side of one, and have it filled."""
    dock, driver = desk.dock, desk.driver
    result = dock.results[-1]
    driver.open_tab(dock.panels, "Correct")
    done = {z for (z,) in dock.review.reviews.accepted(result)}
    gaps = [z for z in range(1, len(result.layer.data) - 1) if not done & {z - 1, z, z + 1}]
    gap = min(gaps, key=lambda z: abs(z - 7))
    for z in (gap - 1, gap + 1):
        dock.desk.go_to(result.layer, (z,))
        driver.press("A")
    dock.desk.go_to(result.layer, (gap,))
    driver.press("G")
    driver.wait(lambda: "filled" in dock.footer.status.text(), 120, "the filling")
    desk.still("between")


def uncertainty(desk: Desk) -> None:
    """Where the samples of the model differ."""
    result = desk.dock.results[-1]
    result.layer.visible = False
    result.uncertainty.visible = True
    desk.still("uncertainty")
    result.layer.visible = True
    result.uncertainty.visible = False


def lines(desk: Desk) -> None:
    """Top and bottom of a structure as lines; one is dragged."""
    desk.driver.open_tab(desk.dock.panels, "Correct")
    panel, driver = desk.dock.borders, desk.driver
    panel.add.add_band(next(c.value for c in desk.dock.results[-1].classes if c.name == "IS/OS"))
    driver.pause(300)
    borders, z = panel.at_work.borders, panel.at_work.tools.bscan
    there = np.flatnonzero(np.isfinite(borders.heights[0, z]))
    column = int(there[len(there) // 6])
    row = float(borders.heights[0, z, column])
    panel.choose("drag")
    stretch = desk.dock.measure.scale.stretch
    stretch.click()
    driver.pause(300)
    driver.stroke(panel.layer, [(row, column), (row - 8, column), (row - 16, column)])
    desk.camera.hold(1200)
    desk.still("lines")
    stretch.click()
    driver.press("Ctrl+Z")
    desk.session.viewer.layers.remove(panel.layer)
    driver.open_tab(desk.dock.panels, "Review")


def keep_and_train(desk: Desk) -> None:
    """Where the work goes."""
    for title in ("Keep", "Train"):
        desk.driver.open_tab(desk.dock.panels, title)
        desk.still(title.lower())


def stretched(desk: Desk) -> None:
    """The same B-scan at true millimetres and stretched, side by side."""
    if desk.stills is None:
        return
    viewer, stretch = desk.session.viewer, desk.dock.measure.scale.stretch
    shown = []
    for on in (False, True):
        stretch.setChecked(on)
        viewer.reset_view()
        desk.driver.pause(700)
        canvas = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
        shown.append(canvas[len(canvas) // 4 : -len(canvas) // 4])  # above and below it is black
    gap = np.full((len(shown[0]), GAP_PX, 3), 255, np.uint8)
    path = desk.stills / "napari-stretched.png"
    Image.fromarray(np.concatenate([shown[0], gap, shown[1]], axis=1)).save(path)
    save_small(path)


Step = Callable[[Desk], None]
FILM: tuple[Step, ...] = (
    empty, open_sample, segment_the_stack, correct, accept, learn, measure,
)  # fmt: skip
STILLS: tuple[Step, ...] = (
    sample_anew, alternatives, uncertainty, lines, fill_between, keep_and_train, stretched,
)  # fmt: skip
"""After the film."""


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--film", type=Path, metavar="FILE.gif")
    parser.add_argument("--stills", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    if not args.film and not args.stills:
        parser.error("nothing to record: give --film, --stills or both")

    import napari
    from qtpy.QtCore import QSettings

    from napari_spad.dock import SpadDock
    from spad.checkpoint import shipped

    np.random.seed(0)  # noqa: NPY002  (napari draws its tips from it)
    with tempfile.TemporaryDirectory() as name:
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW)
        choices = QSettings(str(Path(name) / "choices.ini"), QSettings.Format.IniFormat)
        dock = SpadDock(viewer, settings=choices, folder=Path(name))
        viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
        camera = Camera(filming=args.film is not None)
        driver = Driver(viewer, shots=args.stills, on_step=camera.on_step)
        driver.wait(lambda: dock.form.model.listed, 120, "PyTorch")
        dock.form.checkpoint.choose(shipped()["oct-phantom"])
        driver.pointer = driver.native.geometry().center()
        camera.driver = driver
        desk = Desk(Session(viewer, dock, driver, strokes=STROKES), camera, args.stills)
        for step in FILM:
            step(desk)
        camera.filming = False
        for step in STILLS if args.stills else ():
            step(desk)
        if args.film is not None:
            size = camera.save(args.film)
            seconds = sum(camera.times_ms) / 1000
            print(f"{args.film}: {size / 1e6:.2f} MB, {len(camera.frames)} frames, {seconds:.0f} s")
        viewer.close()


if __name__ == "__main__":
    main()
