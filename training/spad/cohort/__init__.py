"""Thousands of files on the processes of a Dask cluster: handed out one by one, each done once.

A file's outcome depends on it, the model and the settings alone, so lost workers' files are done
by others, and what a run before this one did is not done again.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.cohort.ledger import Ledger, Rows
    from spad.cohort.measuring_file import Measured, MeasureJob, measure_file, measured
    from spad.cohort.outcome import Outcome
    from spad.cohort.progress import Progress, count
    from spad.cohort.segmenting_file import (
        Result,
        SegmentJob,
        opened,
        ready_to_segment,
        segment_file,
        targets,
        write_result,
    )
    from spad.cohort.workers import cluster, handed_out, on_all

__getattr__, __all__ = lazily(__name__)
