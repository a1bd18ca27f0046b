"""The pictures of README and docs/napari.md, from the real program with phantoms.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" \
        python docs/record.py --film docs/images/napari.gif --stills docs/images

The shipped `oct-phantom` segments the phantom stack in a real viewer, and a mouse that moves as a
person's does the rest (`benchmarks/driver.py`). A step is a function of the desk at the end of the
file; the film is a GIF, which a README shows without a player, and must stay under 3 MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from driver import Driver
from session import (
    Session,
    accept_and_next,
    go_to_the_worst_structure,
    paint,
    sample_around_the_edits,
    segment,
)

WINDOW = (1280, 800)
FILM_WIDTH_PX = 900
FRAME_MS = 120
LARGEST_BYTES = 3_000_000
COLORS = 255
WAITING = 8
"""Times as fast goes the film while the program is at work."""
ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
GLIDE_PX = 60
"""From one frame to the next, where the mouse goes from one place to another."""


@dataclass
class Camera:
    """Frames of the window with the mouse drawn in, as the film's time goes by.

    Parameters
    ----------
    filming : bool
        Otherwise nothing is kept.
    """

    filming: bool
    driver: Driver = field(init=False)
    frames: list[Image.Image] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    speed: int = 1
    _passed: float = 0.0
    _last: QPoint | None = None
    _clean: Image.Image | None = None

    def on_step(self, milliseconds: int) -> None:
        """Let the film's time pass; a frame is taken where one is due."""
        if not self.filming or not hasattr(self, "driver"):
            return
        last = self._last or self.driver.pointer
        way = self.driver.pointer - last
        far = 0 if self.driver.pressed else max(abs(way.x()), abs(way.y())) // GLIDE_PX
        for part in range(1, far + 1):  # the window is as it was
            self.take(last + way * (part / (far + 1)), like=self._clean)
        self._last = QPoint(self.driver.pointer)
        self._passed += milliseconds / self.speed
        if self._passed >= FRAME_MS:
            self._passed = 0.0
            self.take(self.driver.pointer)

    def hold(self, milliseconds: int) -> None:
        """Show what is on screen for a while."""
        if self.filming:
            self.driver.pause(150)
            self.take(self.driver.pointer)
            self.times_ms[-1] = milliseconds

    def take(self, pointer: QPoint, like: Image.Image | None = None) -> None:
        """Take a frame; `like` is a picture of the window that is still true."""
        if like is None:
            shot = self.driver.viewer.screenshot(canvas_only=False, flash=False)
            like = Image.fromarray(shot[..., :3])
        self._clean = like
        frame = like.copy()
        draw = ImageDraw.Draw(frame)
        x, y = pointer.x(), pointer.y()
        if self.driver.pressed:
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), outline=(255, 210, 0), width=3)
        draw.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill="white", outline="black")
        self.frames.append(_smaller(frame))
        self.times_ms.append(FRAME_MS)

    def save(self, path: Path) -> int:
        """Write the GIF; returns its size.

        Raises
        ------
        RuntimeError
            It is too large.
        """
        # One palette for all, so that nothing flickers. A colour's weight is the logarithm of its
        # pixels: a structure's is rare beside the greys of the window.
        some = [np.asarray(f) // 4 for f in self.frames[:: max(1, len(self.frames) // 8)]]
        colors, counts = np.unique(
            np.concatenate([f.reshape(-1, 3) for f in some]), axis=0, return_counts=True
        )
        weighed = np.repeat(colors * 4 + 2, 1 + np.log2(counts).astype(int), axis=0)
        palette = Image.fromarray(weighed[None].astype(np.uint8)).quantize(
            COLORS, method=Image.Quantize.MEDIANCUT
        )
        plain = Image.Dither.NONE  # noise does not compress
        indexed = [f.quantize(palette=palette, dither=plain) for f in self.frames]
        indexed[0].save(
            path, save_all=True, append_images=indexed[1:], duration=self.times_ms, loop=0,
            optimize=False, disposal=1,
        )  # fmt: skip
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise RuntimeError(
                f"{path} has {size / 1e6:.1f} MB, more than {LARGEST_BYTES / 1e6:.0f}: fewer "
                "steps, a longer FRAME_MS or fewer COLORS"
            )
        return size


def _smaller(frame: Image.Image) -> Image.Image:
    height = round(frame.height * FILM_WIDTH_PX / frame.width)
    return frame.resize((FILM_WIDTH_PX, height), Image.Resampling.LANCZOS)


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
            self.driver.screenshot(f"napari-{name}")


# ---------------------------------------------------------------------- the steps, in their order


def empty(desk: Desk) -> None:
    """What a viewer without images says."""
    desk.camera.hold(1500)
    desk.still("empty")


def open_sample(desk: Desk) -> None:
    """Follow the link to the phantom stack."""
    status = desk.dock.footer.status
    # A link in a text has no widget of its own: the mouse goes there, the label says it was hit.
    desk.driver.pointer = status.mapTo(desk.driver.window, status.rect().center())
    desk.camera.on_step(FRAME_MS)
    status.linkActivated.emit("sample")
    viewer = desk.session.viewer
    viewer.reset_view()
    camera = getattr(viewer, "scene", viewer).camera  # `camera` until napari 0.9
    camera.zoom *= 1.5
    desk.camera.hold(1000)
    desk.still("sample")


def segment_the_stack(desk: Desk) -> None:
    """Press Segment and wait; the film goes faster meanwhile."""
    desk.camera.speed = WAITING
    segment(desk.session)
    desk.camera.speed = 1
    desk.camera.hold(1200)
    desk.still("segmented")


def jump(desk: Desk) -> None:
    """Go to where the worst structure is worst."""
    go_to_the_worst_structure(desk.session)
    desk.camera.hold(1000)


def correct(desk: Desk) -> None:
    """Paint over the largest mistakes."""
    paint(desk.session)
    desk.camera.hold(1500)
    desk.still("painted")


def sample_anew(desk: Desk) -> None:
    """One key; what looks alike follows the strokes."""
    sample_around_the_edits(desk.session)
    desk.camera.hold(1500)
    desk.driver.open_tab(desk.dock.panels, "Correct")
    desk.still("sampled")


def alternatives(desk: Desk) -> None:
    """Flip through what the samples say of the part under the mouse, and take one."""
    layer, driver = desk.session.layer, desk.driver
    at = desk.dock.desk.place(desk.dock.results[-1])
    value = int(np.bincount(layer.data[at][layer.data[at] > 0]).argmax())
    rows, columns = np.nonzero(layer.data[at] == value)
    middle = len(rows) // 2
    driver.move_to(layer, (rows[middle], columns[middle]))
    desk.camera.hold(300)  # a busy machine is late with what is under the mouse
    driver.press(".")
    desk.camera.hold(900)
    desk.still("alternative")
    driver.press(".")
    desk.camera.hold(900)
    driver.press("Escape")


def accept(desk: Desk) -> None:
    """One key; the next of the queue comes up."""
    accept_and_next(desk.session)
    desk.camera.hold(1500)
    desk.still("review")


def fill_between(desk: Desk) -> None:
    """Accept the B-scans on either side of one, and have it filled."""
    dock, driver = desk.dock, desk.driver
    layer = dock.results[-1].layer
    driver.open_tab(dock.panels, "Correct")
    for z in (6, 8):
        dock.desk.go_to(layer, (z,))
        driver.press("A")
    dock.desk.go_to(layer, (7,))
    driver.press("G")
    driver.wait(lambda: "filled" in dock.footer.status.text(), 120, "the filling")
    desk.still("between")


def uncertainty(desk: Desk) -> None:
    """Where the samples of the model differ."""
    result = desk.dock.results[-1]
    result.layer.visible = False
    result.uncertainty.visible = True
    desk.camera.hold(1200)
    desk.still("uncertainty")
    result.layer.visible = True
    result.uncertainty.visible = False


def measure(desk: Desk) -> None:
    """The numbers, the map en face, and the B-scan stretched."""
    desk.driver.open_tab(desk.dock.panels, "Measure")
    panel = desk.dock.measure
    desk.driver.wait(lambda: bool(panel.measures.rows), 60, "the measurements")
    panel.measures.facts.choose_eye("OD")
    panel.measures.facts.place_fovea((7.5, 190.0))
    panel.enface.shown.setCurrentIndex(1)
    panel.scale.stretch.click()
    desk.camera.hold(1500)
    desk.still("measure")
    panel.scale.stretch.click()
    panel.map.click()


def keep_and_train(desk: Desk) -> None:
    """Where the work goes."""
    for title in ("Keep", "Train"):
        desk.driver.open_tab(desk.dock.panels, title)
        desk.camera.hold(1000)
        desk.still(title.lower())


STEPS: tuple[Callable[[Desk], None], ...] = (
    empty, open_sample, segment_the_stack, jump, correct, sample_anew, alternatives, accept,
    fill_between, uncertainty, measure, keep_and_train,
)  # fmt: skip


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
    from spad.checkpoint.safetensors_file import shipped

    np.random.seed(0)  # noqa: NPY002  (napari draws its tips from it)
    with tempfile.TemporaryDirectory() as name:
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW)
        choices = QSettings(str(Path(name) / "choices.ini"), QSettings.Format.IniFormat)
        dock = SpadDock(viewer, settings=choices, folder=Path(name))
        viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
        camera = Camera(filming=args.film is not None)
        driver = Driver(viewer, shots=args.stills, on_step=camera.on_step)
        driver.wait(lambda: dock.form.device.count() > 1, 120, "PyTorch")
        dock.form.checkpoint.choose(shipped()["oct-phantom"])
        driver.pointer = driver.native.geometry().center()
        camera.driver = driver
        desk = Desk(Session(viewer, dock, driver, strokes=3), camera, args.stills)
        for step in STEPS:
            step(desk)
        if args.film is not None:
            size = camera.save(args.film)
            seconds = sum(camera.times_ms) / 1000
            print(f"{args.film}: {size / 1e6:.2f} MB, {len(camera.frames)} frames, {seconds:.0f} s")
        viewer.close()


if __name__ == "__main__":
    main()
