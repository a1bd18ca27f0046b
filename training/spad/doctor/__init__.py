"""What matters for a bug report: versions, machine, models, the last errors (`spad doctor`).

Nothing of it names a person: no paths, no file names, no user, no machine.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.doctor.last_errors import note
    from spad.doctor.report import examine
    from spad.doctor.taking_out_names import nameless

__getattr__, __all__ = lazily(__name__)
