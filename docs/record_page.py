"""The pictures of the page of measurements and of two readers, with a phantom and its truth.

python docs/record_page.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from spad.checkpoint import label_classes
from spad.measuring import LiveMeasures, Scale, agreement_plot, limits_of_agreement
from spad.measuring.page import drawn
from spad.phantom import CLASS_NAMES, stack


def main() -> None:
    """Draw the page and save it as PNG."""
    phantom = stack(7, raters=4)
    classes = label_classes(CLASS_NAMES)
    live = LiveMeasures(phantom.labels, classes, phantom.spacing_mm, samples=phantom.raters)
    live.place((7.5, 200.0), eye="OD")
    figure = drawn(
        phantom.image, phantom.labels, classes, live,
        Scale.of(phantom.spacing_mm, "derived", "from what was drawn"),
        title="phantom OCT, OD", facts={"Model": "none: the truth, and 4 simulated readers"},
    )  # fmt: skip
    figure.savefig(Path(sys.argv[1], "measure-page.png"), dpi=80)
    areas = []
    for reader in phantom.raters[:2]:
        read = LiveMeasures(reader, classes, phantom.spacing_mm)
        width = phantom.spacing_mm[-1] / 1000
        areas.append({c.name: read.heights_um(c.value).sum(1) * width for c in classes[1:4]})
    agreed = {}
    for name, ours in areas[0].items():
        either = (ours > 0) | (areas[1][name] > 0)
        agreed[name] = limits_of_agreement(ours[either], areas[1][name][either])
    plot = agreement_plot(
        agreed, "mm²", readers=("reader 1", "reader 2"), title="Areas, B-scan by B-scan"
    )
    Path(sys.argv[1], "measure-agreement.png").write_bytes(plot)
    print(f"{np.count_nonzero(phantom.labels)} pixels measured")


if __name__ == "__main__":
    main()
