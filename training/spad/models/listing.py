"""The list of models that every host shows: what is here, what can be had, how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from spad.cases import file_error
from spad.checkpoint import Card, at_server, installed, model_folders, read_card, shipped
from spad.models.manifest import Entry, known_entries

__all__ = ["Listed", "licence_of", "listed", "score_of", "size_text"]

Where = Literal["shipped", "on disk", "on the server", "to download"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model as a row of the list.

    Parameters
    ----------
    name : str
        By which it is asked for.
    where : {"shipped", "on disk", "on the server", "to download"}
    path : Path or None
        None before it is downloaded; of a model on the server what stands for it.
    entry : Entry or None
        What a manifest says of it; None of a model that stands in none.
    licence, scores : str
        In words; empty where nothing is stated.
    classes : tuple of str
        Background first; empty where the card cannot be read.
    size : int
        Bytes.
    about : str
        The card as a text, or why there is none.
    """

    name: str
    where: Where
    path: Path | None
    entry: Entry | None
    licence: str
    scores: str
    classes: tuple[str, ...]
    size: int
    about: str

    @property
    def here(self) -> bool:
        """Whether its weights are on this machine."""
        return self.where in ("shipped", "on disk")

    @property
    def summary(self) -> str:
        """What a tool tip says: where, size, licence, scores, structures, file."""
        return "\n".join(
            [
                f"{self.name}: {self.where}, {size_text(self.size)}",
                f"Licence: {self.licence or 'not stated'}",
                f"Scores: {self.scores or 'not stated'}",
                f"Structures: {', '.join(self.classes[1:]) or 'not known'}",
                *([str(self.path)] if self.path else []),
            ]
        )

    @property
    def question(self) -> str:
        """What a person is asked before a download."""
        from spad.models.download import places
        from spad.models.web import host_of

        assert self.entry is not None  # noqa: S101 - a host asks of what is to be downloaded
        hosts = ", ".join(dict.fromkeys(map(host_of, places(self.entry)))) or "no place"
        return (
            f"Download the model “{self.name}” ({size_text(self.size)}) from {hosts}?\n"
            f"Licence: {self.licence}. Scores: {self.scores or 'not stated'}.\n"
            "Nothing of your images is sent."
        )


def listed(others: Iterable[Path] = ()) -> tuple[list[Listed], list[str]]:
    """List all models: shipped, on disk, to download. Asks no network, and loads no torch.

    Parameters
    ----------
    others : iterable of Path
        Checkpoints that go by no name, such as those that have learnt, and models of the server;
        listed behind the others.

    Returns
    -------
    models : list of Listed
    faults : list of str
        Manifests that cannot be read and folders of ``$SPAD_MODELS`` that are away, in words.
    """
    entries, faults = known_entries()
    faults += [
        f"{folder}: SPAD_MODELS names it, and there is no such folder; correct the variable, or "
        "connect the disk that it is on"
        for folder in model_folders()[:-1]
        if not folder.is_dir()
    ]
    ours = shipped()
    rows = []
    for name, path in installed().items():
        where: Where = "shipped" if name in ours else "on disk"
        rows.append(_here(name, path, where, entries.pop(name, None)))
    known = {row.path for row in rows}
    rows += [_other(path) for path in others if path not in known]
    return rows + [_there(entry) for entry in entries.values()], faults


def licence_of(card: Card) -> str:
    """The licence that a card states, and those of the data that its model learnt from."""
    own = card.training.get("licence")
    own = own if isinstance(own, str) else ""
    data = card.training.get("data")
    stated = [
        str(one["licence"])
        for one in (data if isinstance(data, list) else [])
        if isinstance(one, Mapping) and one.get("licence")
    ]
    if not stated:
        return own
    return f"{own or 'not stated'}; data: {', '.join(dict.fromkeys(stated))}"


def score_of(scores: Mapping[str, Any]) -> str:
    """The mean Dice of a card's validation, in words; empty where it has none."""
    validation = scores.get("validation")
    if not isinstance(validation, Mapping):
        return ""
    parts = []
    for key, words in (("pooled Dice", "pooled"), ("per-image Dice", "an image")):
        dice = validation.get(key)
        if isinstance(dice, Mapping) and isinstance(dice.get("mean"), float):
            parts.append(f"{dice['mean']:.3f} {words}")
    images = validation.get("images")
    of = f" ({images} images)" if type(images) is int and parts else ""
    return f"Dice {', '.join(parts)}{of}" if parts else ""


def size_text(size: int) -> str:
    """A file's size for a person."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


def _here(name: str, path: Path, where: Where, entry: Entry | None) -> Listed:
    classes: tuple[str, ...] = ()
    licence = scores = ""
    size = 0
    try:
        size = path.stat().st_size
        card = read_card(path)
        about, classes = card.text(), tuple(one.name for one in card.classes)
        licence, scores = licence_of(card), score_of(card.scores)
    except (OSError, ValueError) as error:
        about = file_error(error)
    return Listed(
        name=name, where=where, path=path, entry=entry, licence=entry.licence if entry else licence,
        scores=scores, classes=classes, size=size, about=about,
    )  # fmt: skip


def _other(path: Path) -> Listed:
    """A file that goes by no name, or that stands for a model of the server."""
    row = _here(path.stem, path, "on disk", None)
    try:
        there = at_server(path)
    except (OSError, ValueError):  # its row says why
        return row
    if there is None:
        return row
    about = f"On the server {there.server}, not here. SHA-256: {there.sha256}\n\n{row.about}"
    return replace(row, name=there.name, where="on the server", size=there.size, about=about)


def _there(entry: Entry) -> Listed:
    scores, about = "", "The list of models has no card of it."
    if entry.card:
        try:
            card = Card.from_json(entry.card)
            scores, about = score_of(card.scores), card.text()
        except ValueError as error:
            about = f"Its card cannot be read: {error}"
    return Listed(
        name=entry.stem, where="to download", path=None, entry=entry, licence=entry.licence,
        scores=scores, classes=entry.classes, size=entry.size, about=about,
    )  # fmt: skip
