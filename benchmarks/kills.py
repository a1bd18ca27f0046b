"""Is anything lost? The desk killed amid strokes, a training amid its steps; full disks.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/kills.py kill
    python benchmarks/kills.py run
    python benchmarks/kills.py full     # as root: it mounts a small tmpfs

`kill`: napari with the dock, real mouse strokes one after another; SIGKILL at a random moment of a
random one. Then what autosave left is read back: each stroke that had ended `--grace` seconds
before must be there in pixels and in marks, and no file may be damaged. `run`: a training of
30 steps, in a fork, SIGKILL a moment after a random one of its saves; resumed, it must end
with the state and the model, to the bit, of one that nobody killed. `full`: of each kind of
file an old state is written, the disk is filled but for a random rest, the new state is written
until the system refuses; then every file must be the old one or the new one, whole, with nothing
beside it; and with room again the new state must be written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import numpy as np

SHAPE = (4, 128, 256)
COLUMNS = (30, 200)
MOST = 16  # strokes; each has a row of its own


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kill", "run", "full"))
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--grace", type=float, default=2.0, help="seconds that autosave may take")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.what == "kill":
        kill(args.times, args.grace, args.seed)
    else:
        {"run": run, "full": full}[args.what](args.times, args.seed)


# ---------------------------------------------------------------------- killed


def place(number: int) -> tuple[int, int, int]:
    """B-scan, row and value of a stroke; no two strokes touch."""
    return number % SHAPE[0], 8 + number // SHAPE[0] * 10, 1 + number % 5


def paint(folder: Path, tell: TextIO) -> None:
    """Paint stroke after stroke, saying when each begins and ends, until somebody kills us."""
    import napari
    from driver import Driver
    from qtpy.QtCore import QSettings, QTimer

    from napari_spad.desk import Result
    from napari_spad.dock import SpadDock
    from napari_spad.layers import open_source
    from spad.checkpoint import label_classes

    engine: Any = SimpleNamespace(devices=lambda: ["cpu"], shipped=dict)
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    viewer = napari.Viewer()
    dock = SpadDock(viewer, engine=engine, settings=settings, folder=folder)
    viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
    viewer.window.resize(900, 600)  # the less is drawn, the more kills
    image = viewer.add_image(np.zeros(SHAPE, np.uint8), name="eye")
    classes = label_classes(("background", "SRF", "IRF", "PED", "SHRM", "IS/OS"))
    result = Result(viewer, open_source(image, viewer, whole_stack=True), classes, "model")
    dock.desk.add_result(result)
    result.show_all()
    driver = Driver(viewer)
    driver.pause(600)
    viewer.reset_view()

    def strokes() -> None:
        for number in range(MOST):
            z, row, value = place(number)
            viewer.dims.set_current_step(0, z)
            result.layer.selected_label, result.layer.mode = value, "paint"
            driver.pause(60)
            print("begin", number, time.time(), file=tell, flush=True)
            ends = np.linspace(*COLUMNS, 5)
            driver.stroke(result.layer, [(row, column) for column in ends], brush=5)
            print("end", number, time.time(), file=tell, flush=True)

    QTimer.singleShot(500, strokes)
    napari.run()


def kill(times: int, grace: float, seed: int) -> None:
    """Print what was lost in so many kills."""
    import driver  # noqa: F401 - what a desk imports: once, and not in each fork
    import napari  # noqa: F401
    import pandas  # noqa: F401
    import skimage.color  # noqa: F401

    import napari_spad.dock  # noqa: F401

    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    oldest = 0.0
    for number in range(times):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ended, killed = _painted(folder, chance)
            lost, problems = _lost(folder, ended)
            ages = [killed - ended[one] for one in lost]
            oldest = max([oldest, *ages])
            counts += Counter(
                kills=1,
                strokes=len(ended),
                late=len(lost),
                lost=sum(age > grace for age in ages),
                problems=len(problems),
            )
            late = f"oldest of the late {oldest:.2f} s"
            print(number + 1, dict(counts), late, *problems, flush=True)


def _painted(folder: Path, chance: random.Random) -> tuple[dict[int, float], float]:
    """Let a desk paint, and kill it within a stroke; when each stroke ended, and when it died."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with os.fdopen(writer, "w") as tell:
                paint(folder, tell)
        finally:
            os._exit(1)
    os.close(writer)
    last, ended, killed = chance.randrange(2, MOST), {}, 0.0
    with os.fdopen(reader) as told:
        for line in told:
            with suppress(ValueError):  # the signal came amid a line
                word, number, when = line.split()
                if word == "end":  # maybe after it came
                    ended[int(number)] = float(when)
                elif int(number) == last:
                    time.sleep(chance.uniform(0, 0.12))
                    os.kill(pid, signal.SIGKILL)
                    killed = time.time()
    if _ended(pid) != -signal.SIGKILL:
        raise RuntimeError(f"a desk ended by itself after {len(ended)} strokes")
    return ended, killed


def _lost(folder: Path, ended: dict[int, float]) -> tuple[list[int], list[str]]:
    """Strokes that had ended and are not there, and what could not be read."""
    from spad.autosave import kept_layers

    kept = [one for one in kept_layers(folder / "autosave") if one.lost]
    if not kept:
        return list(ended), []
    loaded = kept[0].saved.load()
    lost = []
    for number in ended:
        z, row, value = place(number)
        where = (z, row, slice(COLUMNS[0] + 2, COLUMNS[1] - 2))
        if not ((loaded.labels[where] == value).all() and loaded.by_hand[where].all()):
            lost.append(number)
    return lost, loaded.problems


# ---------------------------------------------------------------------- a run

TRAINING = """name = "tiny"
data = {folders = ["set"], workers = 0}
input.size = [64, 96]
network = {widths = [8, 16, 16], blocks = 1, denoiser_widths = [8, 16], time_width = 16}
optimiser = {steps = 30, batch = 2, warmup = 2}
validation = {every = 15, save_every = 1, samples = 1, steps = 2}
sampling.samples = 1
"""


def run(times: int, seed: int) -> None:
    """Print how trainings that were killed and resumed end."""
    import torch

    from spad import phantom
    from spad.cases import NewCase
    from spad.train.data import write_folder
    from spad.train.loop import train  # noqa: F401 - once, and not in each fork

    torch.set_num_threads(1)
    chance, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = [phantom.bscan(n, shape=(64, 96)) for n in (1, 7, 17, 28, 8, 34)]
        cases = [
            NewCase(f"p{i}", d.image, d.labels, split="train" if i < 4 else "val", patient=f"{i}")
            for i, d in enumerate(drawn)
        ]
        write_folder(folder / "set", cases, dict(enumerate(phantom.CLASS_NAMES)))
        (folder / "c.toml").write_text(TRAINING)
        _ended(_training(folder, whole := folder / "whole"))
        for number in range(times):
            out = folder / f"{number}"
            killed = _killed(_training(folder, out), out / "latest.pt", chance)
            good = _ended(_training(folder, out, resume=True)) == 0
            other = good and not _same(out, whole)
            counts += Counter(kills=killed, refused=not good, other=other)
            print(number + 1, dict(counts), flush=True)


def _training(folder: Path, out: Path, *, resume: bool = False) -> int:
    """Train in a process of its own; its number."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        from spad.train.config import load_config
        from spad.train.loop import train

        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        train(load_config(folder / "c.toml"), out, resume=resume, device="cpu")
        status = 0
    finally:
        os._exit(status)


def _killed(pid: int, state: Path, chance: random.Random) -> bool:
    """Kill a training a moment after a random one of its saves; whether it was alive."""
    saves, seen, last = chance.randrange(1, 29), 0, 0
    while seen < saves:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        with suppress(OSError):
            now = state.stat().st_mtime_ns
            seen, last = seen + (now != last), now
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.1))
    os.kill(pid, signal.SIGKILL)
    return _ended(pid) < 0


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _same(out: Path, whole: Path) -> bool:
    """Whether two trainings ended alike to the bit."""
    import torch

    def equal(a: Any, b: Any) -> bool:
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
        if isinstance(a, list):
            return len(a) == len(b) and all(map(equal, a, b))
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)

    models = [(each / "latest.safetensors").read_bytes() for each in (out, whole)]
    states = [torch.load(each / "latest.pt", weights_only=True) for each in (out, whole)]
    return equal([states[0], models[0]], [states[1], models[1]])


# ---------------------------------------------------------------------- full


def full(times: int, seed: int) -> None:
    """Print how writes of each kind end on a disk that gets full."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    for _ in range(times):
        for name, kind in KINDS.items():
            with _small_disk() as disk:
                write, read = kind(disk)
                write(0)
                old = read()
                filler = disk.parent / "filler"
                _fill(filler, chance)
                refused = False
                try:
                    write(1)
                except (OSError, ValueError):
                    refused = True
                amid = read()
                filler.unlink()
                write(1)
                new = read()
                whole = all(value in (old.get(key), new.get(key)) for key, value in amid.items())
                left = [f.name for f in disk.rglob(".*")]
                counts += Counter(
                    disks=1,
                    refused=refused,
                    damaged=not whole or not (old.keys() <= amid.keys()),
                    left=bool(left),
                    **{f"refused {name}": refused},
                )
    print(json.dumps(counts, indent=1))


@contextmanager
def _small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", name]
        subprocess.run(mount, check=True)
        try:
            work = Path(name) / "work"
            work.mkdir()
            yield work
        finally:
            subprocess.run(["umount", name], check=True)  # noqa: S607


def _fill(filler: Path, chance: random.Random) -> None:
    """Fill the disk but for 0 to 5 pages."""
    with filler.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(max(file.tell() - 4096 * chance.randrange(6), 0))


Kind = Callable[[Path], tuple[Callable[[int], None], Callable[[], dict[str, Any]]]]


def _labels(version: int) -> np.ndarray:
    return np.random.default_rng(version).integers(0, 5, (4, 128, 128)).astype(np.uint8)


def _autosave(disk: Path) -> Any:
    from spad.autosave import AutosavedLayer

    saved = AutosavedLayer(disk / "layer")

    def write(version: int) -> None:
        header = {"name": f"eye {version}", "shape": [4, 128, 128], "dtype": "|u1"}
        saved.save_header(header)
        for z, labels in enumerate(_labels(version)):
            saved.save_bscan((z,), labels, labels > 2)

    def read() -> dict[str, Any]:
        back = AutosavedLayer(disk / "layer").load()
        parts = {f"{z}": (back.labels[z].tobytes(), back.by_hand[z].tobytes()) for z in range(4)}
        return parts | {"name": back.header["name"], "problems": back.problems}

    return write, read


def _export(suffix: str) -> Kind:
    def kind(disk: Path) -> Any:
        from napari_spad.keep.export import FORMATS, export

        form = next(one for one in FORMATS if one.suffix == suffix)

        def write(version: int) -> None:
            meta = {"name": "eye", "scale": (1, 1, 1), "metadata": {"annotator": f"{version}"}}
            export(disk / f"eye{suffix}", form, _labels(version), meta)

        return write, lambda: _files(disk)

    return kind


def _reviews(disk: Path) -> Any:
    from spad.annotation import Entry, ReviewBook

    def write(version: int) -> None:
        book = ReviewBook(disk / "reviews.json")
        for number in range(300):
            book.mark(f"{number:064d}", Entry("accepted", version))
        book.save()

    return write, lambda: _files(disk)


def _files(disk: Path) -> dict[str, Any]:
    """Contents by name."""
    return {f.name: f.read_bytes() for f in disk.rglob("*") if f.is_file()}


KINDS: dict[str, Kind] = {
    "autosave": _autosave,
    "TIFF": _export(".tif"),
    "PNG": _export(".png"),
    "seg.nrrd": _export(".seg.nrrd"),
    "reviews": _reviews,
}


if __name__ == "__main__":
    main()
