"""A radiologist's day in the Slicer module, over Slicer's genuine Python layer.

    xvfb-run -a python benchmarks/slicer_day.py SLICER_SOURCE [--shots FOLDER]

SLICER_SOURCE is a checkout of github.com/Slicer/Slicer at a release tag. Its own
ScriptedLoadableModule, parameterNodeWrapper, i18n and SampleData run, over the PyPI package
slicer-core (Slicer's MRML core) and the tests' widgets (tests/slicer/standin). On a phantom, with
the shipped model: install check, sample, segment, edit, undo, compare, learn, a training set,
accept and carry, save, close, load while open, go on. It ends with 1 where anything is not as it
should be.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "slicer"), str(ROOT / "slicer_module" / "SPAD")]

SHAPE = (7, 192, 256)
SIZES = {"1080p": (560, 980), "narrow": (480, 700)}


class Day:
    """The steps, one after another; each says what it found.

    Parameters
    ----------
    folder : Path
        Of the files that are saved.
    shots : Path, optional
        Folder of the pictures of the panel.
    """

    def __init__(self, folder: Path, shots: Path | None) -> None:
        import slicer
        import standin
        from scene import new_scene

        self.folder, self.shots = folder, shots
        self.scene, _, _ = new_scene()
        self.app = standin.install(self.scene)
        self.slicer, self.standin = slicer, standin
        self.panel: Any = None
        self.volume: Any = None
        self.reference: Any = None

    def settle(self) -> None:
        """Wait until nothing goes on."""
        from driving import settle

        settle(self.panel, 300)

    def click(self, name: str) -> str:
        """Press a button that can be pressed, and wait; what the panel says then."""
        from driving import said

        button = getattr(self.panel.ui, name)
        assert button.isEnabled(), f"{name} cannot be pressed"
        button.click()
        self.settle()
        return str(said(self.panel))

    def shot(self, name: str) -> None:
        """Take pictures of the panel, at a full and at a narrow size."""
        if self.shots is None:
            return
        self.shots.mkdir(parents=True, exist_ok=True)
        window = self.panel.parent
        for size, (width, height) in SIZES.items():
            window.resize(width, height)
            window.show()
            self.standin.process_events(0.2)
            assert window.width() == width, f"{size}: the panel needs {window.width()} pixels"
            self.standin.screenshot(window, self.shots / f"{name}-{size}.png")

    # ------------------------------------------------------------------ the steps

    def install_check(self) -> str:
        """What is missing is known, and the module opens."""
        import SPAD
        from SPADLib.install import SlicerHost, missing

        lacking = missing(SlicerHost())
        assert not lacking, f"install {lacking} first"
        self.panel = self.standin.open_module(SPAD)
        assert self.panel.desk is not None
        self.settle()
        self.shot("1-empty")
        return type(self.panel.desk.parameters).__name__

    def sample(self) -> str:
        """The phantom is offered, and made by what the button of Sample Data calls."""
        import SPAD

        SPAD._register_sample()
        (source,) = self.slicer.modules.sampleDataSources["SPAD"]
        made = source.customDownloader(source)
        assert len(made) == 2
        from SPADLib.read import make_phantom

        for node in made:
            self.scene.RemoveNode(node)
        self.volume, self.reference = make_phantom(shape=SHAPE)  # a smaller one, for the day
        self.panel.desk.parameters.inputVolume = self.volume
        self.panel.desk.parameters.checkpoint = "oct-phantom"
        self.panel.desk.parameters.samples = 4
        self.settle()
        self.shot("2-segment")
        return source.sampleName

    def segment(self) -> str:
        """A run makes a result, and the tab Correct is on top."""
        text = self.click("segmentButton")
        assert self.result is not None
        assert self.panel.ui.tabs.currentIndex() == 1
        return text

    @property
    def result(self) -> Any:
        """The result at work."""
        return self.panel.desk.result

    def edit(self) -> str:
        """A stroke, and the model around it."""
        from fakes import paint

        self.click("nextButton")
        self.at = self.panel.desk.bscan()
        self.before = self.result.labels().copy()
        self.panel.edit.editor.widget.saveStateForUndo()  # as the brush does
        paint(self.result, self.at, slice(60, 90), slice(100, 150), 1)
        self.settle()
        self.stroke = self.result.by_hand().copy()
        assert self.stroke[self.at].any()
        self.panel.desk.parameters.seed = 5
        text = self.click("resampleButton")
        assert (self.result.by_hand() == self.stroke).all()
        self.shot("3-correct")
        return text

    def undo(self) -> str:
        """Undo takes back the model, then the stroke; redo brings both again."""
        editor = self.panel.edit.editor.widget
        after = self.result.labels().copy()
        steps = 0
        while (self.result.labels() != self.before).any():
            editor.undo()
            steps += 1
            assert steps <= 2, "undo does not lead back"
        assert not self.result.by_hand().any()
        for _ in range(steps):
            editor.redo()
        assert (self.result.labels() == after).all()
        assert (self.result.by_hand() == self.stroke).all()
        self.settle()
        return f"{steps} steps"

    def compare(self) -> str:
        """Scores against the truth; a click shows one structure, Next shows all again."""
        self.panel.desk.parameters.reference = self.reference
        self.settle()
        rows = self.panel.compare.comparison.rows()
        self.panel.compare.act(0)
        self.click("nextButton")
        display = self.result.segmentation.GetDisplayNode()
        ids = self.result.segmentation.GetSegmentation().GetSegmentIDs()
        assert all(display.GetSegmentVisibility(s) for s in ids)
        self.shot("4-compare")
        return ", ".join(f"{r.name} {r.word or format(r.dice, '.3f')}" for r in rows)

    def _gaps(self) -> Callable[[], list[float]]:
        """Begin to time the turns of the event loop; to be called for the seconds between them."""
        from PySide6.QtCore import QTimer

        turns, timer = [time.monotonic()], QTimer()
        timer.timeout.connect(lambda: turns.append(time.monotonic()))
        timer.start(5)

        def stop() -> list[float]:
            timer.stop()
            return [b - a for a, b in itertools.pairwise([*turns, time.monotonic()])]

        return stop

    def learn(self) -> str:
        """The model learns from the B-scan that is accepted; the others are drafted anew."""
        before = self.result.labels().copy()
        self.panel.review._go(self.at)
        self.panel.review.review.mark(self.at, "accepted")
        gaps = self._gaps()
        text = self.click("learnButton")
        still = max(gaps())
        assert text.startswith("Learnt from 1 B-scan"), text
        assert Path(self.panel.desk.parameters.checkpoint).parent.name == "learnt"
        now = self.result.labels()
        assert (now[self.at] == before[self.at]).all()
        assert (now != before).any()
        assert (self.result.by_hand() == self.stroke).all()
        self.shot("5-learn")
        told = self.click("goBackButton")
        assert self.panel.desk.parameters.checkpoint == "oct-phantom", told
        assert (self.result.labels() == before).all()
        self.panel.review.review.mark(self.at, "seen")
        return f"{text} Without a turn of the event loop for {1000 * still:.0f} ms at most."

    def training_set(self) -> str:
        """Corrected B-scans go to a training set."""
        self.panel.ui.trainingFolder.setCurrentPath(str(self.folder / "cases"))
        text = self.click("addCorrectedButton")
        assert any((self.folder / "cases" / "masks").iterdir())
        return text

    def accept_and_carry(self) -> str:
        """An accepted B-scan is left alone by Carry on, and one press takes all of it back."""
        self.panel.review._go(2)
        self.panel.review.review.mark(2, "accepted")
        self.panel.review._go(1)
        before = self.result.labels().copy()
        self.panel.ui.carrySpin.setValue(3)
        text = self.click("carryButton")
        assert (self.result.labels()[2] == before[2]).all()
        assert self.panel.review.review.accepted() == {2}
        assert "B-scan 3 is accepted" in text, text
        if self.panel.ui.takeBackButton.isEnabled():
            self.click("takeBackButton")
        assert (self.result.by_hand() == self.stroke).all()
        return text

    def save(self) -> str:
        """Files for others, and the scene."""
        from scene import save_scene

        file = self.folder / "result.seg.nrrd"
        self.standin.dialogs.answer("save file", str(file))
        self.panel.ui.tabs.setCurrentIndex(2)
        text = self.click("saveButton")
        assert file.is_file()
        self.shot("6-save")
        self.kept = self.result.labels().copy()
        (self.folder / "scene").mkdir()
        self.mrml = save_scene(self.scene, self.folder / "scene")
        return text

    def close(self) -> str:
        """Nothing is left that could be pressed."""
        self.scene.Clear(0)
        self.settle()
        names = ("nextButton", "acceptButton", "resampleButton", "takeBackButton", "saveButton")
        assert not [n for n in names if getattr(self.panel.ui, n).isEnabled()]
        assert self.result is None
        return "closed"

    def load_while_open(self) -> str:
        """The scene comes back with its choices, its result and its states."""
        self.scene.SetURL(str(self.mrml))
        self.scene.Connect()
        self.settle()
        assert self.result is not None, "the result is not at work"
        assert self.panel.ui.inputSelector.currentNode() is self.panel.desk.parameters.inputVolume
        assert (self.result.labels() == self.kept).all()
        assert (self.result.by_hand() == self.stroke).all()
        assert self.panel.review.review.accepted() == {2}
        return f"by hand {int(self.stroke.sum()):,} pixels, as before"

    def go_on(self) -> str:
        """Work goes on: another scene beside it, a stroke, the next B-scan."""
        self.scene.SetURL(str(self.mrml))
        assert self.scene.Import()
        self.settle()
        tables = self.slicer.util.getNodesByClass("vtkMRMLColorTableNode")
        names = [t.GetName() for t in tables if "SPAD" in t.GetName()]
        assert len(names) == 1, names
        text = self.click("nextButton")
        self.standin.close_module("SPAD")
        return text


STEPS: tuple[Callable[[Day], str], ...] = (
    Day.install_check,
    Day.sample,
    Day.segment,
    Day.edit,
    Day.undo,
    Day.compare,
    Day.learn,
    Day.training_set,
    Day.accept_and_carry,
    Day.save,
    Day.close,
    Day.load_while_open,
    Day.go_on,
)


class _Told(logging.Handler):
    """Counts errors that were only logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one."""
        self.texts.append(self.format(record))


def main() -> int:
    """Live the day; 0 where all was as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, metavar="SLICER_SOURCE")
    parser.add_argument("--shots", type=Path, help="folder of pictures of the panel")
    parser.add_argument("--dark", action="store_true", help="Slicer's dark style")
    arguments = parser.parse_args()
    os.environ["SLICER_SOURCE"] = str(arguments.source)
    told = _Told()
    logging.getLogger().addHandler(told)
    with tempfile.TemporaryDirectory(prefix="spad-day-") as folder:
        os.environ["XDG_DATA_HOME"] = str(Path(folder, "data"))  # of the models that learn
        day = Day(Path(folder), arguments.shots)
        if arguments.dark:
            _darken()
        for step in STEPS:
            began = time.monotonic()
            found = step(day)
            print(f"{step.__name__:18} {time.monotonic() - began:5.1f} s  {found}", flush=True)
            if told.texts:
                print("logged:", *told.texts, sep="\n", file=sys.stderr)
                return 1
        day.standin.remove()
    return 0


def _darken() -> None:
    from PySide6.QtGui import QColor, QPalette
    from PySide6.QtWidgets import QApplication

    palette = QPalette()
    roles = QPalette.ColorRole
    for role in (roles.Window, roles.Button, roles.Base, roles.AlternateBase):
        palette.setColor(role, QColor("#353535"))
    for role in (roles.WindowText, roles.ButtonText, roles.Text, roles.PlaceholderText):
        palette.setColor(role, QColor("#f0f0f0"))
    QApplication.setStyle("Fusion")
    QApplication.setPalette(palette)


if __name__ == "__main__":
    sys.exit(main())
