"""A process of its own that learns while the person works on, and what both desks say of it.

Started warm, asked, listened to, killed; no torch is loaded in the front end's process.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.worker.drafts import Drafts
    from spad.worker.learnt_models import (
        KEPT,
        copy_model,
        lessons_of,
        new_path,
        prune,
        remove,
        saved_models,
    )
    from spad.worker.lesson_plan import LessonPlan, counted, not_learnt, shows_structure
    from spad.worker.process import Learnt, Worker, WorkerError
    from spad.worker.rehearsal import Pairs, rehearsed

__getattr__, __all__ = lazily(__name__)
