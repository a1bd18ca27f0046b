"""Does the desk feel quick? The window's heartbeat, the plugin's share of napari's start.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/desk.py heartbeat
    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/desk.py start
    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/desk.py layers
    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/desk.py torch

`heartbeat`: a timer of 5 ms in the UI thread while the dock samples phantom stacks with the shipped
`oct-phantom`, a slider being moved meanwhile or not; the import of PyTorch apart. `--look` says
what the thread was doing in gaps over 50 ms, and disturbs a little. `start`: fresh processes that
take turns, without the plugin and with its manifest as napari reads it (to a viewer on screen, by
the clock and in processor time, which a busy machine disturbs less); then the opening of the dock,
with its byte code there, what comes after it between frames, and what its imports take. `layers`:
what each thing costs that a result puts into the window, and the drawing after it, in processor
time of the window's thread. `torch`: the opening of the dock, with its imports, in fresh processes
that take turns: where PyTorch cannot be imported, as it is (PyTorch comes once the dock is shown),
and as it would be if the plugin imported it at its top.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TORCH = ("blocked", "as it is", "at the top")
AIDS = ("brush", "polygon")
TO_COME = (
    *("made active", *AIDS, "by-hand layer made", "by-hand layer inserted"),
    *(f"by-hand layer's {aid}" for aid in AIDS),
    *("uncertainty made", "uncertainty inserted"),
)
"""What comes after a result's label layer, in this order."""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("heartbeat", "start", "layers", "torch", "window"))
    parser.add_argument("--bscans", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--threads", type=int, help="of torch; by default as many as it takes")
    parser.add_argument(
        "--look", action="store_true", help="say what the window was doing in gaps over 50 ms"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plugin", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--torch", choices=TORCH, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.what == "heartbeat":
        heartbeat(args.bscans, args.threads, look=args.look)
    elif args.what == "start":
        start(args.rounds)
    elif args.what == "layers":
        layers(args.rounds)
    elif args.what == "torch":
        without_torch(args.rounds)
    else:
        window(plugin=args.plugin, torch=args.torch)


# ---------------------------------------------------------------------- heartbeat


def heartbeat(counts: list[int], threads: int | None, *, look: bool) -> None:
    """Print the gaps of each stage."""
    import napari
    from driver import Driver
    from heartbeat import Heartbeat
    from qtpy.QtCore import QSettings

    from napari_spad.dock import SpadDock
    from spad.checkpoint import shipped

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    driver = Driver(viewer)
    with Heartbeat(look) as heart:
        driver.pause(3000)
    tell("nothing going on", heart)
    with tempfile.TemporaryDirectory() as folder:
        settings = QSettings(str(Path(folder) / "choices.ini"), QSettings.Format.IniFormat)
        with Heartbeat(look) as heart:
            dock = SpadDock(viewer, settings=settings, folder=Path(folder))
            viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
        tell("opening the dock", heart)
        with Heartbeat(look) as heart:
            driver.wait(lambda: dock.form.model.listed, 120, "PyTorch")
        tell("PyTorch and pandas being imported", heart)
        if threads:
            import torch

            torch.set_num_threads(threads)
        dock.form.checkpoint.choose(shipped()["oct-phantom"])
        dock.form.whole.setChecked(True)
        for first, count in enumerate(counts):
            layer = _stack(viewer, count)
            driver.pause(1000)
            for moving in (False, True):
                with Heartbeat(look) as heart:
                    dock.form.button.click()
                    began = time.perf_counter()
                    while dock.running:
                        driver.pause(400)
                        if moving:
                            z = np.random.default_rng(first).integers(count)
                            viewer.dims.set_current_step(0, int(z))
                seconds = time.perf_counter() - began
                what = f"sampling {count} B-scans"
                if moving:
                    what += ", the slider moving"
                tell(f"{what} ({seconds:.0f} s)", heart)
                assert "done" in dock.footer.status.text(), dock.footer.status.text()
            for made in [one for one in viewer.layers if one is not layer]:
                viewer.layers.remove(made)
            viewer.layers.remove(layer)
    viewer.close()


def layers(rounds: int) -> None:
    """Print the medians of each step by which a result comes into the window."""
    import gc
    from collections import defaultdict

    import napari
    from qtpy.QtWidgets import QApplication

    from napari_spad.desk import Result
    from napari_spad.layers import open_source
    from spad.checkpoint import label_classes

    viewer = napari.Viewer()
    image = viewer.add_image(np.zeros((8, 496, 512), np.uint8), name="eye")
    classes = label_classes(("background", "SRF", "IRF", "PED", "SHRM", "IS/OS"))
    took: dict[str, list[float]] = defaultdict(list)

    def step(what: str, act: Any) -> Any:
        began = time.thread_time()
        out = act()
        took[what].append(1000 * (time.thread_time() - began))
        return out

    for _ in range(rounds):
        gc.collect()
        source = open_source(image, viewer, whole_stack=True)
        result = step("label layer made", lambda: Result(viewer, source, classes, "model"))  # noqa: B023
        result._next.stop()
        step("label layer drawn", QApplication.processEvents)
        for what in TO_COME:
            step(what, result._show_next)
            result._next.stop()
            step(f"{what} drawn", QApplication.processEvents)
        assert not result._to_come
    for what, ms in took.items():
        print(f"{what:34} {statistics.median(ms):6.0f} ms ({min(ms):.0f} to {max(ms):.0f})")


def _stack(viewer: Any, count: int) -> Any:
    """Add phantoms as one stack, with their reference."""
    from napari_spad.layers.reference_layer import outline, reference_settings
    from napari_spad.read.phantom_sample import phantom_stack
    from spad.checkpoint.labels import label_classes
    from spad.phantom import CLASS_NAMES

    some = [phantom_stack(7 + i, (16, 256, 384)) for i in range(-(-count // 16))]
    image, labels = (np.concatenate([one[kind][0] for one in some])[:count] for kind in (0, 1))
    placed = {key: some[0][0][1][key] for key in ("scale", "units", "axis_labels")}
    layer = viewer.add_image(image, name="phantoms", colormap="gray", **placed)
    settings = reference_settings("reference", label_classes(CLASS_NAMES))
    outline(viewer.add_labels(labels, **settings, **placed))
    viewer.reset_view()
    return layer


def tell(what: str, heart: Any) -> None:
    """Print a stage's gaps."""
    gaps = np.asarray(heart.gaps_ms)
    late = (gaps > 100).sum()
    own = max((gap.ms - gap.queued_ms for gap in heart.blamed), default=0)
    print(
        f"{what}: longest gap {gaps.max():.0f} ms, 99th percentile "
        f"{np.percentile(gaps, 99):.0f} ms, {late} over 100 ms, of {len(gaps)}; most time "
        f"at work in one {max((gap.cpu_ms for gap in heart.blamed), default=0):.0f} ms, longest "
        f"without the wait for a processor {own:.0f} ms",
        flush=True,
    )
    for gap in sorted(heart.blamed, key=lambda g: -g.ms)[:12]:
        print(
            f"    {gap.ms:5.0f} ms, {gap.cpu_ms:.0f} of them at work, {gap.queued_ms:.0f} waiting "
            f"for a processor, longest unseen {gap.unseen_ms:.0f}: "
            f"{gap.where}{'; then ' * bool(gap.others)}{gap.others}",
            flush=True,
        )


# ---------------------------------------------------------------------- start


def window(*, plugin: bool, torch: str | None = None) -> None:
    """Print seconds to a viewer on screen, in this process; then to a dock in it.

    Where the plugin is left out, npe2 finds every other plugin as always.
    """
    import npe2

    if not plugin:
        found = npe2.PluginManifest.discover

        def without(*args: Any, **kwargs: Any) -> Any:
            for result in found(*args, **kwargs):
                if result.distribution is None or result.distribution.name != "napari-spad":
                    yield result

        npe2.PluginManifest.discover = without  # type: ignore[method-assign]
    began, cpu = time.perf_counter(), time.process_time()
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    QApplication.processEvents()
    times = {"shown": time.perf_counter() - began, "shown CPU": time.process_time() - cpu}
    known = "napari-spad" in npe2.PluginManager.instance()._manifests
    assert known == plugin, f"napari {'knows' if known else 'does not know'} the plugin"
    if plugin:
        before = set(sys.modules)
        if torch == "blocked":
            sys.modules["torch"] = None  # type: ignore[assignment]
        began, cpu, work = time.perf_counter(), time.process_time(), time.thread_time()
        if torch == "at the top":
            import torch as _  # noqa: F401
        dock = viewer.window.add_plugin_dock_widget("napari-spad", "SPAD segmentation")[1]
        QApplication.processEvents()
        times["dock"] = time.perf_counter() - began
        times["dock CPU"] = time.process_time() - cpu
        times["dock, window's thread"] = time.thread_time() - work
        turns = []
        while getattr(dock, "_to_come", ()):  # what is made once the dock is on screen
            work = time.thread_time()
            QApplication.processEvents()
            turns.append(time.thread_time() - work)
        times["all tabs"] = time.perf_counter() - began
        times["longest turn"] = max(turns, default=0)
        new = {name for name, module in sys.modules.items() if module} - before
        times["modules"] = len(new)
        times["of PyTorch"] = sum(name.partition(".")[0] == "torch" for name in new)
    print(json.dumps(times), flush=True)
    os._exit(0)  # at once: nothing after this is measured


def start(rounds: int) -> None:
    """Print medians of fresh processes that take turns."""
    line = [sys.executable, "-W", "ignore", __file__, "window"]
    kinds: dict[str, list[str]] = {"without": line, "with": [*line, "--plugin"]}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        # With byte code, as it is installed, whatever this environment does.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder
        for _ in range(rounds + 1):  # the first fills the disk's caches, and that of byte code
            for kind, command in kinds.items():
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
                found[kind].append(json.loads(done.stdout.splitlines()[-1]))
    for what in ("shown", "shown CPU"):
        shown = {kind: [one[what] for one in all_[1:]] for kind, all_ in found.items()}
        for kind, values in shown.items():
            print(f"{what} {kind} the plugin: {_spread(values)}")
        shares = [b - a for a, b in zip(shown["without"], shown["with"], strict=True)]
        print(f"the plugin's share, round by round: {_spread(shares)}")
    for what in ("dock", "dock CPU", "dock, window's thread", "all tabs", "longest turn"):
        print(f"opening, {what}: {_spread([one[what] for one in found['with'][1:]])}")
    imports()


def without_torch(rounds: int) -> None:
    """Print what the opening of the dock takes, and how many modules, by what there is of torch."""
    line = [sys.executable, "-W", "ignore", __file__, "window", "--plugin", "--torch"]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in TORCH}
    for _ in range(rounds + 1):  # the first fills the disk's caches
        for kind in TORCH:
            done = subprocess.run([*line, kind], capture_output=True, text=True, check=True)
            found[kind].append(json.loads(done.stdout.splitlines()[-1]))
    for kind, all_ in found.items():
        clock, cpu = ([one[what] for one in all_[1:]] for what in ("dock", "dock CPU"))
        modules, of_torch = all_[-1]["modules"], all_[-1]["of PyTorch"]
        print(f"PyTorch {kind}: {_spread(clock)}, in processor time {_spread(cpu)}")
        print(f"    {modules} modules more, {of_torch} of them PyTorch's")


def _spread(seconds: list[float]) -> str:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{middle * 1000:.0f} ms ({low * 1000:.0f} to {high * 1000:.0f})"


def imports() -> None:
    """Print what the dock's imports take in a process that has napari and Qt already."""
    code = "import napari, napari.layers, napari.qt, superqt.utils, qtpy.QtWidgets; print('-' * 9);"
    code += "import sys; sys.stderr.write('BEGIN\\n'); import napari_spad.dock"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "importtime", "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stderr.split("BEGIN\n")[1].splitlines()
    parsed = [re.match(r"import time:\s*(\d+) \|\s*(\d+) \|(\s*)(\S+)", one) for one in lines]
    rows = [(int(m[2]), int(m[1]), m[4]) for m in parsed if m]
    ours = [r for r in rows if r[2].startswith(("napari_spad", "spad"))]
    print(f"napari_spad.dock with all it imports: {rows[-1][0] / 1000:.0f} ms, of that")
    for total, own, name in sorted(rows, key=lambda r: -r[1])[:8]:
        print(f"    {own / 1000:5.1f} ms in {name} itself ({total / 1000:.1f} with its imports)")
    print(f"    {sum(r[1] for r in ours) / 1000:.1f} ms in our own {len(ours)} modules")


if __name__ == "__main__":
    main()
