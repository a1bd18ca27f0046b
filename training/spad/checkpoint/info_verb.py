"""``spad info``: a model's card."""

from __future__ import annotations

import argparse

from spad.checkpoint.by_name import model_path
from spad.checkpoint.safetensors_file import read_card

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad info``."""
    parser.add_argument("model", metavar="MODEL", help="a checkpoint, or the name of a model")


def run(args: argparse.Namespace) -> int:
    """Print what the model says of itself."""
    print(read_card(model_path(args.model)).text())
    return 0
