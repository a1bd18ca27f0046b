"""What the perturbations cost of a training step, and how much of each structure a band covers.

    python benchmarks/perturbation.py cost training/configs/phantom.toml input.size="[256, 256]"
    python benchmarks/perturbation.py covered --size 256 256 --radii 1 2 3

Cost: medians of processor time on one thread, perturbations and steps in turn, so that a busy
minute hits both. Covered: share of each structure's pixels in the boundary band, on phantoms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import default_collate

from spad import phantom
from spad.chain.noise_schedule import cosine_schedule
from spad.train.config import load_config
from spad.train.data.samples import Samples
from spad.train.loop.events import Events
from spad.train.loop.preparation import prepare
from spad.train.loop.state import start
from spad.train.loop.update import Job, update, visited_times
from spad.train.method.bcd import boundary_band
from spad.train.method.perturbed_image import perturb
from spad.train.processes import ALONE, Stop


def cost(path: Path, words: list[str], repeats: int) -> None:
    """Print the median milliseconds of both."""
    config = load_config(path, words)
    prepared = prepare(config)
    card, s = prepared.card, config.schedule
    samples = Samples(config, prepared.training, [c.name for c in card.classes])
    run = start(config, card.classes, torch.device("cpu"))
    schedule = cosine_schedule(s.steps, s.offset, s.beta_max)
    job = Job(
        config=config,
        prepared=prepared,
        samples=samples,
        schedule=schedule,
        visited=visited_times(config, schedule),
        forward=run.forward,
        group=ALONE,
        device=torch.device("cpu"),
        state_file=Path("not saved"),
        stop=Stop(),
        events=Events(None, 0),
    )
    parts, steps = [], []
    for n in range(repeats + 1):
        first = n * config.optimiser.batch
        numbers = range(first, first + config.optimiser.batch)
        batch = default_collate([samples[i] for i in numbers])
        for _ in range(5):
            began = time.process_time()
            perturb(config.perturbation, batch, seed=config.seed, progress=0.1, epoch=1.0)
            parts.append(1e3 * (time.process_time() - began))
        began = time.process_time()
        update(run, job, batch)
        steps.append(1e3 * (time.process_time() - began))
    part, step = statistics.median(parts[5:]), statistics.median(steps[1:])
    low, high = np.percentile(parts[5:], (10, 90))
    print(
        f"{config.input.size}, batch {config.optimiser.batch}: perturb {part:.1f} ms (10-90 %: "
        f"{low:.1f}-{high:.1f}), step {step:.0f} ms, {100 * part / step:.2f} %"
    )


def covered(size: tuple[int, int], radii: list[int], images: int) -> None:
    """Print a table of shares in per cent."""
    made = [phantom.bscan(seed, shape=size).labels for seed in range(images)]
    labels = torch.from_numpy(np.stack(made))
    names = dict(list(enumerate(phantom.CLASS_NAMES))[1:])
    print(f"{images} phantoms of {size[0]} x {size[1]}: per cent of the pixels inside the band\n")
    print("| radius | " + " | ".join(names.values()) + " |\n" + "|---" * 6 + "|")
    for radius in radii:
        band = boundary_band(labels, radius)
        shares = [100 * band[labels == value].float().mean().item() for value in names]
        print(f"| {radius} | {' | '.join(f'{share:.0f}' for share in shares)} |")


def main() -> None:
    """Print one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("cost")
    one.add_argument("config", type=Path)
    one.add_argument("overrides", nargs="*", metavar="key=value")
    one.add_argument("--repeats", type=int, default=12)
    one = commands.add_parser("covered")
    one.add_argument("--size", type=int, nargs=2, default=(256, 256))
    one.add_argument("--radii", type=int, nargs="+", default=[1, 2, 3])
    one.add_argument("--images", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.command == "cost":
        cost(args.config, args.overrides, args.repeats)
    else:
        covered(tuple(args.size), args.radii, args.images)


if __name__ == "__main__":
    main()
