"""Activations computed again, and compiling: neither changes what is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from spad.chain.noise_schedule import cosine_schedule
from spad.checkpoint.card import NetworkConfig
from spad.network import build
from spad.train.config import Config, Loss, Optimiser
from spad.train.loop import loop as loop_module
from spad.train.loop.acceleration import gpu_ways, prepare_network
from spad.train.method import loss as loss_module
from spad.train.method.loss import loss_terms
from spad.train.method.perturbed_image import Batch

SHAPES: dict[str, dict[str, Any]] = {
    "cached": {"widths": (8, 16, 16), "blocks": 1, "denoiser_widths": (8, 16), "time_width": 16},
    "unet": {"widths": (8, 16), "blocks": 1},
    "concat": {"widths": (8, 8, 8, 8), "blocks": 1, "time_width": 16},
    "dynunet": {"widths": (8, 8, 16, 16)},
}


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "autocast", lambda device: nullcontext())


def gradients(kind: str, batch: Batch, config: Optimiser) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = build(NetworkConfig(kind=kind, **SHAPES[kind]), 6, None)
    names = list(network.state_dict())
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    terms = loss_terms(
        network, cosine_schedule(), Loss(), batch["image"], batch["labels"], seed=0,
        numbers=[0, 1], forward=prepare_network(network, config),
    )  # fmt: skip
    torch.stack(list(terms.values())).sum().backward()
    assert list(network.state_dict()) == names
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", SHAPES)
def test_gradients_are_the_same_with_activations_computed_again(
    batch_of: Callable[..., Batch], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[Any] = []
    checkpoint = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        "spad.train.loop.acceleration.checkpoint",
        lambda *a, **k: again.append(a) or checkpoint(*a, **k),
    )
    batch = batch_of(2)
    plain = gradients(kind, batch, Optimiser())
    assert not again
    recomputed = gradients(kind, batch, Optimiser(activation_checkpointing=True))
    assert again
    assert plain.keys() == recomputed.keys()
    for name in plain:
        torch.testing.assert_close(recomputed[name], plain[name], rtol=1e-4, atol=1e-6)


def test_a_compiled_network_has_the_same_gradients(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced by dynamo in one graph; the compiler itself would take minutes."""
    batch = batch_of(2)
    plain = gradients("unet", batch, Optimiser())
    eager = partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", eager)
    compiled = gradients("unet", batch, Optimiser(compile=True))
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name], rtol=1e-4, atol=1e-6)


def test_without_a_compiler_training_goes_on_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    network = build(NetworkConfig(kind="unet", **SHAPES["unet"]), 3, None)
    with pytest.warns(UserWarning, match=r"optimiser.compile: cpu .*No working C\+\+ compiler"):
        assert prepare_network(network, Optimiser(compile=True)) is network
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare_network(network, Optimiser()) is network


def ways() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("device", "steady", "expected"),
    [
        ("cuda", False, (True, False, False)),
        ("cuda", True, (False, True, True)),
        ("cpu", True, (False, False, False)),
    ],
)
def test_on_a_gpu_a_run_takes_the_fastest_ways_or_steady_ones(
    device: str, steady: bool, expected: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # taken back after the test
    before = ways()
    with gpu_ways(Optimiser(deterministic=steady), torch.device(device)):
        assert ways() == expected
    assert ways() == before


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried 2 GiB")])
def test_a_training_without_memory_says_what_to_do(error: Exception) -> None:
    config = Config(name="m", data={"phantoms": 1.0})  # type: ignore[arg-type]
    told = partial(loop_module._memory_told, config, torch.device("cuda", 1))
    with pytest.raises(MemoryError, match=r"memory on cuda:1 for batches of 8 .*--resume"), told():
        raise error
    with pytest.raises(RuntimeError, match="shapes differ"), told():
        raise RuntimeError("shapes differ")
