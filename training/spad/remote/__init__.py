"""A model that runs on a server: how a desk reaches it, and the messages that both exchange.

No torch: a `RemoteSegmenter` has the interface of a `Segmenter`, and a device may be a server.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.remote import messages
    from spad.remote.address import SERVER, Address, choose, chosen, is_server, server_of
    from spad.remote.by_device import greeting, load
    from spad.remote.http_line import NoLine, engine_version
    from spad.remote.messages import receive, send
    from spad.remote.offers import model_on, offered
    from spad.remote.segmenter import RemoteSegmenter, connect

__getattr__, __all__ = lazily(__name__)
