"""The models that a server offers, kept as files that stand for them: the choice asks no line.

Each server has a folder among what can be had again; each time it is asked, the folder is brought
up to what it offers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spad.cases import file_stem, write_json
from spad.checkpoint import (
    AT_SERVER,
    AtServer,
    at_server,
    cache_folder,
    installed,
    model_path,
    sha256,
)
from spad.inference import ServerError
from spad.remote.address import SERVER, Address, chosen, is_server
from spad.remote.http_line import Line

__all__ = ["ask", "model_on", "offered", "refuse_gone", "server_at"]


def server_at(device: str) -> Address:
    """Where the server is that a device names.

    Raises
    ------
    ValueError
        It is no address of one; or it is “server”, and none is chosen.
    """
    address = chosen() if device == SERVER else Address.of(device)
    if address is None:
        raise ValueError(
            "no server is chosen: choose “server…” as the device, and give its address"
        )
    return address


def ask(address: Address) -> dict[str, Any]:
    """Ask a server who it is, and keep what it offers.

    Raises
    ------
    ServerError
        It is not reached, refuses the token, or speaks another protocol.
    OSError
        What it offers cannot be written down.
    """
    said = Line(address).hello()
    folder = _folder(address)
    kept: set[Path] = set()
    stems: set[str] = set()
    for one in said["models"]:
        try:
            there = AtServer.from_json({**one, "server": address.url})
        except ValueError:
            continue  # a card of a newer SPAD: what this one cannot read it cannot choose
        stem = file_stem(there.name, "model")  # a server may not choose freely
        if stem != there.name or stem.lower() in stems:  # another may be called so, on some disks
            stem += f" {hashlib.sha256(there.name.encode()).hexdigest()[:6]}"
        stems.add(stem.lower())
        path = folder / f"{stem} (server){AT_SERVER}"  # as a host shows it
        kept.add(path)
        if _read(path) != there:  # else it stays the file that results know their model by
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, there.as_json())
    for path in set(folder.glob(f"*{AT_SERVER}")) - kept:
        path.unlink(missing_ok=True)
    return said


def offered(address: Address | None, here: Mapping[str, Path]) -> dict[str, Path]:
    """The models that a server offered when it was last asked, but for those that are here.

    Parameters
    ----------
    address : Address or None
        None: no server is chosen.
    here : mapping of str to Path
        Models that go by name on this machine.

    Returns
    -------
    dict of str to Path
        By the name of the model, with “(server)” behind it.
    """
    if address is None:
        return {}
    found = {}
    for path in sorted(_folder(address).glob(f"*{AT_SERVER}")):
        if (there := _read(path)) is None:
            continue
        ours = here.get(there.name)
        if ours is None or ours.stat().st_size != there.size or sha256(ours) != there.sha256:
            found[path.stem] = path
    return found


def model_on(name: str | os.PathLike[str], device: str) -> Path:
    """Path of a model that is given by name or path: here, or else on the server of a device.

    Raises
    ------
    ValueError
        It is neither here nor there.
    ServerError
        The server is not reached, refuses the token, or speaks another protocol.
    """
    if not is_server(device) or str(name) in installed() or Path(name).exists():
        return model_path(name)
    address = server_at(device)
    ask(address)
    there = {}
    for path in offered(address, {}).values():
        if (one := _read(path)) is not None:
            there[one.name] = path
    if (found := there.get(str(name))) is None:
        raise ValueError(
            f"{name}: there is no such file and no such model, here or on {address.url}, which has "
            f"{', '.join(there) or 'none'}"
        )
    return found


def refuse_gone(there: AtServer, said: Mapping[str, Any], address: Address) -> None:
    """Refuse a model that a server does not have, and this machine never had.

    Raises
    ------
    ServerError
    """
    if all(one["sha256"] != there.sha256 for one in said["models"]):
        names = ", ".join(f"“{one['name']}”" for one in said["models"]) or "none"
        raise ServerError(
            f"{address.url} does not have the model “{there.name}” ({there.sha256[:12]}…) of "
            f"{there.server}, which was never here; it has {names}. Press Connect to list them, "
            "and choose one"
        )


def _folder(address: Address) -> Path:
    return cache_folder() / "servers" / file_stem(address.url.partition("://")[2], "server")


def _read(path: Path) -> AtServer | None:
    try:
        return at_server(path) if path.is_file() else None
    except (ValueError, OSError):
        return None
