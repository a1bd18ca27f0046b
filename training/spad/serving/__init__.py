"""`spad serve`: the engine for the desks of a department, over HTTP, one process a device.

The front answers, checks, queues and streams; it loads no torch, and opens no image.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.serving.app import make_app
    from spad.serving.limits import Limits
    from spad.serving.service import Service
    from spad.serving.tokens import Tokens

__getattr__, __all__ = lazily(__name__)
