r"""SPAD and the plain U-Net of the same encoder, in the same time of training.

    python benchmarks/equal_time.py training/configs/oct_lesions_pretrained.toml KERMANY \
        --out runs/equal --seeds 0 1 2 --steps 300 --denoiser 10 50

For each seed: the U-Net, all steps; the U-Net for as many less as the denoiser gets, then the
denoiser on it, frozen. Everything else is the configuration's, or of the words after `--set`. Last
averaged weights, no rule of a card: the U-Net's label map is its most probable class, SPAD's that
of 8 chains of 2 uniform steps. Dice, HD95 (px), squared generalised energy distance, calibration
error of the most probable class, over all pixels and along contours, and minutes of processor time.
What is there is not trained again.
`--dynunet STEPS` adds nnU-Net's network as MONAI has it, from random weights, for so many steps of
the same cases: give it as many as take the time of the U-Net and of what that began with.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import spad
from spad.cases import open_folder
from spad.chain import cosine_schedule, step_times
from spad.commands.command_line import main as command
from spad.commands.options import mapping_of
from spad.train.data import class_table
from spad.train.tune import Bench, scans_of
from spad.train.tune.measurements import Summary
from spad.train.tune.settings import Setting

_STEPS, _SAMPLES = 2, 8
_COLUMNS = {
    "pooled": "dice",
    "per image": "dice_per_image",
    "HD95": "hd95",
    "GED²": "energy",
    "ECE": "ece",
    "ECE, contours": "ece_band",
}


def main() -> None:
    """Train what is missing, score all, print a table a seed and the paired differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--denoiser", type=int, nargs="+", default=[50], metavar="STEPS")
    parser.add_argument("--dynunet", type=int, default=0, metavar="STEPS")
    parser.add_argument("--set", nargs="*", default=[], metavar="WORD", help="of every training")
    args = parser.parse_args()
    found: dict[str, list[list[float]]] = {}
    for seed in args.seeds:
        for name, run in arms(args, seed).items():
            one = measured(run, args.cases)
            minutes = sum(float(f.read_text()) for f in run.parent.glob(f"{run.name}*.minutes"))
            row = [*(getattr(one, column) for column in _COLUMNS.values()), minutes]
            found.setdefault(name, []).append(row)
    print("| seed | arm | " + " | ".join(_COLUMNS) + " | minutes |")
    print("|---" * (len(_COLUMNS) + 3) + "|")
    for place, seed in enumerate(args.seeds):
        for name, rows in found.items():
            print(f"| {seed} | {name} | " + " | ".join(f"{v:.4g}" for v in rows[place]) + " |")
    unet = found["U-Net"]
    for name, rows in list(found.items())[1:]:
        less = [
            [a - b for a, b in zip(one, two, strict=True)]
            for one, two in zip(rows, unet, strict=True)
        ]
        print(f"| | {name} less U-Net | " + " | ".join(map(spread, zip(*less, strict=True))) + " |")


def arms(args: argparse.Namespace, seed: int) -> dict[str, Path]:
    """Runs by arm, trained."""
    runs = {"U-Net": args.out / f"unet-{seed}"}
    train(args, runs["U-Net"], seed, args.steps, [])
    for number in args.denoiser:
        first, run = (args.out / f"spad-{number}-{seed}{part}" for part in (".first", ""))
        train(args, first, seed, args.steps - number, [])
        model = str((first / "latest.safetensors").resolve())
        words = ("method=spad", f"init={model}", "optimiser.freeze_encoder=true")
        loss = ("loss.at_T=0", "loss.recycled=0.5", f"sampling.steps={_STEPS}")
        short = (f"optimiser.warmup={max(1, number // 10)}", "optimiser.ema=0.95")
        train(args, run, seed, number, [*words, *loss, *short])
        runs[f"SPAD, {number} of them the denoiser's"] = run
    if args.dynunet:
        runs["DynUNet"] = args.out / f"dynunet-{seed}"
        own = ["network.kind=dynunet", "network.encoder=own", "optimiser.encoder_factor=1"]
        train(args, runs["DynUNet"], seed, args.dynunet, [*own, "init="])
    return runs


def train(args: argparse.Namespace, run: Path, seed: int, steps: int, words: list[str]) -> None:
    """Train a run that is not there."""
    if (run / "latest.safetensors").exists():
        return
    own = [f"seed={seed}", f"optimiser.steps={steps}", f"validation.every={steps}"]
    began = time.process_time()
    command(["train", str(args.config), "--out", str(run), *args.set, *own, "method=unet", *words])
    minutes = (time.process_time() - began) / 60
    run.with_name(run.name + ".minutes").write_text(f"{minutes:.3f}")


def measured(run: Path, cases: Path) -> Summary:
    """The scores of its last weights on the validation images."""
    model = run / "latest.safetensors"
    card = spad.load(model).card
    folder = open_folder(cases)
    table = class_table(folder.names, mapping_of(folder, card))
    bench = Bench(model, table, folder.names, run / "measured.jsonl")
    bench.card = replace(card, sampling=replace(card.sampling, odds=None, peak=None, mirrored=None))
    chain = cosine_schedule(card.schedule.steps, card.schedule.offset, card.schedule.beta_max)
    setting = Setting(tuple(step_times(chain, _STEPS, "uniform")), _SAMPLES, 1.0)
    scans = scans_of(folder.splits["val"])
    bench.measure(setting, scans)
    return bench.summary(setting, scans)


def spread(values: tuple[float, ...]) -> str:
    """Mean and standard deviation."""
    if len(values) == 1:
        return f"{values[0]:+.4f}"
    return f"{statistics.fmean(values):+.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    main()
