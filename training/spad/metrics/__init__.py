"""Scores of label maps: confusion matrix, Dice, IoU, HD95, agreement, calibration, reports.

Also what another label map's values mean, and where two label maps differ.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.metrics.agreement import pairwise_dice
    from spad.metrics.calibration import calibration_error, calibration_histogram, contour_band
    from spad.metrics.confusion import confusion_matrix
    from spad.metrics.dice import StructureScore, mean_scores, structure_scores, worst_slices
    from spad.metrics.differences import (
        ANOTHER,
        MISSING,
        TOO_MUCH,
        difference_map,
        largest_disagreement,
    )
    from spad.metrics.live_confusion import LiveConfusion
    from spad.metrics.matching import class_table, match, nothing_known, translate, values_in
    from spad.metrics.score_csv import as_csv, score_records, write_text
    from spad.metrics.surface_distance import hd95

__getattr__, __all__ = lazily(__name__)
