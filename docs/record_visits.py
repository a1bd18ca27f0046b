"""Pictures of the window “Visits” and of the panel “En face”: a phantom, scanned three times.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/record_visits.py docs/images

No model: the labels are the phantom's truth, of which each later visit has lost a border. The
second scan lies a B-scan and 20 columns beside the first. The picture of the fundus is drawn: the
phantom seen from above, and no vessels around it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

DATES = ("2026-01-12", "2026-02-10", "2026-03-12")
ASIDE = ((0, 0), (1, 20), (0, 0))  # B-scans and columns
SHAPE = (27, 248, 440)
SEEN = (25, 248, 400)


def main() -> None:
    """Open the visits, measure them, lay two on each other, and take the picture."""
    import napari
    from PIL import Image
    from qtpy.QtCore import QSettings, Qt
    from qtpy.QtWidgets import QApplication

    from napari_spad.dock import SpadDock
    from napari_spad.measure.visits_panel import NAME

    folder = Path(sys.argv[1])
    viewer = napari.Viewer(show=True)
    home = Path(tempfile.mkdtemp())
    settings = QSettings(str(home / "settings.ini"), QSettings.Format.IniFormat)
    dock = SpadDock(viewer, settings=settings, folder=home)
    viewer.window.add_dock_widget(dock, name="SPAD segmentation")
    open_visits(viewer)
    panel = dock.measure.visits
    panel.open()
    for row, stack in enumerate(panel.stacks):
        panel.list.item(row, NAME).setCheckState(Qt.CheckState.Checked)
        stack.facts.choose_eye("OD")
        stack.facts.place_fovea((12.0, 200.0))
    panel.look()

    def wait(done: Any) -> None:
        for _ in range(6000):
            QApplication.processEvents()
            if done():
                return
            QApplication.instance().thread().msleep(20)
        raise RuntimeError(f"nothing came; it says: {panel.note.text()}")

    panel.count()
    wait(lambda: not panel.plot.pixmap().isNull())
    shown = []
    for tab in (0, 1):
        panel.shown.setCurrentIndex(tab)
        if tab:
            panel.lay_on_each_other()
            wait(lambda: panel.alignment is not None)
        for _ in range(30):
            QApplication.processEvents()
        panel.grab().save(str(folder / "napari-visits.png"))
        shown.append(np.asarray(Image.open(folder / "napari-visits.png").convert("RGB")))
    whole = np.concatenate([shown[0], shown[1][:, shown[1].shape[1] // 2 :]], axis=1)
    Image.fromarray(whole).save(folder / "napari-visits.png", optimize=True)
    panel.close()
    from_above(viewer, dock, folder / "napari-enface.png")
    viewer.close()


def from_above(viewer: Any, dock: Any, path: Path) -> None:
    """The map of a structure, the fundus, and the B-scan flattened, beside each other."""
    from PIL import Image
    from qtpy.QtWidgets import QApplication

    from napari_spad.read.opened_layers import fundus_picture
    from spad.measuring import projection

    image = viewer.layers["visit 1"]
    eye = projection(image.data)[::-1]
    eye = 200 * (eye - eye.min()) / np.ptp(eye)
    scanned = ndimage.zoom(eye, (300 / len(eye), 300 / eye.shape[1]), order=1)
    around = ndimage.gaussian_filter(np.pad(scanned, 60, mode="edge"), 12)
    around[60:-60, 60:-60] = scanned
    rows = np.linspace(359, 60, len(eye))
    ends = [np.stack([rows, np.full(len(eye), column)], 1) for column in (60.0, 359.0)]
    image.metadata["fundus"] = fundus_picture(np.clip(around, 0, 255).astype(np.uint8), *ends)
    viewer.layers.selection.active = viewer.layers["labels 1"]
    dock.scores.segmentation.choose(viewer.layers["labels 1"])
    dock.panels.setCurrentWidget(dock.measure)
    dock.measure.map.click()
    viewer.dims.set_current_step(0, 12)
    panel = dock.measure.enface
    shown = []
    for _ in range(250):
        QApplication.processEvents()
        QApplication.instance().thread().msleep(20)
    panel.setParent(None)  # a window of its own: napari has tabs for panels, behind which it waits
    panel.setFixedSize(400, 430)
    panel.show()
    panel.refresh()
    for choice in ("height of SRF", "fundus", "B-scan, flattened"):
        panel.shown.setCurrentText(choice)
        panel.refresh()
        for _ in range(30):
            QApplication.processEvents()
        panel.grab().save(str(path))
        shown.append(np.asarray(Image.open(path).convert("RGB")))
    Image.fromarray(np.concatenate(shown, axis=1)).quantize(256).save(path, optimize=True)


def open_visits(viewer: Any) -> None:
    """Add the stacks of three visits, each with its labels."""
    from napari_spad.layers import reference_settings
    from napari_spad.read.opened_layers import image_layer, placed
    from spad.checkpoint import label_classes
    from spad.measuring import Scale
    from spad.phantom import CLASS_NAMES, stack

    phantom = stack(7, shape=SHAPE)
    classes = label_classes(CLASS_NAMES)
    scale = Scale.of(phantom.spacing_mm, "derived", "from what was drawn")
    for n, (date, (down, right)) in enumerate(zip(DATES, ASIDE, strict=True)):
        part = (slice(down, down + SEEN[0]), slice(None), slice(right, right + SEEN[2]))
        labels = phantom.labels[part].copy()
        for value in (1, 2) if n else ():
            kept = ndimage.binary_erosion(labels == value, np.ones((1, 3, 5)), iterations=n)
            labels[(labels == value) & ~kept] = 0
        noise = np.random.default_rng(n).normal(0, 6, SEEN)
        image = np.clip(phantom.image[part] + noise, 0, 255).astype(np.uint8)
        data, settings, _ = image_layer(
            image, f"visit {n + 1}", scale, eye="OD", first="inferior", date=date
        )
        viewer.add_image(data, **settings)
        viewer.add_labels(
            labels, **reference_settings(f"labels {n + 1}", classes), **placed(scale, 3)
        )


if __name__ == "__main__":
    main()
