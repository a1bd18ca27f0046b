"""``python -m napari_spad.demo``: napari with B-scans, the model run on them, and the scores.

Without arguments a phantom stack with its reference. ``--images FOLDER`` takes one's own B-scans as
one stack, ``--masks FOLDER`` their reference (by default FOLDER/masks or FOLDER/../masks, by equal
name). The dock's own Segment button is pressed; nothing is done here that a person could not do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_spad.layers import numbered
from napari_spad.read import folder_stack, phantom_stack
from spad.cases import file_error

if TYPE_CHECKING:
    import napari

    from napari_spad.dock import SpadDock

__all__ = ["main", "open_demo"]


def open_demo(
    images: Path | None = None, masks: Path | None = None, checkpoint: str | None = None
) -> tuple[napari.Viewer, SpadDock]:
    """Open the viewer with images, reference and dock, and press Segment.

    The checkpoint is a path, or the name of a model; without it the shipped one for phantoms,
    or for the lesions of real B-scans, is taken.

    Returns
    -------
    viewer : napari.Viewer
    dock : SpadDock
        Running.

    Raises
    ------
    ValueError, OSError
        The images, their reference or the checkpoint cannot be opened; no viewer is left then.
    """
    import napari

    from napari_spad.dock import SpadDock
    from spad.checkpoint import model_path, read_card, shipped

    model = None if checkpoint is None else model_path(checkpoint)
    if model is not None:
        read_card(model)
    layers = phantom_stack() if images is None else folder_stack(images, masks)
    viewer = napari.Viewer(title="SPAD")
    for data, settings, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **settings)
    dock = SpadDock(viewer)
    viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
    viewer.reset_view()
    if images is None:
        viewer.dims.set_current_step(0, layers[0][0].shape[0] // 2)
    else:
        _follow(viewer, layers[0][1]["metadata"])
    if model is None:
        model = shipped().get("oct-phantom" if images is None else "oct-lesions")
    if model is not None:
        # A model that the demo takes by itself is not the one for the person's next images.
        dock.form.checkpoint.choose(model, remembered=checkpoint is not None)
    dock.form.whole.setChecked(True)
    dock.scores.stack.setChecked(False)
    dock.form.button.click()
    return viewer, dock


def _camera(viewer: napari.Viewer) -> Any:
    return getattr(viewer, "scene", viewer).camera  # `viewer.camera` until napari 0.9


def _follow(viewer: napari.Viewer, metadata: Mapping[str, Any]) -> None:
    """Name the B-scan on screen in the window's title."""
    names = metadata["bscan_names"]

    def show(_event: Any = None) -> None:
        z = viewer.dims.current_step[0]
        viewer.title = f"SPAD – {names[z]} (B-scan {numbered(z)})"

    viewer.dims.events.current_step.connect(show)
    show()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` by default.
    """
    parser = argparse.ArgumentParser(prog="python -m napari_spad.demo", description=__doc__)
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="your B-scans")
    parser.add_argument("--masks", type=Path, metavar="FOLDER", help="their reference")
    parser.add_argument(
        "--checkpoint", metavar="MODEL", help="a checkpoint, or the name of a model"
    )
    parser.add_argument(
        "--screenshots", type=Path, metavar="DIR", help="save screenshots there and leave"
    )
    options = parser.parse_args(arguments)
    import napari

    try:
        viewer, dock = open_demo(options.images, options.masks, options.checkpoint)
    except (ValueError, OSError) as error:
        print(f"demo: {file_error(error)}", file=sys.stderr)
        return 2
    if options.screenshots is None:
        napari.run()
        return 0
    return _photograph(viewer, dock, options.screenshots)


def _photograph(viewer: napari.Viewer, dock: SpadDock, folder: Path) -> int:
    """Wait for the run, save what the window shows, and close it."""
    from qtpy.QtCore import QEventLoop, QTimer

    def wait(milliseconds: int) -> None:
        # Not QTest.qWait: vispy replaces it by a busy loop.
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    folder.mkdir(parents=True, exist_ok=True)
    viewer.window.resize(1400, 900)

    def save(name: str) -> None:
        wait(1500)  # let the HD95 come in
        viewer.screenshot(str(folder / f"{name}.png"), canvas_only=False, flash=False)
        print(folder / f"{name}.png")

    while dock.running:
        wait(50)
    print(dock.footer.status.text())
    save("demo")
    if dock.results:
        result = dock.results[-1]
        _camera(viewer).zoom *= 1.8
        save("demo-close")
        result.uncertainty.visible = True
        result.layer.visible = False
        save("demo-uncertainty")
    failed = not dock.results
    viewer.close()
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
