"""The page: one PDF, made without pyplot, with all that the numbers rest on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spad.checkpoint import NOTICE, label_classes
from spad.measuring import LiveMeasures, Scale, page_pdf

pytest.importorskip("matplotlib")
CLASSES = label_classes(("background", "SRF", "IRF"))


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """Every text that is drawn."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    found: list[str] = []
    save = Figure.savefig

    def saving(self: Figure, *args: object, **more: object) -> None:
        found.extend(t.get_text() for t in self.findobj(Text))
        for axes in self.axes:  # `findobj` passes tables' cells by
            for table in axes.tables:
                found.extend(c.get_text().get_text() for c in table.get_celld().values())
        save(self, *args, **more)

    monkeypatch.setattr(Figure, "savefig", saving)
    return found


def test_the_page_says_scale_origin_numbers_and_notice(written: list[str]) -> None:
    labels = np.zeros((20, 30, 60), np.uint8)
    labels[8:12, 10:15, 20:30] = 1
    image = np.random.default_rng(0).integers(0, 255, labels.shape, np.uint8)
    scale = Scale.of((0.3, 0.004, 0.1), "derived", "from the scan angle of a medium eye")
    live = LiveMeasures(labels, CLASSES, scale.spacing_mm, samples=labels[None])
    live.place((10.0, 25.0), eye="OS")
    layers = {"ILM – BM": {"total": 312.4, "3 mm": 1.0, "C1": None, "N3": 298.0}}
    pdf = page_pdf(
        image, labels, CLASSES, live, scale, title="eye 3, OS", facts={"Model": "m"},
        layers=layers, noted=["one of both lines is missing"],
    )  # fmt: skip
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 1
    text = "\n".join(written)
    for words in (
        "eye 3, OS", "Model: m", "derived from the scan angle of a medium eye", NOTICE,
        "24 (24–24)", "B-scan 11 of 20, central", "B-scan 9 of 20, largest area",
        "300 µm apart", "T3", "IRF", "between two lines [µm]", "ILM – BM", "312", "298", "–",
        "• one of both lines is missing",
    ):  # fmt: skip
        assert words in text, words


def test_a_single_bscan_and_nothing_found_have_a_page_too(written: list[str]) -> None:
    labels = np.zeros((30, 60), np.uint8)
    live = LiveMeasures(labels, CLASSES, (0.004, 0.01))
    scale = Scale.of((0.004, 0.01), "typed")
    assert page_pdf(labels, labels, CLASSES, live, scale, title="x", worst=()).startswith(b"%PDF")
    assert "one single B-scan" in "\n".join(written)
    with pytest.raises(ValueError, match="give both of one stack"):
        page_pdf(labels[1:], labels, CLASSES, live, scale, title="x")


@pytest.mark.parametrize(("fovea", "shown"), [(-0.5, 1), (3.5, 4)])
def test_a_fovea_on_the_scan_s_edge_has_a_page(written: list[str], fovea: float, shown: int):
    """Dragged out of the map en face the cross stops at the edge of the last B-scan."""
    labels = np.ones((4, 30, 60), np.uint8)
    scale = Scale.of((0.3, 0.004, 0.1))
    live = LiveMeasures(labels, CLASSES, scale.spacing_mm)
    live.place((fovea, 25.0))
    page_pdf(labels, labels, CLASSES, live, scale, title="x")
    assert f"B-scan {shown} of 4, central" in written


def test_pixels_without_a_value_darken_no_bscan(monkeypatch) -> None:
    from matplotlib.axes import Axes

    ranges = []
    monkeypatch.setattr(Axes, "imshow", lambda self, image, **how: ranges.append(how.get("vmax")))
    image = np.full((30, 60), 100, np.float32)
    image[:10] = 20
    image[:, :10] = np.finfo(np.float32).max
    labels = np.zeros((30, 60), np.uint8)
    scale = Scale.of((0.004, 0.1))
    page_pdf(image, labels, CLASSES, LiveMeasures(labels, CLASSES, (0.004, 0.1)), scale, title="x")
    assert ranges == [None, 100]


def test_no_matplotlib_is_said_with_the_line_that_gets_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    labels = np.zeros((30, 60), np.uint8)
    live = LiveMeasures(labels, CLASSES, (0.004, 0.01))
    with pytest.raises(ImportError, match=r"napari-spad\[report\]"):
        page_pdf(labels, labels, CLASSES, live, Scale(), title="x")


def test_the_room_loads_neither_matplotlib_nor_scipy() -> None:
    heavy = "('matplotlib', 'scipy', 'torch')"
    code = f"import sys, spad; spad.measure; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
