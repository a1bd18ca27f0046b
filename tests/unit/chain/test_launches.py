"""Copies to a device: waited for where nobody else keeps what is copied."""

from pathlib import Path

import pytest
import torch

import spad
from spad.chain.launches import sent


@pytest.mark.parametrize(
    ("device", "waits"), [("cuda", False), ("cuda:1", False), ("mps", True), ("cpu", True)]
)
def test_only_an_nvidia_gpu_is_not_waited_for(device, waits, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "to", lambda x, *given, **options: asked.append(options))
    sent(torch.zeros(2), torch.device(device))
    assert asked == [{"non_blocking": not waits}]


def test_nothing_else_sends_without_waiting():
    """A copy to MPS that nobody waits for brings wrong numbers without a word."""
    root = Path(spad.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "non_blocking" in path.read_text("utf-8")
    }
    assert found == {str(Path("chain/launches.py"))}
