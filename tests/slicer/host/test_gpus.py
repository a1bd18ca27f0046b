"""A GPU that is there and cannot be used is told, with what helps."""

from __future__ import annotations

import types

import pytest

from SPADLib.host.gpus import torch_note


def torch_of(cuda="12.1", available=True, capability=(8, 6), archs=("sm_80", "sm_86")):
    return types.SimpleNamespace(
        __version__="2.6.0",
        version=types.SimpleNamespace(cuda=cuda),
        cuda=types.SimpleNamespace(
            is_available=lambda: available,
            get_device_capability=lambda: capability,
            get_arch_list=lambda: list(archs),
        ),
    )


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        (torch_of(), ""),
        (torch_of(capability=(8, 9)), ""),
        (torch_of(capability=(12, 0), archs=("sm_90", "compute_90")), ""),
        (torch_of(cuda=None, available=False), "built for the CPU"),
        (torch_of(available=False), "update the driver"),
        (torch_of(capability=(12, 0)), "not built for this GPU"),
    ],
)
def test_a_gpu_that_this_pytorch_cannot_use_is_told(torch, words):
    said = torch_note(torch, True)
    assert words in said if words else said == ""
    assert torch_note(torch, False) == ""
