"""An annotator's session in the real viewer, with real mouse and key events, told in numbers.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" \
        python benchmarks/session.py CASES --count 4 --shots SHOTS

CASES is a case folder; validation B-scans of it become a stack with their reference, and
`oct-lesions` segments them. The worst structure is found by a double click and corrected by strokes
along the largest disagreements, as an annotator would draw them
(`spad.train.evaluation.simulated_strokes`); the model samples anew around them; the B-scan is
accepted. The next of the queue is corrected as well. Then all is exported, added to a training set,
and a model is tuned on it for `--minutes`. Printed: what each step took, and the Dice of the B-scan
at work and of the stack after it. SHOTS must lie outside the repository where the images are real.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from driver import Counts, Driver
from numpy.typing import NDArray
from scipy import ndimage

from spad.checkpoint.labels import IGNORE, named_like
from spad.metrics import confusion_matrix, mean_scores, structure_scores
from spad.train.evaluation.simulated_strokes import middle_line

__all__ = ["STEPS", "Session", "Took", "play", "report"]

STRIDE_PX = 4
"""Between two points of a stroke."""
BRUSHES_PX = (3, 15)
"""Narrowest and widest brush."""
LEAST_PX = 12
"""A smaller mistake is not worth a stroke."""


@dataclass(frozen=True)
class Took:
    """What a step took, and the Dice after it."""

    step: str
    seconds: float
    counts: Counts
    bscan_dice: float
    stack_dice: float


@dataclass
class Session:
    """A dock in a viewer on screen, and the person at it.

    Parameters
    ----------
    viewer : napari.Viewer
    dock : napari_spad.dock.SpadDock
    driver : Driver
    strokes : int
        How many the person is willing to draw on a B-scan.
    timeout : float
        For the longest run, in seconds.
    """

    viewer: Any
    dock: Any
    driver: Driver
    strokes: int = 6
    timeout: float = 600
    took: list[Took] = field(default_factory=list)

    @property
    def layer(self) -> Any:
        """The segmentation at work."""
        return self.dock.results[-1].layer

    @property
    def z(self) -> int:
        """The B-scan on screen."""
        return int(self.dock.desk.place(self.dock.results[-1])[-1])

    def truth(self) -> NDArray[np.uint8]:
        """The reference in the model's classes, by name; what the model does not know is 0."""
        layer = next(x for x in self.viewer.layers if x.metadata.get("role") == "reference")
        table = np.zeros(256, np.uint8)
        table[IGNORE] = IGNORE
        for value, name in zip(layer.features["index"], layer.features["name"], strict=True):
            meant = named_like(str(name), self.dock.results[-1].classes)
            table[int(value)] = meant.value if meant else table[int(value)]
        return table[np.asarray(layer.data, np.uint8)]

    def scores(self, z: int | None = None) -> Any:
        """Scores of the structures of a B-scan, or of the stack."""
        classes = self.dock.results[-1].classes
        truth, made = self.truth(), np.asarray(self.layer.data)
        if z is not None:
            truth, made = truth[z], made[z]
        return structure_scores(confusion_matrix(made, truth, len(classes)), classes)

    def dice(self, z: int | None = None) -> float:
        """Mean Dice over the structures; NaN before there is a segmentation."""
        return mean_scores(self.scores(z))[0] if self.dock.results else math.nan


# ---------------------------------------------------------------------- the steps


def segment(session: Session) -> None:
    """Press Segment for the whole stack."""
    driver, dock = session.driver, session.dock
    driver.click(dock.form.whole)
    driver.click(dock.form.button)
    driver.wait(lambda: dock.running, what="the run to begin")
    driver.wait(lambda: not dock.running, session.timeout, "the segmentation")
    if "done" not in (said := dock.footer.status.text()):
        raise RuntimeError(f"the segmentation did not come to its end: {said}")


def go_to_the_worst_structure(session: Session) -> None:
    """Double-click on the structure with the least Dice: there is its largest disagreement."""
    known = [s for s in session.scores() if s.state in ("compared", "missed")]
    worst = min(known, key=lambda s: s.dice).name
    table = session.dock.scores.table
    row = next(r for r in range(table.rowCount()) if table.item(r, 0).text() == worst)
    session.driver.double_click(*session.driver.cell(table, row, 0))


def paint(session: Session) -> None:
    """Draw strokes along the largest disagreements of the B-scan on screen."""
    z, driver, layer = session.z, session.driver, session.layer
    driver.press("Escape")  # all structures again
    for _ in range(session.strokes):
        found = _largest_mistake(layer.data[z], session.truth()[z])
        if found is None:
            break
        mistake, value = found
        path, brush = _path(mistake)
        _bring_near(session, path)
        driver.press(str(value))
        driver.stroke(layer, path, brush)
    driver.press("Z")  # napari's pan and zoom


def sample_around_the_edits(session: Session) -> None:
    """One key; the strokes are held."""
    session.driver.press("R")
    _wait_for_run(session)


def accept_and_next(session: Session) -> None:
    """One key; the next B-scan of the queue comes up."""
    driver = session.driver
    driver.open_tab(session.dock.panels, "Review")
    driver.wait(lambda: session.dock.review.table.rowCount() > 0, what="the queue")
    driver.press("A")
    driver.pause(300)


def save(session: Session) -> None:
    """Export the labels with a button."""
    driver, keep = session.driver, session.dock.keep
    driver.open_tab(session.dock.panels, "Keep")
    driver.click(keep.export_panel.button)
    folder = Path(keep.export_panel.folder.text())
    driver.wait(lambda: any(folder.glob("*.spad.json")), 60, "the export")


def add_to_the_training_set(session: Session) -> None:
    """Add what was painted in or accepted."""
    driver, cases = session.driver, session.dock.training.cases
    driver.open_tab(session.dock.panels, "Train")
    driver.click(cases.done)
    driver.wait(lambda: (cases.folder.path / "split.json").exists(), 60, "the training set")
    driver.pause(500)


def fine_tune(session: Session) -> None:
    """Train for the time that is set, beside napari."""
    driver, tuning = session.driver, session.dock.training.fine_tune
    driver.click(tuning.button)
    driver.wait(lambda: tuning.running, 30, "the training to begin")
    driver.wait(lambda: not tuning.running, 60 * tuning.minutes.value() + 300, "the training")
    driver.pause(1000)


def load_the_new_model(session: Session) -> None:
    """Take the tuned model, if it did better on what it was not trained on."""
    tuning = session.dock.training.fine_tune
    if tuning.use.isVisible():
        session.driver.click(tuning.use)


ROUND = (paint, sample_around_the_edits, accept_and_next)
STEPS: tuple[Callable[[Session], None], ...] = (
    segment, go_to_the_worst_structure, *ROUND, *ROUND, save, add_to_the_training_set, fine_tune,
    load_the_new_model,
)  # fmt: skip
"""In their order; each is a function of the session that uses its driver alone."""


def play(session: Session, steps: Sequence[Callable[[Session], None]] = STEPS) -> list[Took]:
    """Do the steps, and note what each took."""
    for number, step in enumerate(steps):
        before, began = Counts(**vars(session.driver.counts)), time.monotonic()
        step(session)
        seconds = time.monotonic() - began
        name = step.__name__.replace("_", " ")
        session.took.append(
            Took(
                name,
                seconds,
                session.driver.counts - before,
                session.dice(session.z),
                session.dice(),
            )
        )
        session.driver.pause(900)  # so that the picture shows the distances too
        session.driver.screenshot(f"{number + 1:02d}-{step.__name__}")
    return session.took


def report(took: Sequence[Took]) -> str:
    """The session as a table in Markdown."""
    lines = [
        "| step | s | strokes | clicks | keys | wheel | Dice of the B-scan | of the stack |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in took:
        counts = " | ".join(str(n) for n in vars(one.counts).values())
        lines.append(
            f"| {one.step} | {one.seconds:.1f} | {counts} | {one.bscan_dice:.3f} | "
            f"{one.stack_dice:.3f} |"
        )
    return "\n".join(lines)


def _wait_for_run(session: Session) -> None:
    """Let a run that a key may have begun come to its end."""
    session.driver.pause(100)
    session.driver.wait(lambda: not session.dock.running, session.timeout, "the run")


# ---------------------------------------------------------------------- where to paint


def _bring_near(session: Session, path: Sequence[tuple[int, int]]) -> None:
    """Turn the wheel until all of a path is on screen."""
    driver, layer = session.driver, session.layer
    for _ in range(20):
        places = [driver.at(layer, p) for p in path]
        if all(driver.native.rect().contains(p) for p in places):
            return
        middle = driver.native.rect().center()
        driver.turn(middle, -1)


def _largest_mistake(
    made: NDArray[Any], truth: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], int] | None:
    """The largest component of wrong pixels of one true class, and that class."""
    best: tuple[int, NDArray[np.bool_], int] | None = None
    for value in np.unique(truth[(made != truth) & (truth != IGNORE)]):
        parts, count = ndimage.label((made != truth) & (truth == value), np.ones((3, 3)))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        if best is None or sizes.max() > best[0]:
            best = (int(sizes.max()), parts == 1 + sizes.argmax(), int(value))
    return None if best is None or best[0] < LEAST_PX else best[1:]


def _path(mistake: NDArray[np.bool_]) -> tuple[list[tuple[int, int]], int]:
    """Points of a stroke through the middle of a mistake, and the brush that suits it."""
    line = middle_line(mistake, np.random.default_rng(0))
    depth = ndimage.distance_transform_edt(np.pad(mistake, 1))[1:-1, 1:-1]
    brush = int(np.clip(2 * np.median(depth[tuple(line.T)]) - 1, *BRUSHES_PX))
    points = [*line[::STRIDE_PX], line[-1]]
    return [(int(r), int(c)) for r, c in points], brush


# ---------------------------------------------------------------------- real images


def chosen(cases: Path, split: str, count: int, folder: Path) -> Path:
    """Copy some B-scans of a split, evenly spaced, with their reference by the model's names."""
    names = json.loads((cases / "split.json").read_text("utf-8"))[split]["images"]
    step = max(1, len(names) // count)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for name in names[::step][:count]:
            shutil.copy(cases / kind / f"{name}.png", folder / kind)
    shutil.copy(cases / "labels.json", folder)
    return folder / "images"


def main() -> None:
    """Play the session on real images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, help="a case folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=4, help="B-scans of the stack")
    parser.add_argument("--strokes", type=int, default=6, help="at most, on each B-scan")
    parser.add_argument("--rounds", type=int, default=2, help="B-scans to correct")
    parser.add_argument("--checkpoint", default="oct-lesions", help="a shipped one")
    parser.add_argument("--minutes", type=float, default=1, help="of fine-tuning; 0 for none")
    parser.add_argument("--shots", type=Path, help="screenshots go there, outside the repository")
    args = parser.parse_args()

    import napari
    from qtpy.QtCore import QSettings

    from napari_spad.demo import folder_stack
    from napari_spad.dock import SpadDock
    from spad.checkpoint import shipped

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        viewer = napari.Viewer()
        viewer.window.resize(1400, 900)
        images = chosen(args.cases, args.split, args.count, folder / "cases")
        for data, settings, kind in folder_stack(images):
            getattr(viewer, f"add_{kind}")(data, **settings)
        choices = QSettings(str(folder / "choices.ini"), QSettings.Format.IniFormat)
        dock = SpadDock(viewer, settings=choices, folder=folder / "data")
        viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
        driver = Driver(viewer, shots=args.shots)
        viewer.reset_view()
        viewer.dims.set_current_step(0, 0)
        driver.wait(lambda: dock.form.model.listed, 120, "PyTorch")
        dock.form.checkpoint.choose(shipped()[args.checkpoint])
        # Folders and minutes are chosen once, before an annotator begins.
        dock.keep.export_panel.folder.setText(str(folder / "exports"))
        dock.training.cases.folder.choose(folder / "training set")
        dock.training.fine_tune.minutes.setValue(args.minutes or 1)
        after = STEPS[STEPS.index(save) :] if args.minutes else (save, add_to_the_training_set)
        steps = (segment, go_to_the_worst_structure, *ROUND * args.rounds, *after)
        took = play(Session(viewer, dock, driver, strokes=args.strokes), steps)
        print(report(took))
        viewer.close()


if __name__ == "__main__":
    main()
