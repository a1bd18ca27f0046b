"""How the benchmarks time: what is compared takes turns, round by round, on a shared machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Time of one call, to the end of what it started on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def interleaved(
    works: dict[str, Callable[[], Any]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each work in each round, after one call to warm up."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(seconds(work, device))
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def text(values: dict[str, float], form: str = "{:.3g}") -> str:
    """Write a median with its spread."""
    low, middle, high = (form.format(values[k]) for k in ("least", "median", "greatest"))
    return f"{middle} ({low} to {high})"
