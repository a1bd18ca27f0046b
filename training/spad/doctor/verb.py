"""``spad doctor``: what a bug report needs."""

from __future__ import annotations

import argparse

from spad.doctor.report import examine

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no arguments."""
    parser.epilog = "Paste what it prints into the issue. It names no paths, users or patients."


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    print(examine())
    return 0
