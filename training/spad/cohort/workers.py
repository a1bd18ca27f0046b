"""The workers, by Dask: a cluster of this machine or another, and files handed out to it."""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from spad.cohort.outcome import Outcome

__all__ = ["cluster", "handed_out", "on_all"]

J = TypeVar("J")
_AHEAD = 2  # files at a worker: the one that it does and the next, so that it never waits
_LOOK_S = 5.0  # between two looks at how many workers there are
_TICK_S = 1.0
_JOIN_S = 60
_CONNECT_S = 20.0
_NOTHING_KEPT = {
    "distributed.worker.profile.enabled": False,  # its stacks grew by 6 MiB for 1000 tiny files
    "distributed.admin.low-level-log-length": 10,
    "distributed.admin.system-monitor.log-length": 60,
}
"""What Dask would note of a run for whoever looks into it; nobody does."""


@contextmanager
def cluster(workers: int | None, address: str | None) -> Iterator[Any]:
    """Connect to a Dask cluster, or start one on this machine for as long as the block takes.

    Parameters
    ----------
    workers : int or None
        Processes to start here, reachable from this machine alone.
    address : str or None
        Of a scheduler that runs already (``tcp://HOST:8786``), where `workers` is None.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ImportError
        The extra is missing.
    OSError
        No scheduler answers there, or no worker has joined it.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ImportError(
            f"cohorts need Dask ({error}): pip install 'napari-spad[cohort]'"
        ) from error
    if workers is None:
        try:
            client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise OSError(
                f"{address}: no Dask scheduler answers there ({str(error)[:200]}); is `dask "
                "scheduler` running, and the port open?"
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_JOIN_S)
            except TimeoutError as error:
                raise OSError(
                    f"no worker has joined the cluster within {_JOIN_S} s; start some: dask worker "
                    f"{address}"
                ) from error
            yield client
        return
    with (
        dask.config.set(
            {"distributed.nanny.pre-spawn-environ": _environment(workers), **_NOTHING_KEPT}
        ),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port
            silence_logs=logging.ERROR,  # a worker that ends slowly is no news
            memory_limit=0,  # Dask would pause workers by a share of the machine's memory
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


def _environment(workers: int) -> dict[str, str]:
    """Variables of each worker of this machine: its share of the processors.

    In place of Dask's own, which have malloc give all memory back at once: a B-scan then took 1.7
    times the processor's time, most of it in page faults.
    """
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)


def on_all(client: Any, check: Callable[[J], str], job: J) -> None:
    """Refuse, before the first file, what a worker says against a job.

    Parameters
    ----------
    client : distributed.Client
    check : callable
        Gives what stands against the job, or nothing.
    job : object

    Raises
    ------
    ValueError
        What a worker says, with its address; or it has no SPAD.
    """
    try:
        said = client.run(check, job)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"a worker cannot load SPAD ({error}); install the same napari-spad for all workers"
        ) from error
    for worker, text in said.items():
        if text:
            raise ValueError(f"the worker {worker}: {text}")


def handed_out(
    client: Any,
    task: Callable[[J, str], Outcome],
    work: Iterable[tuple[str, J]],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[str, Outcome]]:
    """Have files done, each by whatever worker is free; yields each as it is done.

    Two files a worker are on their way at a time, whatever the cohort's size. A file whose worker
    is lost goes to another one.

    Parameters
    ----------
    client : distributed.Client
    task : callable
        Takes a job and a file; a function of a module that workers can import.
    work : iterable of (str, object)
        Each file with its job; asked for as workers come free.
    tick : callable
        Called about every second, also while nothing ends.

    Yields
    ------
    file : str
    outcome : Outcome

    Raises
    ------
    OSError
        The scheduler is gone. What is done is done: the same command goes on.
    """
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    under_way: dict[str, tuple[str, Any]] = {}
    left = enumerate(work)
    run = f"spad-{task.__name__}-{os.getpid()}-{time.monotonic_ns()}"
    looked, workers = -_LOOK_S, 1
    more = True
    try:
        while True:
            if time.monotonic() - looked >= _LOOK_S:
                looked, workers = time.monotonic(), max(1, len(client.nthreads()))
            while more and len(under_way) < _AHEAD * workers:
                if (piece := next(left, None)) is None:
                    more = False
                    break
                number, (file, job) = piece
                future = client.submit(task, job, file, key=(run, number), pure=False)
                under_way[future.key] = file, future
                future.add_done_callback(ended.put)
            if not under_way:
                return
            tick()
            try:
                future = ended.get(timeout=_TICK_S)
            except queue.Empty:
                if client.status != "running":
                    raise OSError(_GONE) from None
                continue
            file, _ = under_way.pop(future.key)
            yield file, _outcome(future)
    finally:
        if under_way and client.status == "running":
            client.cancel([future for _, future in under_way.values()])


_GONE = "the Dask scheduler is gone; start it and then the same command again, which goes on"


def _outcome(future: Any) -> Outcome:
    from distributed import KilledWorker

    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    if future.status != "error":  # lost or cancelled: Dask forgot it with its scheduler
        raise OSError(_GONE)
    error = future.exception()
    if isinstance(error, KilledWorker):
        return Outcome(
            "failed", "its worker process ended each time it was tried; too little memory for it?"
        )
    return Outcome("failed", f"{type(error).__name__}: {error}")
