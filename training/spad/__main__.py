"""``python -m spad``: the `spad` command, as :mod:`spad.commands` has it."""

from __future__ import annotations

import sys

from spad.commands import main

__all__ = ["main"]


if __name__ == "__main__":
    sys.exit(main())
