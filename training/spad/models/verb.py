"""``spad models``: list models, download one, keep a list of them, share one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spad.checkpoint import installed, model_path
from spad.models.download import fetch
from spad.models.listing import Listed, listed, size_text
from spad.models.manifest import keep_manifest
from spad.models.sharing import share

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad models``."""
    acts = parser.add_subparsers(dest="act", metavar="ACT")
    acts.add_parser("list", help="what is here and what can be downloaded (what is done otherwise)")
    get = acts.add_parser("get", help="download a model of the list")
    get.add_argument("name", metavar="NAME", help="as the list says; of several versions the last")
    keep = acts.add_parser("manifest", help="fetch a list of models and keep it")
    keep.add_argument("source", metavar="SOURCE", help="URL or file; #sha256=... pins its content")
    give = acts.add_parser("share", help="write a folder to hand a model on")
    give.add_argument("model", metavar="MODEL", help="a checkpoint, or the name of a model")
    give.add_argument("-o", "--out", type=Path, required=True, help="the folder")
    give.add_argument("--licence", required=True, help="of the model, such as CC-BY-4.0")
    give.add_argument("--name", default="", help="by which it will go (that of the file)")
    give.add_argument("--version", default="1", help="of the model (1)")


def run(args: argparse.Namespace) -> int:
    """Do what is asked, or print the list."""
    if args.act == "get":
        print(_get(args.name))
    elif args.act == "manifest":
        path, entries = keep_manifest(args.source)
        print(f"{len(entries)} models -> {path}")
    elif args.act == "share":
        path, entry = share(
            model_path(args.model), args.out,
            licence=args.licence, name=args.name, version=args.version,
        )  # fmt: skip
        print(f"{path}: sha256 {entry.sha256}")
    else:
        models, faults = listed()
        print(_table(models))
        for fault in faults:
            print(fault, file=sys.stderr)
    return 0


def _get(name: str) -> Path:
    if (here := installed().get(name)) is not None:
        return here
    entries = {m.name: m.entry for m in listed()[0] if m.entry is not None}
    named = [e for e in entries.values() if name in (e.stem, e.name)]
    if not named:
        raise ValueError(
            f"{name}: no list of models has it; lists have {', '.join(entries) or 'none'} (spad "
            "models manifest URL fetches a list)"
        )
    entry = named[-1]
    last = -1

    def tell(done: int) -> None:
        nonlocal last
        if (percent := 100 * done // entry.size) != last:
            last = percent
            print(
                f"{entry.stem}: {percent} % of {size_text(entry.size)}", file=sys.stderr, flush=True
            )

    return fetch(entry, told=tell)


def _table(models: list[Listed]) -> str:
    head = ("name", "where", "size", "licence", "scores", "structures")
    rows = [
        (m.name, m.where, size_text(m.size), m.licence, m.scores, ", ".join(m.classes[1:]))
        for m in models
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
