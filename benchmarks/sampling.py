"""What a segmentation costs beside one pass of nnU-Net's network, and beside CCDM's chain.

    python benchmarks/sampling.py --out sampling.json

At each size, in one run: (1) one pass of MONAI's ``DynUNet`` in nnU-Net's 2-D configuration (32 to
512 channels, levels down to 4 x 4 pixels, instance norms; in the faster of two memory layouts) and
of ``BasicUNet``; (2) one sample of CCDM's network (``concat``) in 250 steps, of which a few are
timed and multiplied; (3) ours, a preview, 1 sample and 8 at the model's setting. (1) and (2) are
passes of bare networks, (3) is all of ``Segmenter.segment``: image in, label maps and uncertainty
out. All take turns, round by round; figures are medians over the rounds with the least and the
greatest beside them, ratios are taken within a round. Time does not depend on the weights: all but
ours are random. At last, which operations our time goes to, by torch's profiler.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import BasicUNet, DynUNet
from timing import interleaved, spread, text
from torch.profiler import ProfilerActivity, profile

import spad
import spad.inference.model
import spad.network.device
from spad import phantom
from spad.checkpoint.card import InputConfig, NetworkConfig
from spad.inference.segmenter import Segmenter
from spad.network import build

CCDM_STEPS = 250
GOALS = {"8 samples : DynUNet": 1.0, "preview : DynUNet": 0.3, "CCDM : 1 sample": 500}


def dynunet(size: int, classes: int) -> DynUNet:
    """nnU-Net's 2-D configuration for images of a size: halved until 4 pixels are left."""
    levels = max(3, size.bit_length() - 2)
    return DynUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=classes,
        kernel_size=[3] * levels,
        strides=[1, *[2] * (levels - 1)],
        upsample_kernel_size=[2] * (levels - 1),
        filters=[min(32 * 2**level, 512) for level in range(levels)],
        norm_name=("INSTANCE", {"affine": True}),
    )


def works(
    size: int, args: argparse.Namespace, shipped: Segmenter, autocast: Callable[..., Any]
) -> dict[str, Callable[[], Any]]:
    """All that is compared at a size."""
    device, classes = shipped.device, len(shipped.card.classes)
    card = dataclasses.replace(shipped.card, input=InputConfig(size=(size, size)))
    ours = Segmenter(card, shipped._model.network, device)
    image = phantom.bscan(seed=0, shape=(size, size)).image
    x = torch.randn(1, 1, size, size).to(device)

    def bare(network: torch.nn.Module, layout: torch.memory_format) -> Callable[[], Any]:
        network = network.eval().to(device, memory_format=layout)
        given = x.to(memory_format=layout)

        def run() -> None:
            with torch.inference_mode(), autocast(device):
                network(given)

        return run

    ccdm = build(NetworkConfig(kind="concat", widths=(32, 32, 64, 64, 128, 128)), classes, None)
    ccdm = ccdm.eval().to(device)
    noise = torch.randint(classes, (1, 1, size, size), dtype=torch.uint8, device=device)

    def ccdm_steps() -> None:
        with torch.inference_mode(), autocast(device):
            condition = ccdm.encode(x)
            for _ in range(args.ccdm_steps):
                ccdm.denoise(noise, torch.ones(1, device=device), condition)

    net = dynunet(size, classes)
    return {
        "DynUNet, planes": bare(net, torch.contiguous_format),
        "DynUNet, channels last": bare(dynunet(size, classes), torch.channels_last),
        "BasicUNet": bare(BasicUNet(2, 1, classes), torch.channels_last),
        "CCDM": ccdm_steps,
        "preview": lambda: ours.segment(image, samples=1, steps=1),
        "1 sample": lambda: ours.segment(image, samples=1),
        "8 samples": lambda: ours.segment(image, samples=8),
    }


def measure(
    size: int, args: argparse.Namespace, shipped: Segmenter, autocast: Callable[..., Any]
) -> dict[str, Any]:
    """One table."""
    spad.inference.model.autocast = autocast  # that of the networks beside it
    todo = works(size, args, shipped, autocast)
    timed = interleaved(todo, args.rounds, shipped.device)
    both = [timed.pop(f"DynUNet, {layout}") for layout in ("planes", "channels last")]
    timed = {"DynUNet": min(both, key=statistics.median), **timed}
    timed["CCDM"] = [s / args.ccdm_steps * CCDM_STEPS for s in timed["CCDM"]]
    ratios = {
        f"{one} : {other}": spread([a / b for a, b in zip(timed[one], timed[other], strict=True)])
        for one, other in (key.split(" : ") for key in GOALS)
    }
    with profile(activities=[ProfilerActivity.CPU]) as kept:
        todo["8 samples"]()
    events = sorted(kept.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(e.self_cpu_time_total for e in events)
    shares = {e.key.removeprefix("aten::"): e.self_cpu_time_total / total for e in events[:8]}
    return {
        "seconds": {name: spread(values) for name, values in timed.items()},
        "ratios": ratios,
        "operations": shares,
    }


def main() -> None:
    """Print the tables and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="oct-phantom")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ccdm-steps", type=int, default=2, help="timed, of 250")
    parser.add_argument("--threads", type=int, help="of torch (its own choice)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    shipped = spad.load(args.model, device=args.device)
    precisions = {"float32": lambda device: nullcontext()}
    with spad.network.device.autocast(shipped.device) as used:
        if used.fast_dtype == torch.bfloat16 and torch.is_autocast_enabled(shipped.device.type):
            precisions = {"bfloat16": spad.network.device.autocast, **precisions}
    sampling = shipped.card.sampling
    print(
        f"{args.model}: {sampling.steps} steps, {sampling.grid} grid; {platform.machine()}, "
        f"{shipped.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{args.rounds} rounds; CCDM: {args.ccdm_steps} of {CCDM_STEPS} steps timed"
    )
    result: dict[str, Any] = {
        "model": args.model,
        "sampling": dataclasses.asdict(sampling),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": str(shipped.device),
        "rounds": args.rounds,
        "tables": {},
    }
    for precision, autocast in precisions.items():
        for size in args.sizes:
            table = measure(size, args, shipped, autocast)
            result["tables"][f"{size}, {precision}"] = table
            print(f"\n{size} x {size}, {precision}\n\n| | seconds |\n|---|---|")
            for name, values in table["seconds"].items():
                print(f"| {name} | {text(values)} |")
            for name, values in table["ratios"].items():
                limit = "at least" if name.startswith("CCDM") else "at most"
                print(f"\n{name} = {text(values)} (goal: {limit} {GOALS[name]:g})")
            shares = ", ".join(f"{k} {v:.0%}" for k, v in table["operations"].items())
            print(f"\n8 samples: {shares}")
            if args.out:
                args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
