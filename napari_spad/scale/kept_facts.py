"""What a person said of images, kept from one session to the next in one JSON file. No Qt in here.

An image is known by the hash of its pixels: the file holds no name, number or path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spad.cases import alone, file_error, read_json, set_aside, write_json

__all__ = ["FILE", "KeptFacts"]

FILE = "images.json"
"""In the data folder."""
FORMAT = 1


class KeptFacts:
    """The file; written at each change, which is rare.

    Parameters
    ----------
    path : Path
        Its folder is made when first needed.
    tell : callable
        Takes what the user has to know, in words.
    """

    def __init__(self, path: Path, tell: Any) -> None:
        self._path, self._tell = path, tell
        self._images = self._read()
        self._unsaved: dict[tuple[str, str], Any] = {}

    def of(self, key: str) -> dict[str, Any]:
        """What was said of an image, by name; what makes no sense is as good as nothing."""
        found = self._images.get(key)
        return dict(found) if isinstance(found, dict) else {}

    def say(self, key: str, name: str, value: Any) -> None:
        """Keep one thing of an image; None forgets it."""
        self._unsaved[key, name] = value
        if told := self.flush():
            self._tell(f"{told} It holds until napari is closed.")

    def flush(self) -> str:
        """Write what was not kept yet; returns what went wrong."""
        if not self._unsaved:
            return ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self._path):  # another window may say something else of the same image
                self._images = self._read()
                self._put_unsaved()
                write_json(self._path, {"format": FORMAT, "images": self._images})
            self._unsaved = {}
        except OSError as error:
            self._put_unsaved()
            return f"What you said of an image is not kept: {file_error(error)}."
        return ""

    def _put_unsaved(self) -> None:
        for (key, name), value in self._unsaved.items():
            said = {k: v for k, v in self.of(key).items() if k != name}
            self._images[key] = said if value is None else {**said, name: value}

    def _read(self) -> dict[str, Any]:
        try:
            return self._found()
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._tell(f"What was said of images cannot be read: {file_error(error)}")
            return {}

    def _found(self) -> dict[str, Any]:
        try:
            images: dict[str, Any] = read_json(self._path)["images"]
            if not isinstance(images, dict):
                raise TypeError("no mapping")
        except (ValueError, KeyError, TypeError) as error:
            aside = set_aside(self._path)
            self._tell(f"{self._path.name} was damaged ({error}) and is set aside as {aside.name}")
            return {}
        return images
