"""``spad import``: another data set becomes a case folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spad.commands.options import seed
from spad.train.imports import STATED

__all__ = ["add_arguments", "run"]

_CXRS = f"""\
SRC holds images/NAME.png and masks, arranged in one of three ways (found automatically):
  masks/NAME.png               indexed; labels.json beside: {{"1": "heart", ...}}
  masks/NAME/<structure>.png   binary: 0 and one other value
  masks/<structure>/NAME.png   binary

Where binary masks overlap, the later in the priority wins. By default (words of the
structures' names; within a group by name):
  {STATED.replace(" < ", " <" + chr(10) + "  ")}
"""

_HINTS = {
    "amd-sd": "Cite Hu et al., Scientific Data 11:1014 (2024), doi:10.1038/s41597-024-03844-6. The "
    "article is CC BY 4.0; the archive states its own licence. Write both into the configuration "
    "(data.licence, data.source).",
    "duke": "Cite Chiu et al., Biomedical Optics Express 6:1172 (2015), doi:10.1364/BOE.6.001172. "
    "Duke states no licence; ask before you publish weights that have seen these images.",
    "oct5k": "Cite Arikan et al., Scientific Data 12:267 (2025), doi:10.1038/s41597-024-04259-z. "
    "Write its licence and source into the configuration (data.licence, data.source).",
    "retouch": "Cite Bogunovic et al., IEEE TMI 38:1858 (2019), doi:10.1109/TMI.2019.2901398. The "
    "terms that you accepted for the download hold for what you train on it.",
    "cxrs": "Write the data's licence and source into the configuration (data.licence, .source).",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one command a data set."""
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")

    one = _format(formats, "amd-sd", "AMD-SD: B-scan left, colour mask right, in one file")
    one.add_argument(
        "--split",
        choices=("official", "random"),
        help="training.txt and validation.txt, or 80/20 of the patients (the lists, if there)",
    )
    one.add_argument("--seed", type=seed, default=0, help="of the random split (0)")

    one = _format(formats, "duke", "Duke's macular oedema: Subject_NN.mat, fluid and layers")
    one.add_argument(
        "--structures",
        choices=("fluid", "layers"),
        default="fluid",
        help="the fluid alone (fluid), or the layers with the fluid over them",
    )
    one.add_argument("--reader", type=int, choices=(1, 2), default=1, help="whose outlines (1)")
    one.add_argument("--seed", type=seed, default=0, help="of the split 80/20 by patient (0)")

    one = _format(formats, "oct5k", "OCT5k: layers, outlined by three graders")
    one.add_argument("--grading", type=int, choices=(1, 2, 3), default=1, help="whose outlines (1)")
    one.add_argument("--seed", type=seed, default=0, help="of the split 80/20 by patient (0)")

    one = _format(formats, "retouch", "RETOUCH: volumes of three devices with three fluids")
    one.add_argument("--seed", type=seed, default=0, help="of the split 80/20 by volume (0)")

    one = _format(formats, "cxrs", "radiographs with binary or indexed masks of many structures")
    one.formatter_class = argparse.RawDescriptionHelpFormatter
    one.epilog = _CXRS
    one.add_argument(
        "--priority",
        type=lambda text: tuple(filter(None, map(str.strip, text.split(",")))),
        default=(),
        metavar="A,B,C",
        help="names, or words such as rib, that win over all others; the last wins most",
    )
    one.add_argument(
        "--patient-from",
        metavar="REGEX",
        help="the patient in a file's name, in parentheses: '^([^_-]+)' (each image a patient)",
    )
    one.add_argument(
        "--missing",
        choices=("absent", "unannotated"),
        default="absent",
        help="what a structure without a mask is (absent)",
    )
    one.add_argument("--seed", type=seed, default=0, help="of the split 7:1:2 by patient (0)")


def _format(formats: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    one: argparse.ArgumentParser = formats.add_parser(name, help=text, description=text)
    one.add_argument("src", type=Path, metavar="SRC", help="the data set's folder")
    one.add_argument("dst", type=Path, metavar="DST", help="the new case folder")
    return one


def run(args: argparse.Namespace) -> int:
    """Import a data set and print what was found."""
    from spad.train import imports

    common = {"seed": args.seed, "progress": _progress}
    epochs = 0  # of the paper, for its data sets
    if args.format == "amd-sd":
        report = imports.amd_sd.import_amd_sd(args.src, args.dst, split=args.split, **common)
        epochs, batch = imports.amd_sd.EPOCHS, imports.amd_sd.BATCH
    elif args.format == "duke":
        report = imports.duke.import_duke(
            args.src, args.dst, structures=args.structures, reader=args.reader, **common
        )
    elif args.format == "oct5k":
        report = imports.oct5k.import_oct5k(args.src, args.dst, grading=args.grading, **common)
    elif args.format == "retouch":
        report = imports.retouch.import_retouch(args.src, args.dst, **common)
    else:
        report = imports.cxrs.import_cxrs(
            args.src,
            args.dst,
            priority=args.priority,
            patient_from=args.patient_from,
            unannotated=args.missing == "unannotated",
            **common,
        )
        epochs, batch = imports.cxrs.EPOCHS, imports.cxrs.BATCH
    print(f"{args.dst}: {args.format}")
    print(report.text())
    if epochs:
        steps = report.steps(epochs, batch)
        print(f"the paper's {epochs} epochs at batch {batch}: optimiser.steps={steps}")
    print(_HINTS[args.format])
    return 0


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"\r{what} {done}/{total}", end="\n" if done == total else "", file=sys.stderr)
