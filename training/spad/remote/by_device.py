"""A model opened on a device: here, or on a server."""

from __future__ import annotations

from pathlib import Path

from spad.checkpoint import at_server, read_card, sha256
from spad.inference import AnySegmenter
from spad.remote.address import Address, is_server
from spad.remote.http_line import Line, engine_version
from spad.remote.offers import ask, model_on, refuse_gone, server_at
from spad.remote.segmenter import RemoteSegmenter

__all__ = ["greeting", "load"]


def load(path: str | Path, device: str = "auto") -> AnySegmenter:
    """Open a checkpoint for segmenting.

    Parameters
    ----------
    path : path-like, or the name of a model (`spad models`), also of one that only the server has
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps"; or the address of a server, ``https://HOST:PORT``
        (its token in the environment variable SPAD_TOKEN), which is sent a model that it does not
        have; "server" is the one that a host has chosen.

    Returns
    -------
    Segmenter
        On a server a `RemoteSegmenter`: both are an `AnySegmenter`.

    Raises
    ------
    ValueError
        Not a checkpoint of SPAD (the message says what it is), or no such device.
    MemoryError
        The device has no room for the model. "auto" warns, and takes the CPU.
    OSError
        The file cannot be read.
    ServerError
        The server is not reached, refuses the token, or speaks another protocol.
    """
    if not is_server(device):
        from spad.inference import segmenter

        return segmenter.load(path, device)
    address, file = server_at(device), model_on(path, device)
    card, line = read_card(file), Line(address)
    said = line.hello()
    if (there := at_server(file)) is not None:
        refuse_gone(there, said, address)
    return RemoteSegmenter(line, said, card, sha256(file), None if there else file)


def greeting(address: Address) -> str:
    """What a server says of itself, as a sentence for whoever chooses it; `offered` knows then.

    Raises
    ------
    ServerError
        As of `load`.
    OSError
        What it offers cannot be noted.
    """
    said = ask(address)
    theirs, ours = said["engine"], engine_version()
    also = f"; here is {ours}, the same seed may give another result" if theirs != ours else ""
    models = len(said["models"])
    return (
        f"{address.url} is there: SPAD {theirs} on {', '.join(said['devices'])}, with {models} "
        f"model{'s' * (models != 1)}{also}."
    )
