"""What a training step costs: the networks beside each other, the perturbations, waiting for data.

    python benchmarks/training.py --size 128 192 --batch 2 --threads 1 --out training.json

Four tables, all of one run, with random weights and phantoms. All that is compared takes turns,
round by round, so that a busy minute hits all alike; figures are medians over the rounds, with the
least and the greatest beside them.

1. Images a second of a training step (forward, backward, optimiser) of each network.
2. The share of a step that the perturbations take, timed on the same batches.
3. The share of a run's time that passes waiting for data, with workers.
4. Table 4 of the paper: a training epoch of ``--epoch`` images, and inference an image. The 250
   steps of ``concat`` are a few steps timed and multiplied.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import interleaved, seconds, spread, text

from spad import phantom
from spad.chain.noise_schedule import cosine_schedule
from spad.checkpoint.card import Card, InputConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.inference.segmenter import Segmenter
from spad.network import build
from spad.network.device import pick_device
from spad.train.config import Config, load_config
from spad.train.data import write_folder
from spad.train.data.phantoms import phantom_cases
from spad.train.data.samples import Samples, batches
from spad.train.loop.preparation import prepare
from spad.train.loop.state import Run, start
from spad.train.method.loss import loss_terms
from spad.train.method.perturbed_image import Batch, perturb

KINDS = ("cached", "concat", "unet", "dynunet")
CLASSES = label_classes(phantom.CLASS_NAMES)
FEW_STEPS = 2  # of concat's chain, timed


def settings(folder: Path, kind: str, args: argparse.Namespace, *words: str) -> Config:
    """The configuration of a kind of network on the benchmark's cases."""
    plain = kind in ("unet", "dynunet")
    path = folder / "benchmark.toml"
    path.write_text('name = "benchmark"\n[data]\nfolders = ["cases"]\n', "utf-8")
    return load_config(
        path,
        [
            f"method={'unet' if plain else 'spad'}",
            f"network.kind={kind}",
            f"input.size=[{args.size[0]}, {args.size[1]}]",
            f"optimiser.batch={args.batch}",
            *words,
        ],
    )


def training_step(config: Config, run: Run, batch: Batch, device: torch.device) -> None:
    """Forward, backward and the optimiser's update on images as they are."""
    s = config.schedule
    terms = loss_terms(
        run.network,
        cosine_schedule(s.steps, s.offset, s.beta_max),
        config.loss,
        batch["image"],
        batch["labels"],
        seed=0,
        numbers=batch["number"].tolist(),
        forward=run.forward,
    )
    torch.stack(list(terms.values())).sum().backward()
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)


def segmenter_of(config: Config, device: torch.device) -> Segmenter:
    """A model of random weights: a time does not depend on them."""
    card = Card(
        name="benchmark",
        classes=CLASSES,
        network=config.network,
        schedule=ScheduleConfig(),
        input=InputConfig(size=config.input.size),
        sampling=SamplingConfig(),
    )
    return Segmenter(card, build(config.network, len(CLASSES), None), device)


def waiting(folder: Path, args: argparse.Namespace, device: torch.device) -> list[float]:
    """Shares of the time between steps that pass waiting for a batch, one a round."""
    count = args.data_steps * args.rounds
    config = settings(
        folder, "cached", args, f"optimiser.steps={count + 2}", f"data.workers={args.workers}"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare(config)
    samples = Samples(config, prepared.training, [c.name for c in prepared.card.classes])
    run, shares = start(config, prepared.card.classes, device), []
    arriving = batches(samples, config, 0, device)
    for _ in range(2):  # the workers' start and torch's warm-up are paid once a run
        training_step(config, run, on(next(arriving), device), device)
    for _ in range(args.rounds):
        waited = worked = 0.0
        for _ in range(args.data_steps):
            began = time.perf_counter()
            batch = on(next(arriving), device)
            waited += time.perf_counter() - began
            worked += seconds(lambda: training_step(config, run, batch, device), device)  # noqa: B023
        shares.append(waited / (waited + worked))
    return shares


def on(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device."""
    return {name: x.to(device) for name, x in batch.items()}


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All figures, as JSON values."""
    device = pick_device(args.device)
    configs = {kind: settings(folder, kind, args) for kind in KINDS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the few cases of a benchmark
        prepared = prepare(configs["cached"])
        runs = {kind: start(config, CLASSES, device) for kind, config in configs.items()}
    samples = Samples(configs["cached"], prepared.training, [c.name for c in CLASSES])
    words = ("data.workers=0", "optimiser.steps=1")
    batch = on(next(batches(samples, settings(folder, "cached", args, *words), 0, device)), device)

    def perturbation() -> None:
        perturb(configs["cached"].perturbation, batch, seed=0, progress=0.01, epoch=0)

    works: dict[str, Callable[[], Any]] = {
        kind: lambda kind=kind: training_step(configs[kind], runs[kind], batch, device)
        for kind in KINDS
    }
    timed = interleaved({**works, "perturb": perturbation}, args.rounds, device)
    pairs = zip(timed["cached"], timed["concat"], strict=True)
    ratio = spread([concat / cached for cached, concat in pairs])
    shares = {
        kind: spread(
            [p / (p + step) for p, step in zip(timed["perturb"], timed[kind], strict=True)]
        )
        for kind in ("cached", "concat")
    }

    image = phantom.bscan(0, shape=tuple(args.size)).image
    models = {kind: segmenter_of(config, device) for kind, config in configs.items()}
    uses = {
        "cached, 1 sample": ("cached", {"samples": 1}),
        "cached, 8 samples": ("cached", {"samples": 8}),
        "concat, 1 sample": ("concat", {"samples": 1, "steps": FEW_STEPS}),
        "unet": ("unet", {}),
        "dynunet": ("dynunet", {}),
    }
    used = interleaved(
        {
            name: lambda kind=kind, options=options: models[kind].segment(image, **options)
            for name, (kind, options) in uses.items()
        },
        args.rounds,
        device,
    )
    steps = configs["concat"].schedule.steps
    used["concat, 1 sample"] = [s / FEW_STEPS * steps for s in used["concat, 1 sample"]]
    return {
        "size": args.size,
        "batch": args.batch,
        "threads": torch.get_num_threads(),
        "rounds": args.rounds,
        "device": str(device),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "images a second": {k: spread([args.batch / s for s in timed[k]]) for k in KINDS},
        "cached : concat": ratio,
        "share of the perturbations": shares,
        "share of waiting": {"workers": args.workers, **spread(waiting(folder, args, device))},
        "epoch": {k: spread([s / args.batch * args.epoch for s in timed[k]]) for k in KINDS},
        "images of an epoch": args.epoch,
        "inference": {name: spread(values) for name, values in used.items()},
        "concat's steps": {"timed": FEW_STEPS, "multiplied to": steps},
        "cached's steps": models["cached"].card.sampling.steps,
    }


def show(r: dict[str, Any]) -> None:
    """Print the tables."""
    h, w = r["size"]
    print(
        f"{h} x {w}, batch {r['batch']}, {r['threads']} threads on {r['device']}, load "
        f"{r['load']}; "
        f"median of {r['rounds']} rounds (least to greatest)\n"
    )
    print("| training step | images / s |\n|---|---|")
    for kind, values in r["images a second"].items():
        print(f"| {kind} | {text(values)} |")
    print(f"\ncached : concat = {text(r['cached : concat'], '{:.2f}')} (goal: 3 or more)")
    for kind, values in r["share of the perturbations"].items():
        print(
            f"perturbations, share of a step of {kind}: {text(values, '{:.2%}')} (goal: under 2 %)"
        )
    waited = r["share of waiting"]
    print(
        f"waiting for data, cached, {waited['workers']} workers: {text(waited, '{:.2%}')} (goal: "
        "under 3 %)\n"
    )
    use = r["cached's steps"]
    few, steps = r["concat's steps"].values()
    print(f"| | training, s an epoch of {r['images of an epoch']} images | inference, s an image |")
    print("|---|---|---|")
    for name, values in r["inference"].items():
        kind = name.partition(",")[0]
        print(f"| {name} | {text(r['epoch'][kind])} | {text(values)} |")
    print(
        f"\ncached: {use} steps. concat: {few} steps timed and multiplied to "
        f"{steps}. unet, dynunet: one pass."
    )


def main() -> None:
    """Print the tables and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=[64, 96], help="rows, columns")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cases", type=int, default=12, help="phantoms to train on")
    parser.add_argument("--data-steps", type=int, default=4, help="steps of a round with workers")
    parser.add_argument("--epoch", type=int, default=1000, help="images of an epoch, for table 4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = phantom_cases(args.cases, 2, size=tuple(args.size))
        write_folder(folder / "cases", cases, dict(enumerate(phantom.CLASS_NAMES)))
        result = measure(folder, args)
    show(result)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
