"""A training step has the device tell the host nothing: seen on the CPU, its way back included.

tests/unit/inference/test_fake_gpu.py sees more of the way forward, under a CUDA build of torch.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spad.chain import coherent_draws, diffusion, draws
from spad.learning import loss as learning_loss
from spad.network import encoder_decoder
from spad.train.config import load_config
from spad.train.loop import loop
from spad.train.loop.state import Run
from spad.train.loop.update import Job, update
from spad.train.method import Batch
from spad.train.method import loss as loss_module

READ = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero")


class Reads(TorchDispatchMode):
    """Operations that end in numbers on the host, or in shapes that it has to know."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(operation).removeprefix("aten.").partition(".")[0]
        chosen = name.startswith("index") and any(
            isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)
            for given in args[1:2]
            for x in (given if isinstance(given, (list, tuple)) else [given])
        )
        if chosen or name.startswith(READ):
            self.found.append(name)
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("words", [["loss.recycled=0.9"], ["method=unet"]])
def test_a_step_reads_nothing(
    shared_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    for part in (coherent_draws, diffusion, draws, encoder_decoder, learning_loss):
        monkeypatch.setattr(part, "few_launches", lambda x: True)
    monkeypatch.setattr(loss_module, "autocast", lambda device: nullcontext())
    found = []

    def watched(run: Run, job: Job, batch: Batch) -> dict[str, Tensor]:
        # Its counts of steps lie on the host, and it reads them.
        monkeypatch.setattr(run.optimiser, "step", lambda: None)
        with Reads() as reads:
            terms = update(run, job, batch)
        found.append(reads.found)
        return terms

    monkeypatch.setattr(loop, "update", watched)
    loop.train(load_config(shared_tiny, ["optimiser.steps=3", *words]), tmp_path, device="cpu")
    assert found == [[]] * 3


def test_what_is_read_is_seen() -> None:
    x = torch.ones(3)
    with Reads() as reads:
        bool((x > 0).any())
        x[x > 2]
        x.nonzero()
        torch.where(x > 0, x, 0).sum()
    assert reads.found == ["_local_scalar_dense", "index", "nonzero"]
