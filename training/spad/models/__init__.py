"""Models that can be had: lists of them (manifests), downloads, and folders to share one's own.

What is on this machine is found by name in the room `checkpoint`; only here is a network asked.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.models.download import download_steps, fetch
    from spad.models.listing import Listed, licence_of, listed, size_text
    from spad.models.manifest import Entry, keep_manifest, known_entries
    from spad.models.sharing import share
    from spad.models.web import DownloadError

__getattr__, __all__ = lazily(__name__)
