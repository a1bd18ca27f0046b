"""A `Segmenter` whose model runs on a server: the same arguments, steps, results and errors."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spad.cases import foreign, write_bytes
from spad.checkpoint import Card, LabelClass, card_within
from spad.inference import AnySegmenter, BScans, Segmentation, ServerError, Stack, Step
from spad.remote.address import Address
from spad.remote.http_line import Line, engine_version
from spad.remote.running import Message, RemoteRun

__all__ = ["RemoteSegmenter", "connect"]


def connect(url: str, token: str | None = None) -> dict[str, RemoteSegmenter]:
    """The models of a server.

    Parameters
    ----------
    url : str
        ``https://HOST:PORT``.
    token : str, optional
        That of the environment variable SPAD_TOKEN if None.

    Returns
    -------
    dict of str to RemoteSegmenter
        By the models' names at the server.

    Raises
    ------
    ValueError
        No address, or no token.
    ServerError
        The server is not reached, refuses the token, or speaks another protocol.
    """
    line = Line(Address.of(url, token))
    said = line.hello()
    return {
        one["name"]: RemoteSegmenter(line, said, Card.from_json(one["card"]), one["sha256"])
        for one in said["models"]
    }


class RemoteSegmenter(AnySegmenter):
    """A model on a server; on a device of the same type, its results are those of a `Segmenter`.

    No torch is loaded here. While there is nothing new, the last step comes again; before the
    first, 0 of 1. Where the server refuses, or is not reached any more, `ServerError` says so in
    words. A model that has learnt is here, to be saved; the server forgets it.

    Parameters
    ----------
    line : Line
    hello : mapping
        What the server says of itself.
    card : Card
    sha256 : str
        Of the checkpoint file.
    content : Path or bytes, optional
        That file, sent to a server that does not have it.
    """

    def __init__(
        self,
        line: Line,
        hello: Mapping[str, Any],
        card: Card,
        sha256: str,
        content: Path | bytes | None = None,
    ) -> None:
        self.card = card
        self.sha256 = sha256
        self.device = ", ".join(hello["devices"])
        self._line, self._hello, self._content = line, hello, content
        self._notice = ""
        if (theirs := hello["engine"]) != (ours := engine_version()):
            self._notice = (
                f"the server runs SPAD {theirs}, this is {ours}: the same seed may give another "
                "segmentation than here"
            )

    def _steps(
        self,
        image: Any,
        spacing_mm: tuple[float, ...] | None,
        edits: Mapping[str, NDArray[Any]],
        **options: Any,
    ) -> Generator[Step, None, Segmentation]:
        stack = Stack(image, options["rgb"])
        unreadable = np.zeros(stack.depth, np.uint8)
        sent = _Read(image, unreadable) if stack.lazy else np.asarray(image)
        content = {
            "kind": "segment",
            "options": {name: _plain(value) for name, value in options.items()},
            "spacing_mm": spacing_mm,
            "edits": list(edits),
            "lazy": stack.lazy,
        }
        arrays = [sent, unreadable, *edits.values()]
        before = Step(0, 1, options["first_slice"], None)
        answer, made = yield from self._run(content, arrays, before)
        provenance = {**answer["provenance"], "server": self._line.address.url}
        if self._notice:
            provenance["said"] = [*provenance["said"], self._notice]
        parts = dict(zip(answer["names"], made, strict=True))
        return Segmentation(
            **{"probability": None, **parts},
            classes=self.card.classes,
            spacing_mm=spacing_mm,
            provenance=provenance,
        )

    def _learn_steps(
        self,
        bscans: BScans,
        options: Mapping[str, Any],
        *,
        classes: Sequence[LabelClass] | None,
        earlier: BScans,
        seed: int,
        inverted: bool,
    ) -> Generator[Step, None, Self]:
        arrays = [pair[half] for part in (bscans, earlier) for half in (0, 1) for pair in part]
        content = {
            "kind": "teach",
            "bscans": len(bscans),
            "classes": None if classes is None else [c.as_json() for c in classes],
            "seed": seed,
            "inverted": inverted,
            "options": options,
        }
        _, (checkpoint,) = yield from self._run(content, arrays, Step(0, 1, 0, None))
        file = checkpoint.tobytes()
        card = card_within(io.BytesIO(file), len(file), "what has been learnt")
        sha256 = hashlib.sha256(file).hexdigest()
        return type(self)(self._line, self._hello, card, sha256, file)

    def _save(self, path: Path) -> None:
        if self._content is None:
            raise ValueError(
                f"the model “{self.card.name}” is the server's: ask there for its file"
            )
        there = self._content
        write_bytes(path, there if isinstance(there, bytes) else there.read_bytes())

    def _run(
        self, content: dict[str, Any], arrays: Sequence[Any], last: Step
    ) -> Generator[Step, None, Message]:
        """Run something on the server, and give its last message."""
        if self._notice:
            yield Step(0, 1, last.slice_index, None, self._notice)
        run = RemoteRun(self._line, (self.sha256, self._content), content, arrays)
        with closing(run):
            for message in run.messages():
                if message is None:
                    yield last
                    continue
                answer, parts = message
                if (kind := answer["kind"]) == "step":
                    labels = parts[0] if parts else None
                    about = answer["done"], answer["total"], answer["slice"]
                    last = Step(*about, None)
                    yield Step(*about, labels, answer["said"])
                elif kind == "waiting":
                    yield Step(last.done, last.total, last.slice_index, None, answer["text"])
                elif kind == "failed":
                    raise (ValueError if answer["refused"] else ServerError)(answer["text"])
                elif kind != "alive":
                    return message
        raise ServerError("the server has ended the run without a result; run it again")


class _Read:
    """A lazy stack, read as it is sent; what could not be read is marked in `unreadable`."""

    def __init__(self, image: Any, unreadable: NDArray[np.uint8]) -> None:
        self.shape, self.dtype = tuple(image.shape), np.dtype(image.dtype)
        self._image, self._unreadable = image, unreadable

    def __getitem__(self, z: int) -> NDArray[Any]:
        try:
            with foreign():
                return np.asarray(self._image[z], self.dtype)
        except MemoryError:
            raise
        except Exception:  # whatever its reader raises: the other slices go on
            self._unreadable[z] = 1
            return np.zeros(self.shape[1:], self.dtype)


def _plain(value: Any) -> Any:
    """A NumPy number as Python's, which JSON takes; what is none is refused by the server."""
    return value.item() if isinstance(value, np.generic) else value
