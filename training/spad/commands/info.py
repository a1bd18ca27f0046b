"""``spad info``: a model's card."""

from __future__ import annotations

import argparse

from spad.checkpoint import model_path
from spad.commands.options import add_model

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad info``."""
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the model says of itself."""
    from spad.checkpoint import read_card

    print(read_card(model_path(args.model)).text())
    return 0
