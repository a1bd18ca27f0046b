"""What both desks need of the engine while a person annotates: sampling around edits, alternatives.

Also runs and what is told of them, the review queue, checks of the anatomy, whether an image is
like a model's training images, training sets, and fine-tuning. No torch is loaded here.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.annotation.anatomical_checks import checks
    from spad.annotation.around_edits import (
        RESTART,
        changes,
        doubtful,
        edits_for,
        left_alone,
        told,
    )
    from spad.annotation.batch_files import images_in, result_stems
    from spad.annotation.expected_errors import expected_error, taught_by_phantoms
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
    from spad.annotation.run_steps import (
        RunProgress,
        duration,
        followed,
        meanwhile,
        opened,
        pixels,
        seconds_left,
    )
    from spad.annotation.run_warnings import LikenessWatch, looked_over, refuse_other_structures
    from spad.annotation.sample_alternatives import Alternative, alternatives, component
    from spad.annotation.training_set import Addition, Corrected, Pixels, candidates, refuse_empty

__getattr__, __all__ = lazily(__name__)
