"""How long a run takes to start with many cases, and how much memory: synthetic case folders.

    python benchmarks/start.py --cases 100000

Every image and label map is a hard link to one of a few phantoms. Each measurement is a fresh
process: the seconds are those of `prepare` and of `Samples` (wall clock and CPU, without imports),
the sizes those of the process, and what is sent to a spawned worker. First start: an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

_CONFIG = 'name = "start"\n[data]\nfolders = ["set"]\n[input]\nsize = [96, 256]\n'


def write(folder: Path, count: int) -> None:
    """Write a case folder of so many cases, five a patient, one patient in a hundred for "val"."""
    from spad.phantom import CLASS_NAMES
    from spad.train.data import write_folder
    from spad.train.data.phantoms import phantom_cases

    few = folder / "few"
    write_folder(few, phantom_cases(5, 0, size=(256, 384)), dict(enumerate(CLASS_NAMES)))
    path = folder / "set"
    splits: dict[str, dict[str, list[str]]] = {
        split: {"patients": [], "images": []} for split in ("train", "val")
    }
    sources: dict[str, list[Path]] = {}
    for kind in ("images", "masks"):
        (path / kind).mkdir(parents=True)
        sources[kind] = sorted((few / kind).iterdir())
    for i in range(count):
        patient = f"P{i // 5:06d}"
        name = f"{patient}_{i % 5}"
        split = splits["val" if i // 5 % 100 == 99 else "train"]
        split["images"].append(name)
        if patient not in split["patients"][-1:]:
            split["patients"].append(patient)
        for kind, files in sources.items():
            target = path / kind / f"{name}.png"
            try:
                os.link(files[i % 5], target)
            except OSError:  # too many links to one file
                target.write_bytes(files[i % 5].read_bytes())
                files[i % 5] = target
    (path / "labels.json").write_bytes((few / "labels.json").read_bytes())
    (path / "split.json").write_text(json.dumps(splits))
    (folder / "start.toml").write_text(_CONFIG)


def measure(config: Path, words: list[str]) -> None:
    """Start a run in this process, as far as its first sample, and print what it took."""
    from spad.train.config import load_config
    from spad.train.data.samples import Samples
    from spad.train.loop import loop  # noqa: F401  (what a run imports)
    from spad.train.loop.preparation import prepare

    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    warnings.simplefilter("ignore")
    began, cpu = time.perf_counter(), time.process_time()
    made = load_config(config, words)
    prepared = prepare(made)
    names = [one.name for one in prepared.card.classes]
    samples = Samples(
        made,
        prepared.training,
        names,
        judged=prepared.judged,
        shown=prepared.shown,
        values=prepared.values,
    )
    samples[0]
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, sent = time.process_time(), pickle.dumps(samples)
    pickle.loads(sent)  # noqa: S301  (what this process has just written)
    result = {
        "s": seconds,
        "CPU s": cpu,
        "peak MB": peak / 1024,
        "of which imports MB": imported / 1024,
        "sent to a worker MB": len(sent) / 1e6,
        "sending CPU s": time.process_time() - began,
    }
    print(json.dumps({key: round(value, 2) for key, value in result.items()}))


def main() -> None:
    """Measure the first and the second start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="settings, such as data.balance=0.5")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.config:
        measure(args.config, args.words)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), args.cases)
        env = {**os.environ, "SPAD_CACHE": str(Path(folder) / "cache")}
        line = [sys.executable, __file__, "--config", str(Path(folder) / "start.toml"), *args.words]
        for which in ("first", "second"):
            run = subprocess.run(line, env=env, check=True, capture_output=True, text=True)
            print(f"{args.cases} cases, {which} start: {run.stdout.splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main()
