"""Scores of a model on annotated cases, how much its samples differ, and simulated annotators."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.evaluation.bootstrap_scores import score
    from spad.train.evaluation.case_report import Report
    from spad.train.evaluation.case_scores import compare, evaluate
    from spad.train.evaluation.ged import energy_distance
    from spad.train.evaluation.merged_classes import merge_classes
    from spad.train.evaluation.sample_diversity import diversity

__getattr__, __all__ = lazily(__name__)
