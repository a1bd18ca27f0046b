"""What a GPU did once, recorded as CUDA graphs: one call of the host instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ["Recorder", "records"]

_T = TypeVar("_T")


def records(device: torch.device) -> bool:
    """Whether chains are recorded there: on an NVIDIA GPU."""
    return device.type == "cuda" and torch.version.cuda is not None


class Recorder:
    """Records stages that work on tensors which stay where they are, and are run in one order.

    Parameters
    ----------
    device : torch.device
        An NVIDIA GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def tried(self, work: Callable[[], _T]) -> _T:
        """Run what will be recorded as it is, where it will be: libraries get ready."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            found = work()
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return found

    def recorded(self, stage: Callable[[], _T]) -> tuple[Callable[[], None], _T]:
        """Record a stage; what runs it again, and the tensors that it will then have filled.

        Raises
        ------
        RuntimeError
            Something in it cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile: only this one's calls are watched.
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ),
        ):
            found = stage()
        return graph.replay, found
