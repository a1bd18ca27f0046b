"""The section Measure: a result in nanolitres, about a fovea that can be dragged; its table.

All numbers and words are the engine's (`spad.measuring`), so that napari tells the same.
"""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.measure.measure_panel import MeasurePanel
    from SPADLib.measure.result_measures import ResultMeasures
    from SPADLib.measure.table_node import to_table

__getattr__, __all__ = lazily(__name__)
