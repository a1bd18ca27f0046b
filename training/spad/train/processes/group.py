"""Several processes that train one model, started by torchrun: one for each GPU, or several CPUs.

Each process computes its part of every batch. Parts are equal in samples, so the gradient that is
stepped along, the mean over the processes, is that of the whole batch if each part's loss is
written such that the *mean over the parts* is the whole's: sums over pixels are divided by the mean
number of pixels of a part, and ratios of sums (Dice) see the sums of all parts. Without torchrun,
torch.distributed is not touched.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from spad.network import devices, pick_device
from spad.train.config import ConfigError

__all__ = ["ALONE", "Agreement", "Group", "Lost", "join", "restarted"]


_PATIENCE_S = 600


class Lost(ConnectionError):
    """Another process of the run has ended."""


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of a run.

    Parameters
    ----------
    rank : int
        Number of this process; 0 alone writes files.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Only the first process says what all would say alike."""
        if self.rank == 0:
            yield
            return
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore", UserWarning)
            yield

    def wrap(self, network: nn.Module) -> nn.Module:
        """The module to train by: after ``backward`` gradients are means over the processes.

        ``network`` is equal on all processes, and each of its weights gets a gradient.
        """
        if self.size == 1:
            return network
        device = next(network.parameters()).device
        return DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )

    def gathering(self, forward: Any, *, last: bool) -> AbstractContextManager[None]:
        """Around a backward pass; only that of a batch's last micro-batch gathers gradients."""
        if self.size == 1 or last:
            return nullcontext()
        alone: AbstractContextManager[None] = forward.no_sync()
        return alone

    def check_shares(self, batch: int, accumulate: int) -> None:
        """Make sure that a batch has equal parts.

        Raises
        ------
        ConfigError
            It has not.
        """
        parts = self.size * accumulate
        if batch % parts:
            raise ConfigError(
                f"optimiser.batch = {batch} cannot be divided among {self.size} processes with "
                f"{accumulate} micro-batches each (optimiser.accumulate); set it to a multiple of "
                f"{parts}, like {-(-batch // parts) * parts}"
            )

    def mean(self, x: Tensor) -> Tensor:
        """Mean of a tensor over the processes, without a gradient."""
        if self.size == 1:
            return x
        whole = x.detach().clone()
        dist.all_reduce(whole)
        return whole / self.size

    def pool(self, sums: Tensor) -> Tensor:
        """Sum of a tensor over the processes; of its gradient each process holds its own part.

        That part is taken ``size`` times, since means of gradients are stepped along. So the way
        back needs no communication.
        """
        if self.size == 1:
            return sums
        whole = sums.detach().clone()
        dist.all_reduce(whole)
        return whole + self.size * (sums - sums.detach())

    def total(self, array: NDArray[Any]) -> NDArray[Any]:
        """Sum of an array of numbers over the processes."""
        if self.size == 1:
            return array
        whole = torch.from_numpy(np.ascontiguousarray(array))
        dist.all_reduce(whole)
        return whole.numpy()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; they wait for each other."""
        return bool(self.total(np.array([int(flag)]))[0])


ALONE = Group()


class Agreement:
    """A flag that all processes see at the same step, though none waits for the others.

    The answer to a question comes with the next one, so a stop takes effect one step after the
    step in which the signal arrived.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._asked: tuple[Tensor, Any] | None = None

    def ask(self, flag: bool) -> bool:
        """Ask whether any process has the flag set; alone, the flag itself."""
        if self._group.size == 1:
            return flag
        answer = False
        if self._asked is not None:
            before, work = self._asked
            work.wait()
            answer = bool(before[0])
        asked = torch.tensor([int(flag)])  # on the CPU, by gloo: the device is not waited for
        self._asked = asked, dist.all_reduce(asked, async_op=True)
        return answer


def restarted() -> bool:
    """Whether torchrun has started this process again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def join(device: str) -> Iterator[tuple[Group, torch.device]]:
    """Join the processes that torchrun has started; without torchrun a process is alone.

    Parameters
    ----------
    device : str
        As of :func:`spad.network.device.pick_device`. Under torchrun ``auto`` and ``cuda`` are
        the GPU of the process's number on its machine.

    Yields
    ------
    Group
    torch.device
        Of this process.

    Raises
    ------
    ValueError
        No such device, or fewer GPUs than processes.
    Lost
        Another process has ended, which ends this one.
    """
    # Without torchrun the variables are of something else, or set by hand.
    size = int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1
    if size == 1:
        yield ALONE, pick_device(device)
        return
    target = _own_device(device)
    group = Group(int(os.environ["RANK"]), size)
    if target.type == "cuda":
        torch.cuda.set_device(target)
    # Both: tensors on the CPU (flags, counts of the validation) go by gloo.
    backend = "cpu:gloo,cuda:nccl" if target.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, store=_own_store(), rank=group.rank, world_size=size)
        yield group, target
    except RuntimeError as error:
        if not _is_of_a_peer(error):
            raise
        raise Lost(
            f"another process of the run has ended, so this one (rank {group.rank} of {size}) "
            f"ends too: {str(error).splitlines()[0][:200]}. The last saved state is intact; go on "
            "with --resume, or let `torchrun --max-restarts N` do so by itself"
        ) from error
    dist.destroy_process_group()  # not after a fault: it could wait for a process that is gone


def _own_store() -> Store:
    """A place where the processes of this start leave their addresses.

    After a restart torchrun's own place may still hold the addresses of the start before, which
    would be tried in vain. So each process asks the first one for a name of its own making, that
    nobody had before.
    """
    shared, rank, size = next(rendezvous("env://"))
    own = uuid.uuid4().hex
    if rank:
        shared.set(f"spad asks {rank}", own)
        name = shared.get(f"spad answer {own}").decode()
        shared.set(f"spad {name} {rank}", "in")
        return PrefixStore(name, shared)
    end = time.monotonic() + _PATIENCE_S
    while missing := [r for r in range(1, size) if not shared.check([f"spad {own} {r}"])]:
        for asks in (f"spad asks {r}" for r in missing):
            if shared.check([asks]):  # perhaps by a process that is gone: asked again below
                shared.set(f"spad answer {shared.get(asks).decode()}", own)
        if time.monotonic() > end:
            raise Lost(f"the processes {missing} did not start within {_PATIENCE_S} s; see why")
        time.sleep(0.02)
    return PrefixStore(own, shared)


def _own_device(name: str) -> torch.device:
    """The device of this process among those of its machine."""
    number, here = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpus = [one for one in devices() if one.startswith("cuda")]
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise ValueError(
            f"device {name!r} cannot be shared by {here} processes; use auto, cuda or cpu, and "
            "each process takes its own"
        )
    if here > len(gpus):
        raise ValueError(
            f"{here} processes need as many GPUs, this machine has {len(gpus)} that this PyTorch "
            "can use; start fewer (torchrun --nproc-per-node), or train with --device cpu"
        )
    return torch.device(gpus[number])


def _is_of_a_peer(error: RuntimeError) -> bool:
    """Whether an error came from the connection to another process."""
    words = ("gloo", "NCCL", "Connection closed", "Connection reset")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)
