"""Parameters and multiply-adds of the networks of Table 1, beside what their papers state.

    python benchmarks/compare.py                        # the papers' 224 x 224, nine classes
    python benchmarks/compare.py --size 256 256 --classes 6

Nothing is computed: the networks are run on tensors without memory, and what would be multiplied
and added in convolutions, linear layers and attention is counted. The sums of the deformable and
the standardised convolutions' own samples and norms are not, nor are norms and activations.
"""

from __future__ import annotations

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from spad.checkpoint import NetworkConfig
from spad.network import Network, build
from spad.train.config import KINDS

PAPERS = {
    "swin-unet": "27.17 M",
    "trans-unet": "105.28 M",
    "msa": "of which 89.67 M are SAM's own encoder",
    "d-lka": "another encoder (MaxViT)",
    "dsc-amp": "not known",
}
ORDER = (
    "unet",
    "swin-unet",
    "trans-unet",
    "msa",
    "d-lka",
    "dsc-amp",
    "concat",
    "cached",
    "dynunet",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--classes", type=int, default=9)
    args = parser.parse_args()
    print(
        f"| kind | parameters, M | multiply-adds at {args.size[0]}x{args.size[1]}, G | its paper |"
    )
    print("|---|---|---|---|")
    for kind in ORDER:
        shape = KINDS.get(kind, {}).get("network", {})
        with torch.device("meta"):
            network = build(NetworkConfig(kind=kind, **shape), args.classes, None).eval()
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        count = multiply_adds(network, (args.size[0], args.size[1])) / 1e9
        said = PAPERS.get(kind, "")
        once = " (one pass of one step)" if network.diffuses else ""
        print(f"| {kind} | {parameters:.2f} | {count:.2f}{once} | {said} |", flush=True)


def multiply_adds(network: Network, size: tuple[int, int]) -> float:
    """Of one image; of a network that diffuses, encoding it and one step of one sample."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        condition = network.encode(torch.zeros(1, 1, *size))
        if network.diffuses:
            x_t = torch.zeros(1, 1, *size, dtype=torch.uint8)
            network.denoise(x_t, torch.ones(1), condition)
    return counter.get_total_flops() / 2


if __name__ == "__main__":
    main()
