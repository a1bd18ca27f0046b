"""What ``spad`` does with its words: finds the verb, runs it, and tells errors in a sentence.

A verb is a file of this room, loaded when it is asked for, so that ``spad --help`` and ``spad
info`` wait for no torch and the engine serves where the trainer's requirements are missing.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from spad.commands.options import say
from spad.doctor import note

__all__ = ["main"]

# Each is a file with `add_arguments(parser)` and `run(args)`, which returns what the process does.
VERBS = {
    "train": "Train a model as a configuration file says.",
    "evaluate": "Score a model on a case folder.",
    "ablate": "Train the rows of SPAD's Table 3, or others, over seeds.",
    "sweep": "Train with several values of a setting, over seeds.",
    "tune": "Find the cheapest sampling that loses nothing.",
    "segment": "Segment image files.",
    "measure": "Measure results: volumes in nanolitres, as one table.",
    "serve": "Run models for other desks, over HTTP, on this machine's GPUs.",
    "figures": "Draw a run's curve and rows of results, as PNG.",
    "info": "Print what a model says of itself.",
    "average": "Average the weights of models that went on from one.",
    "models": "List models, download one, share one's own.",
    "phantom": "Write a case folder of procedural B-scans.",
    "import": "Turn another data set into a case folder.",
    "doctor": "Print what a bug report needs: versions, device, models, the last errors.",
}
# Not in a file of this room that bears their name.
_PLACES = {
    "import": "spad.commands.import_",
    "average": "spad.checkpoint.average_verb",
    "info": "spad.checkpoint.info_verb",
    "models": "spad.models.verb",
    "doctor": "spad.doctor.verb",
    "serve": "spad.serving.verb",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0 done; 1 some files of a batch failed; 2 refused, with the reason on stderr; 130 Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name for which it lacks letters is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    given = list(sys.argv[1:] if argv is None else argv)
    if not given:
        parser.exit(2, parser.format_help())
    args, rest = parser.parse_known_args(given)
    # argparse gives up on positional arguments that follow an option: train CONFIG --out DIR a=1
    if hasattr(args, "overrides") and all("=" in x and not x.startswith("-") for x in rest):
        args.overrides += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.argv = given
    run: Callable[[argparse.Namespace], int] = args.run
    with warnings.catch_warnings():
        warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
        try:
            return run(args)
        except KeyboardInterrupt as stop:
            say(str(stop) or "interrupted")
            return 130
        except BrokenPipeError:  # `spad info MODEL | head`: nobody reads on, which is no fault
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ValueError, OSError, ImportError) as error:
            if args.traceback:
                raise
            from spad.cases import file_error

            say(file_error(error))
            note(error)
            return 2
        except (MemoryError, RuntimeError) as error:
            from spad.inference import ServerError, is_out_of_memory

            if isinstance(error, ServerError) and not args.traceback:
                say(str(error))
                return 2
            if args.traceback or not is_out_of_memory(error):
                raise
            say(_no_memory(error))
            note(error)
            return 2


def _no_memory(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if text.startswith("not enough memory"):  # said with the remedy by who knows it
        return text
    return f"not enough memory ({text}); close other programs, or choose another --device"


def _show_warning(
    otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any
) -> None:
    """Show what the trainer wants said without the line of code that said it."""
    if category is UserWarning:
        say(str(message))
    else:
        otherwise(message, category, *where)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spad",
        description="Segment retinal OCT B-scans by categorical diffusion. For research use only.",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    verbs = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Verb
    )
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text, description=text).name = name
    return parser


class _Verb(argparse.ArgumentParser):
    """Loads its file when it is asked for."""

    name = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.name:
            place = _PLACES.get(self.name, f"spad.commands.{self.name}")
            verb = importlib.import_module(place)
            verb.add_arguments(self)
            self.set_defaults(run=verb.run)
        return super().parse_known_args(args, namespace)
