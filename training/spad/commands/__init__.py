"""The `spad` command: one file a verb, with its arguments and what it runs.

Only this room imports the trainer; its verbs do so when they are asked for.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.commands.command_line import main

__getattr__, __all__ = lazily(__name__)
