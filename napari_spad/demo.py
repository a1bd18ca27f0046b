"""``python -m napari_spad.demo``: napari with B-scans, the model run on them, and the scores.

Without arguments a phantom stack with its reference. ``--images FOLDER`` takes one's own B-scans as
one stack, ``--masks FOLDER`` their reference (by default FOLDER/masks or FOLDER/../masks, by equal
name). The dock's own Segment button is pressed; nothing is done here that a person could not do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_spad._sample import AXES, phantom_stack, reference_settings

if TYPE_CHECKING:
    import napari

    from napari_spad._dock import SpadDock

__all__ = ["folder_stack", "main", "open_demo"]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
PAD = 255  # of a reference: no score looks there (`spad.labels.IGNORE`)


def folder_stack(images: Path, masks: Path | None = None) -> list[tuple[Any, dict[str, Any], str]]:
    """Layers of a folder's B-scans: one stack, so that one slider goes through all of them.

    B-scans of several sizes are padded below and at the right; the dock segments each within its
    own extent (layer metadata ``bscan_sizes``), and the reference is 255 outside it.

    Parameters
    ----------
    images : Path
        PNG, TIFF, JPEG or BMP; colours become grey.
    masks : Path, optional
        Label maps by the same names. A ``labels.json`` beside the folder names their values.

    Returns
    -------
    list of layer data tuples

    Raises
    ------
    ValueError, OSError
        No images, or one that cannot be read, named.
    """
    if not images.is_dir():
        raise ValueError(f"{images} is no folder; name one with B-scans in it")
    paths = sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"{images} holds no images ({', '.join(SUFFIXES)}); give another folder")
    bscans = [_read(p, grey=True) for p in paths]
    sizes = [b.shape for b in bscans]
    kinds = {b.dtype for b in bscans}
    stack = _padded(bscans, kinds.pop() if len(kinds) == 1 else np.dtype(np.float32), 0)
    metadata = {"bscan_sizes": sizes, "bscan_names": [p.stem for p in paths]}
    name = images.parent.name if images.name == "images" else images.name
    layers: list[tuple[Any, dict[str, Any], str]] = [
        (
            stack,
            {"name": name, "colormap": "gray", "metadata": metadata, "axis_labels": AXES},
            "image",
        )
    ]
    if masks is None:
        masks = next((m for m in (images / "masks", images.parent / "masks") if m.is_dir()), None)
    if masks is not None:
        reference, named = _reference(paths, sizes, masks)
        if reference is not None:
            layers.append((reference, named | {"axis_labels": AXES}, "labels"))
    return layers


def _reference(
    paths: Sequence[Path], sizes: Sequence[tuple[int, ...]], masks: Path
) -> tuple[NDArray[np.uint8] | None, dict[str, Any]]:
    found = {p.stem: p for p in sorted(masks.iterdir()) if p.suffix.lower() in SUFFIXES}
    maps = []
    for path, size in zip(paths, sizes, strict=True):
        label_map = np.full(size, PAD, np.uint8)
        if path.stem in found:
            label_map = _read(found[path.stem], grey=False)
            if label_map.shape != size:
                raise ValueError(
                    f"{found[path.stem]} has shape {label_map.shape}, its image {size}; "
                    "label maps must lie on their images' grid"
                )
        maps.append(label_map)
    if not any(p.stem in found for p in paths):
        return None, {}
    listing = masks.parent / "labels.json"
    names = json.loads(listing.read_text("utf-8")) if listing.is_file() else {}
    settings: dict[str, Any] = {"name": "reference", "metadata": {"role": "reference"}}
    if names:
        from spad.labels import label_classes

        in_order = [str(names.get(str(v), f"label {v}")) for v in range(max(map(int, names)) + 1)]
        settings = reference_settings("reference", label_classes(in_order))
        settings["colormap"].color_dict[PAD] = np.zeros(4)
    return _padded(maps, np.dtype(np.uint8), PAD), settings


def _read(path: Path, *, grey: bool) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if grey and image.mode in ("RGB", "RGBA", "P", "LA", "CMYK"):
                return np.asarray(image.convert("L"))
            pixels = np.asarray(image)
    except OSError as error:
        raise OSError(f"{path} cannot be read as an image ({error}); remove or mend it") from error
    if pixels.ndim != 2:
        raise ValueError(f"{path} has shape {pixels.shape}; a label map has one value a pixel")
    return pixels


def _padded(maps: Sequence[NDArray[Any]], dtype: Any, fill: int) -> NDArray[Any]:
    height, width = (max(m.shape[axis] for m in maps) for axis in (0, 1))
    out = np.full((len(maps), height, width), fill, dtype)
    for z, one in enumerate(maps):
        out[z, : one.shape[0], : one.shape[1]] = one
    return out


def open_demo(
    images: Path | None = None, masks: Path | None = None, checkpoint: Path | None = None
) -> tuple[napari.Viewer, SpadDock]:
    """Open the viewer with images, reference and dock, and press Segment.

    Without a checkpoint the shipped one for phantoms, or for the lesions of real B-scans, is taken.

    Returns
    -------
    viewer : napari.Viewer
    dock : SpadDock
        Running.
    """
    import napari

    from napari_spad._dock import SpadDock
    from spad.checkpoint import shipped

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
    if checkpoint is None:
        checkpoint = shipped().get("oct-phantom" if images is None else "oct-lesions")
    if checkpoint is not None:
        dock.form.checkpoint.choose(checkpoint)
    dock.form.whole.setChecked(True)
    dock.scores.stack.setChecked(False)
    dock.form.button.click()
    return viewer, dock


def _camera(viewer: napari.Viewer) -> Any:
    return getattr(viewer, "scene", viewer).camera  # `viewer.camera` until napari 0.9


def _follow(viewer: napari.Viewer, metadata: Mapping[str, Any]) -> None:
    """Name the B-scan on screen in the window's title; centre it where sizes differ."""
    sizes, names = metadata["bscan_sizes"], metadata["bscan_names"]

    def show(_event: Any = None) -> None:
        z = viewer.dims.current_step[0]
        viewer.title = f"SPAD – {names[z]} ({z + 1} of {len(names)})"
        if len(set(sizes)) > 1:
            _camera(viewer).center = tuple((n - 1) / 2 for n in sizes[z])

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
    parser.add_argument("--checkpoint", type=Path, metavar="PATH", help="a .safetensors file")
    parser.add_argument(
        "--screenshots", type=Path, metavar="DIR", help="save screenshots there and leave"
    )
    options = parser.parse_args(arguments)
    import napari

    try:
        viewer, dock = open_demo(options.images, options.masks, options.checkpoint)
    except (ValueError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
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
