"""What no machine without a GPU can tell: whether SPAD runs on one, agrees with the CPU, how fast.

    make gpu                     (python benchmarks/gpu.py --out gpu.md)

Prints a page in Markdown, to be pasted into docs/results.md under "On a GPU". Each line is *pass*,
*FAIL*, *note* (a figure to look at) or *skip*, with the reason; the exit status is 1 if any failed.
Without a card it runs what it can on the CPU, small, which shows that this file works and nothing
else. A check that the time left does not allow is skipped. The tests marked `cuda` come last.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import interleaved, spread, text
from torch.profiler import ProfilerActivity, profile

import spad
import spad.inference.model
from spad import phantom
from spad.chain import cosine_schedule, draws
from spad.checkpoint import InputConfig, shipped
from spad.inference.memory_ladder import KEPT
from spad.inference.segmenter import Segmenter
from spad.network import autocast, devices
from spad.train.config import Config, load_config
from spad.train.data.samples import Samples, batches, workers_of
from spad.train.loop.acceleration import gpu_ways
from spad.train.loop.preparation import prepare
from spad.train.loop.state import Run, start
from spad.train.loop.update import Job, update, visited_times
from spad.train.processes import ALONE

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
TWO: dict[str, Any] = {"steps": 2, "grid": "uniform", "times": None}
LEAST = 20.0  # seconds that a check may take


@contextlib.contextmanager
def precision(exact: bool) -> Iterator[None]:
    """Float32 without TF32, or what SPAD takes by itself; for models made inside."""
    own = spad.inference.model.autocast
    tf32 = torch.backends.cudnn.allow_tf32
    if exact:
        off = lambda device: torch.autocast(device.type, torch.bfloat16, enabled=False)  # noqa: E731
        spad.inference.model.autocast = off
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        spad.inference.model.autocast = own
        torch.backends.cudnn.allow_tf32 = tf32


class Check:
    """The page, and what the checks share.

    Parameters
    ----------
    device : torch.device
    minutes : float
    out : Path, optional
    """

    def __init__(self, device: torch.device, minutes: float, out: Path | None = None) -> None:
        self._out = out
        if out:
            out.write_text("", "utf-8")
        self.device, self.real = device, device.type == "cuda"
        self.end = time.monotonic() + 60 * minutes
        self.failed = 0
        self.side = 512 if self.real else 64
        self.rounds = 20 if self.real else 2

    def say(self, state: str, what: str, found: str) -> None:
        """Write a line of the page."""
        self.failed += state == "FAIL"
        self.write(f"| {state} | {what} | {found} |")

    def write(self, text: str) -> None:
        """Write on the screen and into the file."""
        print(text, flush=True)
        if self._out:
            with self._out.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")

    def run(self, check: Callable[[Check], None], needs_card: bool) -> None:
        """Run a check; a fault is its line."""
        name = check.__name__.replace("_", " ")
        if needs_card and not self.real:
            return self.say("skip", name, "no NVIDIA GPU")
        if (left := self.end - time.monotonic()) < LEAST:
            return self.say("skip", name, f"{left:.0f} s left of the time allowed")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(self)
        except Exception as error:
            traceback.print_exc()
            self.say("FAIL", name, f"{type(error).__name__}: {str(error)[:200]}".partition("\n")[0])
        if self.real:
            torch.cuda.empty_cache()

    def model(self, name: str = "oct-phantom", **sampling: Any) -> Segmenter:
        """A shipped model for images of this check's size."""
        one = spad.load(name, str(self.device))
        sampled = dataclasses.replace(one.card.sampling, **sampling)
        size = InputConfig(size=(self.side, self.side))
        card = dataclasses.replace(one.card, input=size, sampling=sampled)
        return Segmenter(card, one._model.network, self.device)

    def plain(self, **sampling: Any) -> Segmenter:
        """One that records no chains."""
        one = self.model(**sampling)
        one._model._records = False
        return one

    def image(self, seed: int = 3) -> np.ndarray:
        """A phantom of this check's size."""
        return phantom.bscan(seed, shape=(self.side, self.side)).image

    def milliseconds(self, works: dict[str, Callable[[], Any]]) -> dict[str, str]:
        """Median of each, with its spread."""
        timed = interleaved(works, self.rounds, self.device).items()
        return {n: text(spread([1000 * s for s in each])) + " ms" for n, each in timed}


def machine(check: Check) -> None:
    """What there is."""
    cuda = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    check.say("note", "torch", f"{torch.__version__}, {cuda}")
    check.say("note", "devices that SPAD takes", ", ".join(devices()))
    if check.real:
        p = torch.cuda.get_device_properties(check.device)
        memory = f"{p.total_memory / 2**30:.0f} GiB"
        check.say("note", "card", f"{p.name}, capability {p.major}.{p.minor}, {memory}")
        with autocast(check.device):
            on = torch.is_autocast_enabled("cuda")
        state = "pass" if on == (p.major >= 8) else "FAIL"
        check.say(state, "bfloat16 where the card has it, and only there", str(on))


def equal_draws(check: Check) -> None:
    """Keyed numbers are the same bits everywhere."""
    keys = draws.keys(7, [(n, 3) for n in range(8)], "check")
    one, two = (draws.uniform(keys, (check.side,) * 2, device=d).cpu() for d in (CPU, check.device))
    state = "pass" if torch.equal(one, two) else "FAIL"
    check.say(state, "draws, to the bit", f"{int((one != two).sum())} of {one.numel()} differ")


def label_maps_agree(check: Check) -> None:
    """The device's label maps are the CPU's, in float32 and in its own precision."""
    shape = (256, 384) if check.real else (64, 96)
    image = phantom.bscan(5, shape=shape).image
    clamp = np.full(shape, 255, np.uint8)
    clamp[30:33, 40:80] = 2
    edits = {"clamp": clamp, "start": np.zeros(shape, np.uint8), "t0": 60}
    for name in shipped() if check.real else ("oct-phantom",):
        for what, options in (("from noise", {}), ("around edits", edits)):
            with precision(exact=True):
                truth = spad.load(name, "cpu").segment(image, **options).labels
            for exact in (True, False):
                with precision(exact):
                    found = spad.load(name, str(check.device)).segment(image, **options).labels
                share = float((found == truth).mean())
                how = "float32" if exact else "own precision"
                state = "pass" if share >= (0.999 if exact else 0.99) else "FAIL"
                check.say(state, f"{name} {what}, {how}", f"{share:.5f} of the labels as the CPU's")


def chains(check: Check) -> None:
    """What 8 samples cost, in time and in launches."""
    image = check.image()
    found = {
        "own setting": check.model(),
        "own setting, not recorded": check.plain(),
        "2 steps": check.model(**TWO),
        "2 steps, coherent": check.model(**TWO, coherence_px=32),
    }
    with precision(exact=True):
        found["own setting, float32"] = check.model()
    works = {f"8 samples, {n}": lambda m=m: m.segment(image, samples=8) for n, m in found.items()}
    own, stack = check.model(), np.repeat(image[None], 16 if check.real else 2, 0)
    works[f"a stack of {len(stack)}"] = lambda: own.segment(stack, samples=8)
    for name, took in check.milliseconds(works).items():
        check.say("note", f"{name}, {check.side} x {check.side}", took)
    if not check.real:
        return
    for name, work in works.items():
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as kept:
            work()
        events = kept.key_averages()
        launches = sum(e.count for e in events if "LaunchKernel" in e.key or "GraphLaunch" in e.key)
        waits = sum(e.count for e in events if "Synchronize" in e.key)
        check.say("note", f"{name}: launches, waits", f"{launches}, {waits}")


def recorded_chains(check: Check) -> None:
    """Chains that come again are CUDA graphs, with the plain path's label maps."""
    image = check.image()
    for name, sampling in (("own setting", {}), ("2 steps, coherent", TWO | {"coherence_px": 32})):
        one, plain = check.model(**sampling), check.plain(**sampling)
        for seed in range(3):
            truth, found = (m.segment(image, samples=8, seed=seed) for m in (plain, one))
        share, kept = float((truth.samples == found.samples).mean()), one._model._recorded
        held = f"{kept.bytes / 2**20:.0f} MiB held" if kept else "not recorded"
        state = "pass" if kept is not None and share >= 0.999 else "FAIL"
        check.say(state, f"recorded chains, {name}", f"{share:.5f} of the labels; {held}")


def settings(folder: Path, check: Check, *words: str) -> Config:
    """A training on phantoms."""
    path = folder / "gpu.toml"
    path.write_text('name = "gpu"\n[data]\nphantoms = 1.0\ncache = false\n', "utf-8")
    side, batch = (256, 8) if check.real else (64, 2)
    own = (f"input.size=[{side},{side}]", f"optimiser.batch={batch}", "optimiser.steps=60")
    return load_config(path, [*own, *words])


def training(folder: Path, check: Check, *words: str) -> tuple[Run, Job, Config]:
    """A run that has not begun, and all but its files."""
    config = settings(folder, check, *words)
    prepared = prepare(config)
    run = start(config, prepared.card.classes, check.device)
    samples = Samples(config, prepared.training, [c.name for c in prepared.card.classes])
    schedule = cosine_schedule()
    job = Job(
        config=config, prepared=prepared, samples=samples, schedule=schedule,
        visited=visited_times(config, schedule), forward=run.forward, group=ALONE,
        device=check.device, state_file=folder / "latest.pt", stop=None, events=None,
    )  # fmt: skip
    return run, job, config


def on(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch on the device, but for its numbers."""
    return {k: x if k == "number" else x.to(device) for k, x in batch.items()}


def training_speed(check: Check) -> None:
    """Images a second: each kind, cuDNN's choice of ways, and what the workers bring."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for words in (("method=spad",), ("method=unet",), ("optimiser.deterministic=true",)):
            run, job, config = training(folder, check, "data.workers=0", *words)
            batch = on(next(batches(job.samples, config, 0, check.device)), check.device)
            with gpu_ways(config.optimiser, check.device):
                step = lambda run=run, job=job, batch=batch: update(run, job, batch)  # noqa: E731
                took = interleaved({"step": step}, check.rounds, check.device)["step"]
            speed = text(spread([config.optimiser.batch / s for s in took]))
            check.say(
                "note", f"training, {words[0]}, {config.input.size[0]} px", f"{speed} images/s"
            )
        workers = workers_of(settings(folder, check), torch.device("cuda"))
        run, job, config = training(folder, check, f"data.workers={workers if check.real else 0}")
        arriving = batches(job.samples, config, 0, check.device)
        for _ in range(10 if check.real else 1):
            next(arriving)
        began, n = time.perf_counter(), 40 if check.real else 2
        for _ in range(n):
            next(arriving)
        rate = n * config.optimiser.batch / (time.perf_counter() - began)
        check.say("note", f"{config.data.workers} workers bring", f"{rate:.0f} samples/s")


def no_waits(check: Check) -> None:
    """The host waits for the device neither in a chain nor in a training step."""
    x = torch.zeros(1, 1, check.side, check.side, device=check.device)
    plain, recorded = check.plain(), check.model()

    def chain(model: Segmenter) -> None:
        run = model._model.run(x, [250, 120], seed=0, slices=[0], chains=range(8))
        with contextlib.suppress(StopIteration):
            while True:
                next(run)

    with tempfile.TemporaryDirectory() as name:
        run, job, config = training(Path(name), check, "data.workers=0")
        batch = on(next(batches(job.samples, config, 0, check.device)), check.device)
        works = {
            "a chain": lambda: chain(plain),
            "a recorded chain": lambda: chain(recorded),
            "a step": lambda: update(run, job, batch),
        }
        for what, work in works.items():
            for _ in range(3):
                work()
            torch.cuda.set_sync_debug_mode("warn")
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    work()
            finally:
                torch.cuda.set_sync_debug_mode("default")
            places = {
                f"{Path(w.filename).name}:{w.lineno}"
                for w in caught
                if "synchron" in str(w.message)
            }
            state, said = ("FAIL", ", ".join(sorted(places))) if places else ("pass", "none")
            check.say(state, f"waits in {what}", said)


def repeatable(check: Check) -> None:
    """With the switch two runs give the same bits."""
    with tempfile.TemporaryDirectory() as name:
        for words in ((), ("optimiser.deterministic=true",)):
            seen = []
            for _ in range(2):
                torch.manual_seed(0)
                run, job, config = training(Path(name), check, "data.workers=0", *words)
                batch = on(next(batches(job.samples, config, 0, check.device)), check.device)
                with gpu_ways(config.optimiser, check.device):
                    for _ in range(3):
                        update(run, job, batch)
                seen.append(torch.cat([p.detach().flatten() for p in run.network.parameters()]))
            same = torch.equal(*seen)
            state = "pass" if same else ("FAIL" if words else "note")
            check.say(
                state, f"3 steps twice, {words[0] if words else 'as it is'}", f"equal: {same}"
            )


def memory(check: Check) -> None:
    """A run gives back what it held; with less memory it goes on with less at once."""
    model, stack = check.model(), np.repeat(check.image()[None], 8, 0)
    torch.cuda.reset_peak_memory_stats(check.device)
    whole = model.segment(stack, samples=16).labels
    peak = torch.cuda.max_memory_allocated(check.device)
    kept = torch.cuda.memory_reserved(check.device) - torch.cuda.memory_allocated(check.device)
    said = f"{kept / 2**20:.0f} MiB kept unused, peak {peak / 2**20:.0f} MiB"
    check.say("pass" if kept <= KEPT else "FAIL", "after a stack of 8, 16 samples", said)
    total = torch.cuda.get_device_properties(check.device).total_memory
    for share in (0.6, 0.2):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(share * peak / total, check.device)
        try:
            result = model.segment(stack, samples=16)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, check.device)
        same = float((result.labels == whole).mean())
        rungs = [one.split(": going on with ")[-1] for one in result.provenance["said"]]
        state = "pass" if same >= 0.99 and rungs else "FAIL"
        check.say(state, f"in {share:.0%} of that", f"{'; '.join(rungs)}; equal {same:.5f}")


def tests_marked_cuda(check: Check) -> None:
    """The suite's own."""
    left = max(60.0, check.end - time.monotonic())
    words = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-W", "ignore", "tests/unit"]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=left, check=False
    )
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    check.say("pass" if done.returncode == 0 else "FAIL", "pytest -m cuda", last)


CHECKS = (  # and whether each needs a card
    (machine, False), (equal_draws, False), (label_maps_agree, False), (chains, False),
    (recorded_chains, True), (training_speed, False), (no_waits, True), (repeatable, True),
    (memory, True), (tests_marked_cuda, True),
)  # fmt: skip


def main() -> int:
    """Print the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=5.5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    check = Check(device, args.minutes, args.out)
    day = time.strftime("%Y-%m-%d")
    check.write(f"### {day}, on {device}\n\n| | what | found |\n|---|---|---|")
    for one, needs_card in CHECKS:
        check.run(one, needs_card)
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
