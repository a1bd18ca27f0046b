"""The report: one screen of text to paste into an issue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from spad.cases import file_error
from spad.checkpoint import read_card, sha256, shipped
from spad.doctor import machine
from spad.doctor.last_errors import last_errors
from spad.doctor.taking_out_names import nameless

__all__ = ["examine"]


def examine(host: Mapping[str, str] | None = None, models: Iterable[Path] = ()) -> str:
    """Examine the installation.

    Parameters
    ----------
    host : mapping of str to str, optional
        What the program around us says of itself: its version, Qt, OpenGL.
    models : iterable of Path, optional
        Checkpoints in use besides the shipped ones; told by their hash and network, not by name.

    Returns
    -------
    str
        Lines of text without paths, files' names, user or machine. A model's name is told where it
        is shipped. Loads PyTorch, to name the devices.
    """
    rows = [
        *machine.system(),
        *machine.devices(),
        *((host or {}).items()),
        *machine.versions(),
        *_models(models),
    ]
    width = max(len(what) for what, _ in rows)
    lines = [f"{what:<{width}}  {_safe(what, said)}" for what, said in rows]
    told = last_errors() or ["none is kept"]
    return "\n".join([*lines, "last errors", *(f"  {line}" for line in told)])


def _safe(what: str, said: str) -> str:
    """Versions and hashes are no one's name; all else may hold one."""
    return said if what.startswith("model") else nameless(said)


def _models(others: Iterable[Path]) -> list[tuple[str, str]]:
    ours = shipped()
    rows = []
    for name, path in ours.items():
        rows.append((f"model {name}", _model(path)))
    rows += [("model of one's own", _model(path)) for path in others if path not in ours.values()]
    return rows or [("models", "none came with this version")]


def _model(path: Path) -> str:
    try:
        card = read_card(path)
        kind = f"network {card.network.kind}"
        return f"sha256 {sha256(path)[:16]}, {kind}, {len(card.classes)} classes"
    except (OSError, ValueError) as error:
        return nameless(f"cannot be read: {file_error(error)}")
