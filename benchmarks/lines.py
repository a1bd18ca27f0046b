"""Lines between layers: seconds and strokes for a line of Duke's B-scans, and a drag's frame time.

    python benchmarks/lines.py DUKE --every 2
    xvfb-run -a python benchmarks/lines.py --frames

DUKE is the folder of `spad import duke --structures layers`. A played person brings each of the
eight borders of every N-th B-scan to a mean absolute distance of at most 1 px from the reader's,
from nothing. It knows where the reader drew, but its hand trembles: a careful stroke is off by 1.2
px (standard deviation, correlated over 12 columns), a quick one by 3 px, a click by 1 px.

- *draw*: one careful stroke, then the worst 100 columns again and again; a stroke that made it
  worse is taken back.
- *quick + snap*: one quick stroke, E (within 6 px), then as *draw*, each stroke snapped too if that
  is better, as the person would see.
- *wire*: clicks from left to right, each as far on as the wire shown keeps within 1 px on average,
  at most 200 columns and at least 15; what is worse than 1 px then is drawn over.
- *knots*: the same, of knots of a spline.

Seconds are played: 100 px/s for a careful stroke, 400 px/s for a quick one, 1 s a click, 1 s to
find and reach the place of a further stroke, .5 s a key. In brackets 95 % intervals from a
bootstrap over eyes (1000 resamples). Columns without all layers, or with fluid, do not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.borders import (
    Edges,
    Stretch,
    along_edge,
    band_lines,
    drawn,
    moved,
    snapped,
    through_knots,
)
from spad.pictures import image_files

NAMES = ("ILM", "NFL/GCL", "IPL/INL", "INL/OPL", "OPL/ONL", "IS/OS", "OS/RPE", "BM")
GOAL_PX, MOST_STROKES = 1.0, 40
CAREFUL_PX, QUICK_PX, CLICK_PX, ALONG = 1.2, 3.0, 1.0, 12
CAREFUL_SPEED, QUICK_SPEED, CLICK_S, FIND_S, KEY_S = 100.0, 400.0, 1.0, 1.0, 0.5
AGAIN, LONGEST, SHORTEST, WITHIN_PX = 100, 200, 15, 6
RESAMPLES = 1000
Line = NDArray[np.float32]


@dataclass
class Work:
    """A line in the making, and what it took."""

    truth: Line
    edges: Edges
    lean: float
    random: np.random.Generator
    line: Line
    strokes: int = 0
    seconds: float = 0.0

    @property
    def columns(self) -> NDArray[np.int64]:
        """Those in which the reader's line is known."""
        return np.flatnonzero(np.isfinite(self.truth))

    def off(self, line: Line | None = None) -> float:
        """Mean absolute distance; a column without the line counts as 20 px."""
        error = np.abs((self.line if line is None else line) - self.truth)[self.columns]
        return float(np.where(np.isnan(error), 20, error).mean())

    def put(self, stretch: Stretch) -> Line:
        """The line with a stretch replaced; it is not taken over yet."""
        return moved(self.line[None], 0, stretch)[0]

    def stroke(self, begin: int, end: int, tremor: float) -> Stretch:
        """A hand follows the reader's line over these columns, where it has gaps straight on."""
        from scipy.ndimage import gaussian_filter1d

        columns = np.arange(begin, end)
        rows = np.interp(columns, self.columns, self.truth[self.columns])
        noise = gaussian_filter1d(self.random.normal(0, 1, len(columns)), ALONG, mode="wrap")
        noise *= tremor / max(float(noise.std()), 1e-9)
        return drawn(np.stack([columns, rows + noise], 1))

    def worst(self) -> tuple[int, int]:
        """The columns with the largest error, as long as a further stroke."""
        error = np.nan_to_num(np.abs(self.line - self.truth), nan=0.0)
        sums = np.convolve(error, np.ones(AGAIN), "valid")
        first = int(sums.argmax())
        return max(first, int(self.columns[0])), min(first + AGAIN, int(self.columns[-1]) + 1)


def draw(work: Work, *, careful: float, quick: bool = False, snap: bool = False) -> None:
    """With the mouse, with or without snapping."""
    tremor = QUICK_PX if quick else careful
    begin, end = int(work.columns[0]), int(work.columns[-1]) + 1
    while work.strokes < MOST_STROKES and work.off() > GOAL_PX:
        first = work.strokes == 0
        if not first:
            begin, end = work.worst()
            tremor = careful
        speed = QUICK_SPEED if quick and first else CAREFUL_SPEED
        work.strokes += 1
        work.seconds += (end - begin) / speed + (0 if first else FIND_S)
        tried = [work.put(work.stroke(begin, end, tremor))]
        if snap:
            lean = work.lean or work.edges.lean(np.arange(len(work.line)), tried[0])
            found = snapped(work.edges, tried[0], begin, end, WITHIN_PX, lean=lean)
            tried.append(moved(tried[0][None], 0, found)[0])
            work.seconds += KEY_S
        best = min(tried, key=work.off)
        if first or work.off(best) < work.off():
            work.line = best
        else:
            work.seconds += KEY_S  # taken back


def click(work: Work, *, careful: float, spline: bool) -> None:
    """From left to right, each click as far on as what is shown is good."""
    columns = work.columns

    def place(column: int) -> tuple[float, float]:
        return float(column), float(work.truth[column] + work.random.normal(0, CLICK_PX))

    def shown(clicks: list[tuple[float, float]], to: tuple[float, float]) -> Stretch:
        if spline:
            return through_knots([*clicks, to])
        there = np.isfinite(work.line)
        lean = work.lean
        if not lean and there.sum() >= 20:
            lean = work.edges.lean(np.arange(len(work.line)), work.line)
        return along_edge(work.edges, clicks[-1], to, lean=lean)

    clicks, at = [place(int(columns[0]))], int(columns[0])
    work.strokes, work.seconds = 1, CLICK_S
    while at < columns[-1]:
        choices = [at + n for n in (LONGEST, 150, 110, 80, 60, 45, 30, 20, SHORTEST)]
        ends = sorted({int(columns[columns <= max(c, at + 1)][-1]) for c in choices} - {at})
        if not ends:  # a gap that no choice leads across
            ends = [int(columns[columns > at][0])]
        for end in reversed(ends):
            to = place(end)
            stretch = shown(clicks, to)
            here = np.abs(work.put(stretch) - work.truth)[at : end + 1]
            if end == ends[0] or np.nanmean(here) <= GOAL_PX:
                break
        work.line = work.put(stretch)
        clicks.append(to)
        at = end
        work.strokes += 1
        work.seconds += CLICK_S
    draw(work, careful=careful)


WAYS: dict[str, Callable[..., None]] = {
    "draw": draw,
    "quick + snap": partial(draw, quick=True, snap=True),
    "knots": partial(click, spline=True),
    "wire": partial(click, spline=False),
}


def borders(labels: NDArray[np.uint8]) -> Line:
    """Duke's eight borders, (8, W), in columns that have all layers and no fluid."""
    whole = (labels <= 7).all(0)
    tops = [band_lines(labels, k)[0] for k in range(1, 8)]
    found = np.stack([*tops, band_lines(labels, 7)[1]])
    return np.where(whole & np.isfinite(found).all(0), found, np.nan).astype(np.float32)


def duke(folder: Path, every: int, careful: float) -> list[dict[str, Any]]:
    """Each line of each B-scan by each way."""
    out = []
    leans: dict[tuple[str, str, int], float] = {}
    for path in sorted((folder / "images").glob("*.png"))[::every]:
        eye = path.stem.split("_")[0]
        edges = Edges(image_files.read_file(path, quiet=True))
        truth = borders(image_files.read_label_file(folder / "masks" / path.name))
        for number, name in enumerate(NAMES):
            if np.isfinite(truth[number]).sum() < 200:
                continue
            for way, work_through in WAYS.items():
                random = np.random.default_rng([len(out), number])
                nowhere = np.full(truth.shape[1], np.nan, np.float32)
                lean = leans.get((eye, way, number), 0.0)
                work = Work(truth[number], edges, lean, random, nowhere)
                began = time.process_time()
                work_through(work, careful=careful)
                cpu = time.process_time() - began
                leans[eye, way, number] = edges.lean(np.arange(len(work.line)), work.line)
                figures = {"strokes": work.strokes, "seconds": work.seconds, "cpu": cpu}
                reached = work.off() <= GOAL_PX
                out.append(
                    {"eye": eye, "line": name, "way": way, "off": work.off(), "reached": reached}
                    | figures
                )
    return out


def table(rows: list[dict[str, Any]]) -> str:
    """Means over lines and B-scans of an eye, then over eyes, with intervals."""
    lines = [
        "| way | strokes or clicks | played s | px off | within 1 px, % | CPU s |",
        "|" + "---|" * 6,
    ]
    for way in WAYS:
        by_eye: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["way"] == way:
                by_eye[row["eye"]].append(row)
        cells = []
        for key, factor in (
            ("strokes", 1),
            ("seconds", 1),
            ("off", 1),
            ("reached", 100),
            ("cpu", 1),
        ):
            eyes = np.array([factor * np.mean([r[key] for r in one]) for one in by_eye.values()])
            picks = np.random.default_rng(0).integers(0, len(eyes), (RESAMPLES, len(eyes)))
            low, high = np.percentile(eyes[picks].mean(1), [2.5, 97.5])
            cells.append(f"{eyes.mean():.3g} [{low:.3g}, {high:.3g}]")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    by_line = []
    for name in NAMES:
        some = [row for row in rows if row["line"] == name]
        means = {w: np.mean([r["seconds"] for r in some if r["way"] == w]) for w in WAYS}
        by_line.append(f"{name}: " + ", ".join(f"{way} {mean:.1f}" for way, mean in means.items()))
    return "\n".join([*lines, "", "Played seconds by line:", *by_line])


def frames(rounds: int = 60) -> dict[str, list[float]]:
    """Milliseconds from a move of the mouse to the drawn frame, eight lines of 1536 columns.

    Median and 90 %. The CPU's tell what it would take on a machine that nobody shares: of the whole
    frame, drawn in software under Xvfb; of the thread that everything waits for; of taking the
    heights and handing on the lines; and of drawing alone.
    """
    import napari
    from driver import Driver
    from qtpy.QtCore import QSettings, Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_spad.borders import borders_of
    from napari_spad.dock import SpadDock

    folder = Path(tempfile.mkdtemp())
    viewer = napari.Viewer()
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    dock = SpadDock(viewer, settings=settings, folder=folder)
    viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
    pixels = np.random.default_rng(0).integers(0, 255, (5, 496, 1536), dtype=np.uint8)
    viewer.add_image(pixels, name="eye", scale=(0.1, 0.0039, 0.0057), units=("mm",) * 3)
    dock.borders.add.add_new(list(NAMES))
    layer = dock.borders.layer
    lines = borders_of(layer)
    z = dock.borders.at_work.tools.bscan
    rows = np.linspace(60, 400, 8, dtype=np.float32)
    lines.put({z: np.repeat(rows[:, None], 1536, axis=1)})
    person = Driver(viewer)
    dock.borders.choose("drag")
    done: list[float] = []
    scene = person.canvas._scene_canvas
    scene.events.draw.connect(lambda _: done.append(time.perf_counter()), position="last")
    start = person.at(layer, (rows[3], 700))
    QTest.mousePress(person.native, Qt.MouseButton.LeftButton, pos=start)
    names = ("frame", "its CPU", "its main thread's CPU", "edit's CPU", "draw's CPU")
    found: dict[str, list[float]] = {name: [] for name in names}
    preview = lines.preview

    def timed(*args: Any) -> None:
        cpu = time.thread_time()
        preview(*args)
        found["edit's CPU"].append(1000 * (time.thread_time() - cpu))

    lines.preview = timed
    for number in range(rounds):
        person.pause(15)
        place = person.at(layer, (rows[3] + 20 * np.sin(number / 5), 700))
        done.clear()
        began, cpu, thread = time.perf_counter(), time.process_time(), time.thread_time()
        QTest.mouseMove(person.native, place)
        while not done and time.perf_counter() - began < 1:
            QApplication.processEvents()
        if done:
            found["frame"].append(1000 * (done[-1] - began))
            found["its CPU"].append(1000 * (time.process_time() - cpu))
            found["its main thread's CPU"].append(1000 * (time.thread_time() - thread))
    for _ in range(rounds):  # the same frame again, without a mouse and an edit
        done.clear()
        cpu = time.process_time()
        scene.update()
        while not done:
            QApplication.processEvents()
        found["draw's CPU"].append(1000 * (time.process_time() - cpu))
    QTest.mouseRelease(person.native, Qt.MouseButton.LeftButton, pos=start)
    viewer.close()
    return {name: np.percentile(times, [50, 90]).round(2).tolist() for name, times in found.items()}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--every", type=int, default=1, help="take each so many-th B-scan")
    parser.add_argument("--tremor", type=float, default=CAREFUL_PX, help="px of a careful stroke")
    parser.add_argument("--frames", action="store_true")
    args = parser.parse_args()
    if args.folder:
        print(table(duke(args.folder, args.every, args.tremor)))
    if args.frames:
        print(json.dumps(frames()))


if __name__ == "__main__":
    main()
