r"""From the press of *Learn* to new drafts on screen, and the window's longest gaps meanwhile.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/lesson.py
    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" \
        python benchmarks/lesson.py --cases DUKE --eye subject05 --model oct-lesions

The real viewer and the real worker: a stack of 11 B-scans is segmented, the middle one set right
by its reference (`--teach NAME`: what a reference of one structure is called in the model) and
accepted, and Learn pressed. Without cases a phantom stack and `oct-phantom`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from desk import tell
from driver import Driver
from heartbeat import Heartbeat

_PHANTOM = (7, (11, 256, 384))  # seed and shape


def main() -> None:
    """Press, wait, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, help="case folder with the eye's B-scans")
    parser.add_argument("--eye", default="", help="what the names of its B-scans begin with")
    parser.add_argument("--teach", default="IRF", help="(IRF)")
    parser.add_argument("--model", default="", help="shipped model (oct-phantom, oct-lesions)")
    parser.add_argument("--presses", type=int, default=3)
    args = parser.parse_args()
    model = args.model or ("oct-lesions" if args.cases else "oct-phantom")
    images, references = stack(args.cases, args.eye)
    for _ in range(args.presses):
        press(model, images, references, args.teach if args.cases else None)


def stack(cases: Path | None, eye: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and references, (Z, H, W)."""
    if cases is None:
        from spad.phantom import stack as phantom_stack

        made = phantom_stack(_PHANTOM[0], shape=_PHANTOM[1])
        return made.image, made.labels
    from PIL import Image

    names = sorted(p.name for p in (cases / "images").glob(f"{eye}*.png"))
    return tuple(
        np.stack([np.asarray(Image.open(cases / kind / name)) for name in names])
        for kind in ("images", "masks")
    )


def press(model: str, images: np.ndarray, references: np.ndarray, teach: str | None) -> None:
    """One session: segment, accept one, learn."""
    import napari
    from qtpy.QtCore import QSettings

    from napari_spad.dock import SpadDock
    from spad.checkpoint import shipped

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    driver = Driver(viewer)
    with tempfile.TemporaryDirectory() as folder:
        settings = QSettings(str(Path(folder) / "choices.ini"), QSettings.Format.IniFormat)
        dock = SpadDock(viewer, settings=settings, folder=Path(folder))
        viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
        driver.wait(lambda: dock.form.model.listed, 120, "PyTorch")
        viewer.add_image(images, name="eye", colormap="gray")
        dock.form.checkpoint.choose(shipped()[model])
        dock.form.whole.setChecked(True)
        viewer.dims.set_current_step(0, len(images) // 2)
        dock.form.button.click()
        driver.wait(lambda: not dock.running, 600, "the segmentation")
        result = dock.results[-1]
        names = {c.name: c.value for c in result.classes}
        middle = len(images) // 2
        right = references[middle] if teach is None else (references[middle] == 1) * names[teach]
        where = np.nonzero(result.layer.data[middle] != right)
        result.layer.data_setitem((where[0] * 0 + middle, *where), right[where])
        dock.review.reviews.accept(result, (middle,))
        learning = dock.lessons.learning
        driver.wait(lambda: learning.worker.running, 60, "the worker")
        driver.pause(8000)  # it loads what it needs while a person paints
        seen = _watch(learning)
        with Heartbeat(look=False) as heart:
            began = time.perf_counter()
            dock.lessons.learn.click()
            driver.wait(lambda: not dock.running, 600, "the lesson")
        model_at, *drafts = (at - began for at in seen)
        tell("the window meanwhile", heart)
        print(
            f"learnt model {model_at:.1f} s after the press, first new draft {drafts[0]:.1f} s, "
            f"last of {len(drafts)} {drafts[-1]:.1f} s; {dock.footer.status.text()}",
            flush=True,
        )
    viewer.close()


def _watch(learning: Any) -> list[float]:
    """Times at which the model and each draft are taken, as they come."""
    seen: list[float] = []
    for name in ("_take_model", "_take_draft"):
        whole = getattr(learning, name)

        def taken(*args: Any, whole: Any = whole) -> None:
            whole(*args)
            seen.append(time.perf_counter())

        setattr(learning, name, taken)
    return seen


if __name__ == "__main__":
    main()
