"""A cohort on two worker processes: its pace against one process, its memory over many files.

    python benchmarks/cohort.py pace --rounds 5 --files 16
    python benchmarks/cohort.py memory --files 10000

`pace`: the same phantoms by `oct-phantom`, in this process and by `--workers`, in turns; seconds
of each and their ratio, and the same of the processor time of all processes together, which a busy
machine disturbs less. What both wrote is compared to the byte. `memory`: files of 32 x 48 pixels
by a tiny untrained model; a worker is killed half-way; resident memory of this process (with
Dask's scheduler) and of the workers as it goes.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from spad.checkpoint import (
    Card,
    InputConfig,
    NetworkConfig,
    SamplingConfig,
    ScheduleConfig,
    label_classes,
    save,
    sha256,
    shipped,
)
from spad.cohort import (
    SegmentJob,
    cluster,
    handed_out,
    on_all,
    ready_to_segment,
    segment_file,
)
from spad.network import build
from spad.phantom import bscan


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("pace", "memory"))
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cluster(args.workers, None) as client:
        (pace if args.what == "pace" else memory)(args, Path(folder), client)


def pace(args: argparse.Namespace, folder: Path, client: Any) -> None:
    """One process and several, in turns."""
    images = folder / "images"
    images.mkdir()
    for number in range(args.files):
        Image.fromarray(bscan(number).image).save(images / f"{number}.png")
    files = sorted(map(str, images.iterdir()))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // args.workers))
    processes = [psutil.Process(pid) for pid in (os.getpid(), *client.run(os.getpid).values())]
    ratios, costs = [], []
    for number in range(-1, args.rounds):  # the first one warms up
        one = job_in(folder / f"one{number}", shipped()["oct-phantom"])
        many = job_in(folder / f"many{number}", shipped()["oct-phantom"])
        on_all(client, ready_to_segment, many)
        began, spent = time.perf_counter(), _spent(processes)
        for file in files:
            assert segment_file(one, file).state == "done"
        alone, cost_alone = time.perf_counter() - began, _spent(processes) - spent
        began, spent = time.perf_counter(), _spent(processes)
        states = {o.state for _, o in handed_out(client, segment_file, ((f, many) for f in files))}
        together, cost = time.perf_counter() - began, _spent(processes) - spent
        assert states == {"done"}
        same = all(
            (Path(one.out) / f"{Path(f).stem}.png").read_bytes()
            == (Path(many.out) / f"{Path(f).stem}.png").read_bytes()
            for f in files
        )
        if number >= 0:
            ratios.append(alone / together)
            costs.append(cost / cost_alone)
            print(
                f"round {number}: one process {alone:.1f} s, {args.workers} workers "
                f"{together:.1f} s, ratio {ratios[-1]:.2f}; of processors {cost_alone:.1f} and "
                f"{cost:.1f} s, ratio {costs[-1]:.2f}; equal to the byte: {same}",
                flush=True,
            )
    for what, of in (("faster", ratios), ("processor time", costs)):
        print(f"{what}: median {statistics.median(of):.2f}, {min(of):.2f} to {max(of):.2f}")


def _spent(processes: list[psutil.Process]) -> float:
    """Processor time of all of them until now, in seconds."""
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def memory(args: argparse.Namespace, folder: Path, client: Any) -> None:
    """Many tiny files; what each process holds meanwhile."""
    model = folder / "tiny.safetensors"
    save_tiny(model)
    images = folder / "images"
    images.mkdir()
    for number in range(args.files):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 48), np.uint8)
        Image.fromarray(pixels).save(images / f"{number:05}.png")
    job = job_in(folder / "out", model)
    on_all(client, ready_to_segment, job)
    began, counts = time.perf_counter(), {"done": 0, "skipped": 0, "failed": 0}
    every = max(1, args.files // 10)
    work = ((str(path), job) for path in sorted(images.iterdir()))
    for done, (_, outcome) in enumerate(handed_out(client, segment_file, work), 1):
        counts[outcome.state] += 1
        if done == args.files // 2:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            print("a worker is killed", flush=True)
        elif done % every == 0 or done == every // 10:
            held = [resident(os.getpid()), *map(resident, client.run(os.getpid).values())]
            print(
                f"{done:6} files, {time.perf_counter() - began:6.0f} s, MiB of this process and "
                f"of the workers: {', '.join(f'{mib:.0f}' for mib in held)}",
                flush=True,
            )
    results = sum(path.name.endswith(".spad.json") for path in Path(job.out).iterdir())
    print(f"{counts}, {results} results")


def job_in(out: Path, model: Path) -> SegmentJob:
    """Segment into a new folder, with what the model's card asks for."""
    out.mkdir()
    return SegmentJob(
        model=str(model), sha256=sha256(model), out=str(out), device="cpu",
        options={"samples": None, "steps": None, "seed": 0},
    )  # fmt: skip


def save_tiny(path: Path) -> None:
    """A network that has learnt nothing, for files of 32 x 48."""
    classes = label_classes(("background", "SRF"))
    network = NetworkConfig(widths=(8, 8), blocks=1, denoiser_widths=(8,), time_width=8)
    card = Card(
        name="tiny", classes=classes, network=network, schedule=ScheduleConfig(),
        input=InputConfig(size=(32, 48)), sampling=SamplingConfig(steps=1, samples=1),
    )  # fmt: skip
    torch.manual_seed(0)
    save(path, card, build(network, len(classes), None).state_dict())


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    main()
