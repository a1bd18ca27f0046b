"""Runs cases in processes of their own, which may hang, crash or eat memory and end no other.

python tests/fuzz/runner.py 10000 [--kinds images readers] [--seed 1]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

__all__ = ["Outcome", "run"]

SECONDS, MEMORY = 20, 2 * 2**30
"""What a case may take at most."""


@dataclass
class Outcome:
    """What came of the cases of a kind: how many went well, and each fault with its number."""

    kind: str
    cases: int = 0
    results: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0


def run(kind: str, count: int, seed: int = 0, *, seconds: float = SECONDS) -> Outcome:
    """Run cases 0 to `count`; the same seed gives the same ones."""
    out, began, at = Outcome(kind), time.monotonic(), 0
    folder = Path(tempfile.mkdtemp(prefix=f"spad-fuzz-{kind}-"))
    try:
        while at < count:
            at = _batch(out, folder, at, count, seed, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    out.cases, out.seconds = count, time.monotonic() - began
    return out


def _batch(out: Outcome, folder: Path, at: int, count: int, seed: int, seconds: float) -> int:
    """Run cases in one process until it ends, one way or another; give the next one's number."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _child(out.kind, folder, at, count, seed, writer)
    os.close(writer)
    text, ended, begun = b"", False, False
    limit = seconds + 60  # what is made once comes before the first case
    while not ended:
        ready, _, _ = select.select([reader], [], [], limit)
        if not ready:
            out.faults.append((at, f"hangs: more than {seconds:.0f} s"))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reader)
            return at + 1
        limit = seconds
        text += (chunk := os.read(reader, 65536))
        ended = not chunk
        *lines, text = text.split(b"\n")
        for line in lines:
            word, _, said = line.decode().partition(" ")
            out.results += word == "result"
            if word == "fault":
                out.faults.append((at, said.replace("\\n", "\n")))
            begun |= word == "ready"
            at += word != "ready"
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not begun:
        raise RuntimeError(f"{out.kind} cannot be prepared: {out.faults or status}")
    if status:
        out.faults.append((at, f"the process died: status {status}"))
        return at + 1
    return at


def _child(kind: str, folder: Path, at: int, count: int, seed: int, writer: int) -> None:
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # VTK, libtiff and others write there
            os.dup2(null, stream)
        warnings.simplefilter("ignore")
        import kinds

        case = kinds.KINDS[kind](folder)
        os.write(writer, b"ready\n")
        for number in range(at, count):
            os.write(writer, _one(case, Random(f"{kind} {seed} {number}")))
        status = 0
    except BaseException:
        os.write(writer, b"fault " + traceback.format_exc().encode().replace(b"\n", b"\\n") + b"\n")
    finally:
        os._exit(status)


def _one(case, rng: Random) -> bytes:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        word = b"result" if case(rng) else b"told"
    except Exception:
        lines = traceback.format_exc().strip().splitlines()
        return b"fault " + "\\n".join(lines[-12:]).encode() + b"\n"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if grown > MEMORY:
        return f"fault took {grown / 2**30:.1f} GB\n".encode()
    return word + b"\n"


def main(argv: list[str]) -> int:
    import kinds

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000, help="cases of each kind")
    parser.add_argument("--kinds", nargs="+", default=list(kinds.KINDS), choices=list(kinds.KINDS))
    parser.add_argument("--seed", type=int, default=0)
    ask = parser.parse_args(argv)
    failed = 0
    for kind in ask.kinds:
        with contextlib.suppress(KeyboardInterrupt):
            found = run(kind, ask.count, ask.seed)
            failed += len(found.faults)
            print(f"{kind:10} {found.cases:7} cases, {found.results:6} read, "
                  f"{len(found.faults):4} faults, {found.seconds:6.0f} s", flush=True)  # fmt: skip
            for number, fault in found.faults[:20]:
                print(f"--- {kind}, seed {ask.seed}, case {number}\n{fault}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = (str(root / "tests" / room) for room in ("fuzz", "slicer", "napari"))
    sys.exit(main(sys.argv[1:]))
