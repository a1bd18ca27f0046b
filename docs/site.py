"""What the site needs beside docs/: pages that stand elsewhere, and links to what is no page.

MkDocs calls these functions (mkdocs.yml, `hooks`). The pages themselves stay as GitHub shows them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TAKEN_IN = {
    "training.md": "training/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Page of the site -> the file in the repository."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_files(files: Any, config: Any) -> Any:
    """Take the pages in that stand elsewhere."""
    from mkdocs.structure.files import File

    for page, place in TAKEN_IN.items():
        files.append(File.generated(config, page, content=(ROOT / place).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links of the repository at pages of the site, or else at the repository."""
    here = posixpath.dirname(TAKEN_IN.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    pages = {f"docs/{file.src_uri}" for file in files} | set(TAKEN_IN.values())
    back = {place: page for page, place in TAKEN_IN.items()}

    def target(link: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(here, link[1]))
        if place == "README.md":
            return "index.md"
        if place in pages:
            return back.get(place, place.removeprefix("docs/")) + (link[2] or "")
        return f"{config.repo_url}/blob/main/{place}{link[2] or ''}"

    return _LINK.sub(target, markdown)
