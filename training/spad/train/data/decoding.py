"""A case at the network's scale: from its files, or from the cache.

Reading a large image and taking its percentiles costs ten times what augmentation costs. What is
kept is found by the *contents* of both files, which are hashed at each process's first read (a
hundredth of the cost of decoding), and by all settings and code that the result depends on: a file
that was replaced by one of equal size and date is another entry.

Contours (BcD) are not kept: they belong to the augmented label map, which never comes twice, and
are computed on the device.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import spad.inference.letterbox
from spad.cases import Case, file_error
from spad.checkpoint import InputConfig, plain
from spad.inference import frame_of, normalise
from spad.pictures import image_files
from spad.train.data.cache import Cache
from spad.train.data.case_checks import case_faults
from spad.train.data.cases import read_image, read_values
from spad.train.data.phantoms import PhantomCase

__all__ = ["Decoded", "Decoder", "UnreadableCase"]

Decoded = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Image float32 (h, w) in [-1, 1], and label map uint8 (h, w) in the model's classes."""


class UnreadableCase(RuntimeError):
    """A case whose files cannot be trained on; the message names the file and the remedy."""


class Decoder:
    """Reads cases at the network's scale.

    Parameters
    ----------
    config : InputConfig
    names : mapping of Path to mapping of int to str
        ``labels.json`` of the folders whose label maps are still to be checked.
    cache : Cache or None
    """

    def __init__(
        self, config: InputConfig, names: Mapping[Path, Mapping[int, str]], cache: Cache | None
    ) -> None:
        self._config = config
        self._names = {folder: dict(one) for folder, one in names.items()}
        self._cache = cache

    def __call__(self, case: Case, table: NDArray[np.uint8]) -> Decoded:
        """Image and label map of a case.

        Raises
        ------
        UnreadableCase
            A file is missing or damaged, or the two do not fit each other.
        """
        try:
            if self._cache is None or isinstance(case, PhantomCase):
                return self._decode(case, table)
            key = self._key(case, table)
            if (kept := self._cache.get(key)) is not None:
                return _unpacked(kept)
            made = self._decode(case, table)
            if self._key(case, table) == key:  # else a file was replaced meanwhile
                self._cache.put(key, _packed(made))
            return made
        except (ValueError, OSError) as error:
            raise UnreadableCase(file_error(error)) from None

    def _decode(self, case: Case, table: NDArray[np.uint8]) -> Decoded:
        image, values = read_image(case), read_values(case)
        names = self._names.get(case.folder)
        if names is not None and (faults := case_faults(case, image.shape, values, names)):
            raise ValueError("; ".join(faults))
        frame = frame_of((image.shape[0], image.shape[1]), self._config, 1)
        scaled = frame.scale(normalise(image, self._config))
        return scaled, frame.strokes(table[values])  # as in a lesson: none is too thin to count

    def _key(self, case: Case, table: NDArray[np.uint8]) -> str:
        config = plain(self._config)
        config.pop("statistics")
        content = [
            hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
            for path in (case.image, case.labels)
        ]
        # A palette's or TIFF's bytes mean other pixels under another suffix.
        suffixes = [path.suffix.lower() if path else "" for path in (case.image, case.labels)]
        names = self._names.get(case.folder)  # an entry has passed their check
        parts = ["decoded", _code(), config, table.tolist(), names, content, suffixes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """Hash of the code that makes an entry, and the versions of what it calls."""
    reading = sorted(Path(str(image_files.__file__)).parent.glob("*.py"))
    files = [spad.inference.letterbox.__file__, *reading, __file__]
    text = b"".join(Path(str(file)).read_bytes() for file in files)
    return f"{hashlib.sha256(text).hexdigest()} {np.__version__} {torch.__version__}"


def _packed(made: Decoded) -> bytes:
    image, labels = made
    shape = np.array(image.shape, "<u4").tobytes()
    return shape + np.ascontiguousarray(image, "<f4").tobytes() + labels.tobytes()


def _unpacked(data: bytes) -> Decoded:
    height, width = np.frombuffer(data, "<u4", 2).tolist()
    pixels = height * width
    # Copies: what a buffer holds is read-only, and torch and OpenCV want their own.
    image = np.frombuffer(data, "<f4", pixels, 8).reshape(height, width).astype(np.float32)
    labels = np.frombuffer(data, np.uint8, pixels, 8 + 4 * pixels).reshape(height, width).copy()
    return image, labels
