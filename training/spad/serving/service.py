"""What a server knows: its runs, from asked to forgotten, its devices, and its figures."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spad.remote import engine_version, messages
from spad.serving.device_process import DeviceProcess
from spad.serving.fair_queue import FairQueue
from spad.serving.limits import Limits, Refused, refuse_large
from spad.serving.model_shelf import Shelf
from spad.serving.runs import Run, State

__all__ = ["Service"]

KINDS = ("segment", "teach")
log = logging.getLogger("spad.serving")


class Service:
    """Runs, devices, models.

    Parameters
    ----------
    models : mapping of str to Path
        The server's own, by name.
    devices : sequence of str
        Each has a process.
    limits : Limits
    """

    def __init__(
        self, models: Mapping[str, Path], devices: Sequence[str], limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.shelf = Shelf(models, self.limits)
        self.queue = FairQueue(self.limits)
        self.processes = [DeviceProcess(one, self.queue, self.shelf) for one in devices]
        self._runs: dict[str, Run] = {}
        self._figures: Counter[str] = Counter()

    def start(self) -> None:
        """Start the processes."""
        for process in self.processes:
            process.start()

    def close(self) -> None:
        """End them, and forget everything."""
        for process in self.processes:
            process.close()
        for run in list(self._runs.values()):
            self.forget(run)
        self.shelf.close()

    # ------------------------------------------------------------------ runs

    def ask(self, owner: int, content: dict[str, Any]) -> Run:
        """Take what a desk asks for, before its arrays come.

        Raises
        ------
        Refused
        """
        if content.get("protocol") != messages.PROTOCOL:
            raise Refused(
                400,
                "protocol",
                f"it runs SPAD {engine_version()} and speaks protocol {messages.PROTOCOL}; the "
                f"desk has SPAD {content.get('engine')} with protocol {content.get('protocol')}: "
                "update the older of the two",
            )
        if content.get("kind") not in KINDS:
            raise Refused(400, "kind", f"it cannot {content.get('kind')!r}; update the older side")
        try:
            _, arrays = messages.parsed_header(messages.line_of(content))
        except ValueError as error:
            raise Refused(400, "message", str(error)) from error
        refuse_large(arrays, self.limits)
        self.shelf.path(str(content.get("model")))
        self.queue.refuse_full(owner)
        mine = [run for run in list(self._runs.values()) if run.owner == owner]
        pending = sum(run.state is State.SENDING for run in mine)
        if pending >= self.limits.waiting_each:
            raise Refused(429, "queue", f"{pending} runs of this token are being sent: finish one")
        run = Run(owner, content, len(arrays))
        run.most = int(sum(k.itemsize * _count(s) for k, s in arrays) * 1.01) + 2**20
        self._runs[run.id] = run
        return run

    def find(self, owner: int, id_: str) -> Run:
        """A run of a token's.

        Raises
        ------
        Refused
            It is not there, any more or for this token.
        """
        run = self._runs.get(id_)
        if run is None or run.owner != owner:
            raise Refused(
                404,
                "run",
                "it does not know this run any more: it was started anew, or the desk was silent "
                f"for {self.limits.linger_s:.0f} s. Your image and your edits are as they were; "
                "run it again",
            )
        return run

    def queue_up(self, run: Run) -> None:
        """Let a run wait for its turn: its arrays are here, and whole.

        Raises
        ------
        Refused
            They are not; or the queue is full meanwhile.
        """
        run.body.seek(0)
        if not messages.copy_arrays(run.body, run.arrays) or run.body.read(1):
            raise Refused(400, "message", "the arrays have not come as they were sent; try again")
        self.queue.refuse_full(run.owner)
        run.state = State.WAITING
        before = self.queue.put(run) + sum(one.at_work is not None for one in self.processes)
        if before >= len(self.processes):
            runs = "1 run comes" if before == 1 else f"{before} runs come"
            run.tell("waiting", text=f"waiting in the server's queue: {runs} before this one")

    def forget(self, run: Run) -> None:
        """Cancel a run that is wanted no more, and keep nothing of it."""
        if self._runs.pop(run.id, None) is None:
            return  # by somebody else, just now
        run.cancelled = True
        self.queue.drop(run)
        for process in self.processes:
            process.cancel(run)
        self._note(run)
        run.forget()

    def look_after(self) -> None:
        """Forget runs that no desk listens to, and end those that take too long. Each second."""
        now, limits = time.monotonic(), self.limits
        for run in list(self._runs.values()):
            if not run.listeners and now - run.seen > limits.linger_s:
                self.forget(run)
            elif (
                run.state is State.RUNNING
                and now - run.began > 60 * limits.minutes
                and not run.over
            ):
                run.over = (
                    f"the run took more than {limits.minutes:g} minutes, which is the limit of "
                    "this server: send fewer B-scans at once, or let who runs it raise --minutes"
                )
                for process in self.processes:
                    process.cancel(run)

    def _note(self, run: Run) -> None:
        outcome = run.outcome or "cancelled"
        seconds = time.monotonic() - run.began if run.began else 0.0
        self._figures[outcome] += 1
        self._figures["seconds"] += round(seconds, 3)  # type: ignore[assignment]
        self._figures["bytes"] += run.size
        log.info("run %s of token %d: %s in %.1f s", run.id[:6], run.owner, outcome, seconds)

    # ------------------------------------------------------------------ what it says of itself

    def hello(self) -> dict[str, Any]:
        """The handshake."""
        return {
            "protocol": messages.PROTOCOL,
            "engine": engine_version(),
            "devices": [one.device for one in self.processes],
            "models": [
                {
                    "name": one.name,
                    "sha256": one.sha256,
                    "size": one.size,
                    "card": one.card.as_json(),
                }
                for one in self.shelf.own
                if one.is_here
            ],
            "limits": vars(self.limits),
        }

    def health(self) -> dict[str, Any]:
        """Whether it can work, for who watches it."""
        alive = sum(one.alive for one in self.processes)
        return {"ok": alive > 0, "devices": len(self.processes), "alive": alive}

    def metrics(self) -> str:
        """Figures in Prometheus's text format."""
        busy = sum(one.at_work is not None for one in self.processes)
        rows = [
            ("spad_devices", "gauge", {"": len(self.processes)}),
            ("spad_devices_alive", "gauge", {"": self.health()["alive"]}),
            ("spad_devices_busy", "gauge", {"": busy}),
            ("spad_runs_waiting", "gauge", {"": len(self.queue)}),
            ("spad_runs_kept", "gauge", {"": len(self._runs)}),
            (
                "spad_runs_total",
                "counter",
                {f'{{outcome="{o}"}}': self._figures[o] for o in ("done", "failed", "cancelled")},
            ),
            ("spad_run_seconds_total", "counter", {"": self._figures["seconds"]}),
            ("spad_answered_bytes_total", "counter", {"": self._figures["bytes"]}),
        ]
        lines = []
        for name, kind, values in rows:
            lines += [f"# TYPE {name} {kind}", *(f"{name}{k} {v}" for k, v in values.items())]
        return "\n".join(lines) + "\n"


def _count(shape: Any) -> int:
    count = 1
    for n in shape:
        count *= n
    return count
