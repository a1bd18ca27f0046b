"""Borders between retinal layers as ordered lines: one height a column, and what people do to them.

From label maps and back, edits as pure functions, the path along an edge, lines between two
B-scans, files, thickness. NumPy and SciPy alone, so that every host edits alike.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.borders.between_bscans import interpolated, shift_between, shifted
    from spad.borders.edges import Edges, along_edge, snapped
    from spad.borders.edits import Stretch, dragged, drawn, moved, smoothed, through_knots
    from spad.borders.knots import knots_of, pulled
    from spad.borders.label_maps import areas, band_lines, followed, held_beside, with_band
    from spad.borders.layer_thickness import (
        Thickness,
        by_region,
        layer_maps,
        missing_columns,
        thickness,
        thickness_over_visits,
        thickness_remark,
        thickness_rows,
    )
    from spad.borders.line_files import (
        SUFFIXES,
        check_size,
        from_bits,
        lines_csv,
        lines_name,
        read_lines,
        to_bits,
        write_lines,
    )
    from spad.borders.lines import LINE_COLORS, Lines, in_order, put_in_order, thickness_mm

__getattr__, __all__ = lazily(__name__)
