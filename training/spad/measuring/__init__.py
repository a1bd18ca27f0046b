"""The numbers for which OCT is annotated: volumes in nanolitres, heights, maps, their scale.

A scale with its origin, the fovea and the ETDRS grid about it, measurements that follow a stroke,
their table and their page; visits of one eye, two readers, two scans laid on each other. NumPy and
SciPy alone (Matplotlib draws), so that every host gets the same numbers.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.measuring.alignment import Alignment, EnFace, align, checkerboard, projection
    from spad.measuring.bland_altman import Agreement, limits_of_agreement
    from spad.measuring.caveats import PADDED, grid_remarks, partly, remarks
    from spad.measuring.etdrs import Grid
    from spad.measuring.fovea import pit, propose_fovea
    from spad.measuring.measures import LiveMeasures, Measurement, measure
    from spad.measuring.page import page_pdf
    from spad.measuring.plots import agreement_plot, visits_page, visits_plot
    from spad.measuring.scale import Length, Scale
    from spad.measuring.table import COLUMNS, as_rows, table_csv, write_csv
    from spad.measuring.visits import Visit, as_day, in_order, visit_remarks, visit_rows

__getattr__, __all__ = lazily(__name__)
