"""Make a trained model a shipped one: its scores, and a plain U-Net's, go into the card.

    spad evaluate runs/oct-phantom/best.safetensors runs/phantom -o spad.json
    spad evaluate runs/oct-phantom-unet/best.safetensors runs/phantom -o unet.json
    python benchmarks/ship.py runs/oct-phantom/best.safetensors spad.json unet.json \
        --commands "spad train training/configs/phantom.toml --out runs/oct-phantom"

Writes ``training/spad/checkpoint/models/NAME.safetensors`` in half precision.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from spad import checkpoint


def short(path: Path) -> dict[str, Any]:
    """Scores of a report by ``spad evaluate -o``, rounded, for a card."""
    report = json.loads(path.read_text("utf-8"))
    rows = [*report["structures"], report["mean"]]
    out: dict[str, Any] = {"images": report["images"], "patients": report["patients"]}
    for name, key in (("pooled Dice", "dice_pooled"), ("per-image Dice", "dice_per_image")):
        out[name] = {r["name"]: r[key]["value"] and round(r[key]["value"], 3) for r in rows}
    return out


def main() -> None:
    """Write the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("report", type=Path, help="of the model")
    parser.add_argument("unet", type=Path, help="report of the plain U-Net")
    parser.add_argument("--commands", nargs="+", default=[], help="that made it, for the card")
    parser.add_argument("--to", type=Path, default=Path("training/spad/checkpoint/models"))
    args = parser.parse_args()
    card, tensors = checkpoint.load(args.model)
    scores = {"validation": short(args.report), "plain U-Net, same steps": short(args.unet)}
    training = {**card.training, "commands": args.commands}
    args.to.mkdir(parents=True, exist_ok=True)
    target = args.to / f"{card.name}.safetensors"
    checkpoint.save(target, replace(card, scores=scores, training=training), tensors)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
