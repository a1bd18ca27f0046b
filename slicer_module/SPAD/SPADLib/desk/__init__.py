"""What the panels share: the choices, the result at work, the run that is going on, the views."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.desk.desk import Desk
    from SPADLib.desk.following import Following
    from SPADLib.desk.pace import Pace, device_line
    from SPADLib.desk.png import outlined_png, png_bytes, png_of
    from SPADLib.desk.preflight import warnings_of
    from SPADLib.desk.run import Done, Event, Request, carried, drain, events
    from SPADLib.desk.run_panel import RunBox
    from SPADLib.desk.structures_panel import StructureMenu
    from SPADLib.desk.views import go_to, isolate, show_bscan
    from SPADLib.desk.words import FIRST, Words, numbered, overlapping, word_for, worded

__getattr__, __all__ = lazily(__name__)
