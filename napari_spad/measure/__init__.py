"""The tab Measure: volumes in nanolitres, heights, the map en face, the scale that they rest on."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.measure.measure_panel import MeasurePanel

__getattr__, __all__ = lazily(__name__)
