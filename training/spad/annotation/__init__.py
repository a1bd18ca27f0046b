"""What both desks need of the engine while a person annotates: sampling around edits, alternatives.

Also the review queue and what it is ordered by, checks of the anatomy, whether an image is like a
model's training images, and fine-tuning from a front end. No torch is loaded here.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.annotation.anatomical_checks import checks
    from spad.annotation.around_edits import RESTART, changes, doubtful, edits_for, told
    from spad.annotation.expected_errors import expected_error
    from spad.annotation.fine_tuning import (
        PROGRESS,
        Progress,
        Validation,
        config_text,
        read_progress,
        verdict,
    )
    from spad.annotation.likeness import LIMIT, across, measures, reasons, summary
    from spad.annotation.review_book import Entry, ReviewBook, check_sum
    from spad.annotation.review_queue import STATES, Queue, State
    from spad.annotation.sample_alternatives import Alternative, alternatives, component

__getattr__, __all__ = lazily(__name__)
