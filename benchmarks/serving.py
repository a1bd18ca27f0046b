"""What a server costs over a local run: B-scans of 512 x 512 on loopback, both ways in turn.

    python benchmarks/serving.py --bscans 1 --repeats 5
    python benchmarks/serving.py --bscans 128 --steps 1 --samples 1 --repeats 1

Both run in processes of their own at their usual niceness, on the CPU, so that what is compared is
the server and the line; `bit for bit` says that both gave the same. Beside the clock stands the
processor time of all processes together, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any

import numpy as np
import psutil


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bscans", type=int, default=1)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--samples", type=int, default=None, help="the card's")
    parser.add_argument("--steps", type=int, default=None, help="the card's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="oct-phantom", help="shipped, or a file")
    args = parser.parse_args()
    from spad.phantom import stack

    depth = min(args.bscans, 8)  # drawn once, the rest with other noise
    few = stack(1, shape=(depth, args.size, args.size)).image
    noise = np.random.default_rng(0).integers(0, 6, (args.bscans, args.size, args.size))
    image = np.minimum(few[np.arange(args.bscans) % depth] + noise, 255).astype(np.uint8)
    image = image[0] if args.bscans == 1 else image
    options = {"samples": args.samples, "steps": args.steps}
    port = _free_port()
    command = [sys.executable, "-m", "spad", "serve", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        _measure(args, image, options, f"http://127.0.0.1:{port}", server.pid)
    finally:
        server.terminate()
        server.wait(20)


def _measure(args: Any, image: Any, options: dict[str, Any], url: str, server: int) -> None:
    import spad

    here, there = spad.load(args.model, device="cpu"), spad.load(args.model, device=url)
    first = [model.segment(_first(image), **options) for model in (here, there)]  # both are warm
    same = np.array_equal(first[0].samples, first[1].samples)
    front = psutil.Process(server)
    processes = [psutil.Process(), front, *front.children(recursive=True)]
    ratios, costs = [], []
    for number in range(args.repeats):
        pair = {}
        for name in ("here", "there") if number % 2 == 0 else ("there", "here"):
            began, spent = time.perf_counter(), _spent(processes)
            made = (here if name == "here" else there).segment(image, **options)
            pair[name] = time.perf_counter() - began, made, _spent(processes) - spent
        same &= np.array_equal(pair["here"][1].samples, pair["there"][1].samples)
        same &= np.array_equal(pair["here"][1].uncertainty, pair["there"][1].uncertainty)
        ratios.append(pair["there"][0] / pair["here"][0])
        costs.append(pair["there"][2] / pair["here"][2])
        told = (f"{name} {took:.2f} s ({cpu:.2f} s of processors)" for name, (took, _, cpu) in
                pair.items())  # fmt: skip
        print(f"  {', '.join(told)}", flush=True)
    print(
        f"{args.bscans} B-scans of {args.size} x {args.size}, "
        f"{made.provenance['samples']} samples, "
        f"{made.provenance['steps']} steps: ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}), of processor time "
        f"{statistics.median(costs):.3f} ({min(costs):.3f} to {max(costs):.3f}), "
        f"{'' if same else 'NOT '}bit for bit"
    )


def _spent(processes: list[psutil.Process]) -> float:
    """Processor time of all of them until now, in seconds."""
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def _first(image: Any) -> Any:
    return image if image.ndim == 2 else image[:1]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    main()
