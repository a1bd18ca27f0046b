"""The `spad` command; ``spad --help`` lists what it does.

Each command imports what it needs when it runs, so that ``spad --help`` and ``spad info`` wait for
no torch, and the engine can be used where the trainer's requirements are missing. This is the only
module outside `spad.train` that imports it.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import importlib
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spad.segmenter import Segmentation

__all__ = ["main"]


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
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    # argparse gives up on positional arguments that follow an option: train CONFIG --out DIR a=1
    if hasattr(args, "overrides") and all("=" in x and not x.startswith("-") for x in rest):
        args.overrides += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.argv = list(sys.argv[1:] if argv is None else argv)
    run: Callable[[argparse.Namespace], int] = args.run
    with warnings.catch_warnings():
        warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
        try:
            return run(args)
        except KeyboardInterrupt as stop:
            _say(str(stop) or "interrupted")
            return 130
        except BrokenPipeError:  # `spad info MODEL | head`: nobody reads on, which is no fault
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ValueError, OSError, ImportError) as error:
            if args.traceback:
                raise
            _say(_reason(error))
            return 2


def _say(text: str) -> None:
    who = f"spad (rank {rank})" if (rank := _rank()) else "spad"
    print(f"{who}: {text}", file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _show_warning(
    otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any
) -> None:
    """Show what the trainer wants said without the line of code that said it."""
    if category is UserWarning:
        _say(str(message))
    else:
        otherwise(message, category, *where)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spad",
        description="Segment retinal OCT B-scans by categorical diffusion. For research use only.",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Command
    )

    def command(run: Callable[[argparse.Namespace], int], text: str) -> _Command:
        name = run.__name__.removeprefix("_")
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        return one

    def later(name: str, module: str, text: str) -> None:
        one = commands.add_parser(name, help=text, description=text)
        one.name, one.module = name, module

    one = command(_train, "Train a model as a configuration file says.")
    one.add_argument("config", type=Path, metavar="CONFIG.toml")
    one.add_argument("overrides", nargs="*", metavar="key=value", help="replace single settings")
    one.add_argument("--out", type=Path, help="folder of the run (runs/CONFIG)")
    again = one.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the run in --out")
    again.add_argument(
        "--fresh", action="store_true", help="start anew; an old run in --out is renamed"
    )
    _add_device(one)

    one = command(_evaluate, "Score a model on a case folder.")
    _add_model(one)
    one.add_argument("cases", type=Path, metavar="CASES", help="a case folder")
    one.add_argument("--split", default="val", help="which split (val)")
    one.add_argument(
        "--map",
        nargs="+",
        metavar="CLASS=VALUES",
        help='the data set\'s values of each class: "SRF=1 PED=3 background=0,5 ignore=6"',
    )
    _add_sampling(one)
    one.add_argument("-o", "--out", type=Path, metavar="REPORT.json", help="write the scores here")

    experiments = "spad.train.experiment_commands"
    later("ablate", experiments, "Train the rows of SPAD's Table 3, or others, over seeds.")
    later("sweep", experiments, "Train with several values of a setting, over seeds.")

    later("tune", "spad.train.tune_command", "Find the cheapest sampling that loses nothing.")

    one = command(_segment, "Segment image files.")
    _add_model(one)
    one.add_argument("files", nargs="+", metavar="FILES", help="PNG, TIFF, JPEG, or folders")
    one.add_argument("-o", "--out", type=Path, required=True, help="folder of the results")
    _add_sampling(one)
    one.add_argument("--uncertainty", action="store_true", help="also write NAME.uncertainty.tif")
    one.add_argument("--overwrite", action="store_true", help="replace results that exist")

    one = command(_figures, "Draw a run's curve and rows of results, as PNG.")
    one.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a run")
    one.add_argument(
        "others", nargs="*", metavar="OTHER", help="runs or models that the rows show beside it"
    )
    one.add_argument("-o", "--out", type=Path, help="folder of the figures (RUN/figures)")
    one.add_argument("--cases", type=Path, help="a case folder (the run's validation cases)")
    one.add_argument("--split", default="val", help="which split of --cases (val)")
    one.add_argument("--images", type=_positive, default=4, metavar="N", help="rows (4)")
    _add_sampling(one)

    one = command(_info, "Print what a model says of itself.")
    _add_model(one)

    one = command(_phantom, "Write a case folder of procedural B-scans.")
    one.add_argument("out", type=Path, metavar="OUT")
    one.add_argument("--train", type=int, default=64, metavar="N", help="training cases (64)")
    one.add_argument("--val", type=int, default=16, metavar="N", help="validation cases (16)")
    one.add_argument(
        "--size", type=int, nargs=2, default=(256, 384), metavar=("H", "W"), help="(256 384)"
    )
    one.add_argument("--seed", type=int, default=0, help="another seed, other phantoms (0)")
    one.add_argument("--randomise", action="store_true", help="vary the looks widely")
    one.add_argument(
        "--raters", type=int, default=0, metavar="R", help="R people's readings, not the truth (0)"
    )

    later("import", "spad.train.imports.command", "Turn another data set into a case folder.")
    return parser


class _Command(argparse.ArgumentParser):
    """A command that may stand in a module of its own, which is loaded when it is asked for.

    The module has ``add_NAME(parser)`` and ``run_NAME(args)``.
    """

    name = module = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.module:
            body = importlib.import_module(self.module)
            getattr(body, f"add_{self.name}")(self)
            self.set_defaults(run=getattr(body, f"run_{self.name}"))
        return super().parse_known_args(args, namespace)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a checkpoint, or the name of a shipped one")


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=_positive, help="reverse steps of a chain (the model's)")
    parser.add_argument("--samples", type=_positive, help="chains (the model's)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def _train(args: argparse.Namespace) -> int:
    from spad.train.signals import stop_signals

    with stop_signals():  # from the first moment on: importing torch takes seconds
        return _train_until_stopped(args)


def _train_until_stopped(args: argparse.Namespace) -> int:
    from spad.train.config import load_config

    config = load_config(args.config, args.overrides)
    out = args.out or Path("runs") / args.config.stem
    from spad.train.loop import train

    first = _rank() == 0 and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if args.fresh and first and out.exists():
        numbers = itertools.count(1)
        kept = next(old for n in numbers if not (old := out.with_name(f"{out.name}.{n}")).exists())
        out.rename(kept)
        _say(f"what was in {out} is kept in {kept}")
    best = train(config, out, resume=args.resume, device=args.device)
    if _rank() == 0:
        print(best)
    return 0


def _rank() -> int:
    """Number of this process among those that torchrun has started; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def _evaluate(args: argparse.Namespace) -> int:
    from spad import checkpoint
    from spad.train import cases, evaluate, files
    from spad.train.mapping import model_mapping, parse_mapping

    path = _model(args.model)
    card = checkpoint.read_card(path)
    folder = cases.open_folder(args.cases)
    for text in folder.said:
        _say(text)
    stored = card.training.get("mapping")
    mapping = None
    if folder.names:  # else `check` says why, with all other faults
        mapping = model_mapping(
            folder,
            [one.name for one in card.classes],
            given=None if args.map is None else parse_mapping(args.map),
            stored=stored.get(folder.path.resolve().name) if isinstance(stored, Mapping) else None,
        )
    cases.check([folder], mapping, [args.split])

    import spad

    segmenter = spad.load(path, device=args.device)
    options = _sampling(args)
    report = evaluate.evaluate(
        lambda image: segmenter.segment(image, **options).labels,
        folder.splits[args.split],
        cases.class_table(folder.names, mapping),
        [one.name for one in card.classes],
        names=folder.names,
        progress=lambda done, total: print(
            f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True
        ),
    )
    print(report.markdown())
    if args.out is not None:
        content = {
            "model": {"name": card.name, "sha256": checkpoint.sha256(path)},
            "cases": {"folder": folder.path.name, "split": args.split, "mapping": mapping},
            "sampling": options,
            "notice": card.notice,
            **report.as_json(),
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(args.out, content)
    return 0


def _segment(args: argparse.Namespace) -> int:
    import spad
    from spad.train import batch

    path = _model(args.model)
    segmenter = spad.load(path, device=args.device)
    options = _sampling(args)

    def segment(image: NDArray[Any]) -> Segmentation:
        run = segmenter.steps(image, **options)
        while True:
            try:
                step = next(run)
            except StopIteration as stop:
                result: Segmentation = stop.value
                return result
            if step.said:
                _say(step.said)
            if sys.stderr.isatty():
                print(f"\r{step.done}/{step.total}\r", end="", file=sys.stderr, flush=True)

    failed = batch.segment_files(
        segment,
        args.files,
        args.out,
        uncertainty=args.uncertainty,
        overwrite=args.overwrite,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if failed:
        _say(f"{len(failed)} files failed: {', '.join(map(str, failed))}")
    return 1 if failed else 0


def _figures(args: argparse.Namespace) -> int:
    from spad.train.figures_command import figures

    return figures(args)


def _info(args: argparse.Namespace) -> int:
    from spad.checkpoint import read_card

    print(read_card(_model(args.model)).text())
    return 0


def _phantom(args: argparse.Namespace) -> int:
    from spad.phantom import CLASS_NAMES
    from spad.train.case_writer import write_folder
    from spad.train.phantom_cases import phantom_cases

    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ValueError(f"{args.out} exists and is not empty; choose another folder")
    made = phantom_cases(
        args.train,
        args.val,
        size=tuple(args.size),
        seed=args.seed,
        randomise=args.randomise,
        raters=args.raters,
    )
    count = write_folder(args.out, made, dict(enumerate(CLASS_NAMES)))
    of = f" ({args.raters} readings of each image)" if args.raters else ""
    print(f"{args.out}: {count} phantoms{of}")
    return 0


def _model(name: str) -> Path:
    """Path of a checkpoint that is given by path or by the name of a shipped one."""
    from spad.checkpoint import shipped

    path = Path(name)
    models = shipped()
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    if name not in models:
        near = difflib.get_close_matches(name, models, 1)
        hint = f"did you mean {near[0]}?" if near else f"shipped are: {', '.join(models) or 'none'}"
        raise ValueError(f"{name}: there is no such file and no such shipped model; {hint}")
    return models[name]


def _sampling(args: argparse.Namespace) -> dict[str, Any]:
    return {"samples": args.samples, "steps": args.steps, "seed": args.seed}


if __name__ == "__main__":
    sys.exit(main())
