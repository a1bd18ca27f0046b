"""The CUDA path without a card: fake tensors tell mixed devices, waits of the host and launches.

Needs a CUDA build of torch, whatever the machine; skipped with another.
"""

import contextlib
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from spad.chain import cosine_schedule, draws, times_of_use
from spad.checkpoint import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.inference.model import Model
from spad.network import Tiled, build

pytestmark = pytest.mark.skipif(torch.version.cuda is None, reason="torch is not a CUDA build")

GPU = torch.device("cuda", 0)
CLASSES = label_classes(["background", "SRF", "IRF", "PED", "SHRM", "IS/OS"])
SMALL = {"widths": (16, 24, 32), "blocks": 1, "denoiser_widths": (16, 24)}
KERNELS = {"aten.native_group_norm": 3}  # launches of an operation, where they are not one


class Watch(TorchDispatchMode):
    """Launches by operation, what autocast makes float32 of, and where the host would wait.

    Layouts that cuDNN changes inside a convolution are not seen; its bias is a launch of its own.
    """

    def __init__(self):
        super().__init__()
        self.launches, self.waits, self.casts = Counter(), [], 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = operation(*args, **kwargs)
        name = str(operation).rpartition(".")[0]
        given, made = list(tensors(args)), list(tensors(out))
        devices = {t.device.type for t in given + made}
        viewed = made and any(torch._C._is_alias_of(made[0], t) for t in given)
        if "cuda" in devices and not name.startswith(("aten.empty", "prim.")):
            if operation._schema.is_mutable or not viewed:
                bias = name == "aten.convolution" and args[2] is not None
                self.launches[name] += KERNELS.get(name, 1) + bias
            if name in ("aten._local_scalar_dense", "aten.nonzero"):
                self.waits.append(name)
            if name == "aten._to_copy" and len(devices) == 2 and not kwargs.get("non_blocking"):
                self.waits.append(f"a copy of {tuple(made[0].shape)}")
            if name == "aten._to_copy" and given[0].dtype == torch.bfloat16:
                self.casts += made[0].dtype == torch.float32
        return out


def tensors(found):
    """All tensors in nested lists."""
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, (list, tuple)):
        for one in found:
            yield from tensors(one)


def to(module, *words, **options):
    """Stand in for ``Module.to``: parameters of fake tensors cannot be exchanged in place."""
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, value in held.items():
                if value is None:
                    continue
                if type(value.data) is torch.Tensor:
                    value = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
                fresh = value.detach().to(*words, **options)
                held[name] = nn.Parameter(fresh) if held is part._parameters else fresh
    return module


@pytest.fixture
def card_of_8_0(monkeypatch):
    """A fake A100; without gradients, whose way back asks for a real one."""
    monkeypatch.setattr(
        torch._C, "_conv_determine_backend_memory_format", lambda *_: torch.channels_last
    )
    nothing = lambda mode=True: contextlib.nullcontext()  # noqa: E731
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        monkeypatch.setattr(
            torch, "inference_mode", nothing
        )  # it hides what operations are made of
        monkeypatch.setattr(nn.Module, "to", to)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
        draws._counter.cache_clear()
        yield
    draws._counter.cache_clear()  # no fake for who comes next


def networks(kind="cached", **config):
    return build(NetworkConfig(kind=kind, **config), len(CLASSES), None).eval()


def model_of(network, **sampling):
    card = Card(
        name="fake", classes=CLASSES, network=network.config, schedule=ScheduleConfig(),
        input=InputConfig(size=(64, 64)), sampling=SamplingConfig(steps=2, **sampling),
    )  # fmt: skip
    return Model(card, network, GPU)


def outcome(run):
    """What a generator returns."""
    try:
        while True:
            next(run)
    except StopIteration as stop:
        return stop.value


def watched(model, side, chains=8, **edits):
    """A chain of two steps, watched."""
    x = torch.zeros(1, 1, side, side, device=GPU)
    times = times_of_use(model.schedule, model.card.sampling)
    with Watch() as watch:
        run = model.run(x, times, seed=0, slices=[0], chains=range(chains), **edits)
        p_0 = outcome(run)
    assert p_0.device == GPU
    assert p_0.dtype == torch.float32
    return watch


@pytest.mark.parametrize("coherence_px", [0, 32])
def test_launches_of_the_shipped_network_at_512(request, coherence_px):
    network = networks()
    request.getfixturevalue("card_of_8_0")
    watch = watched(model_of(network, coherence_px=coherence_px), 512)
    assert watch.launches.total() < 400, watch.launches
    assert watch.waits == []


@pytest.mark.parametrize(
    ("kind", "tiled"),
    [("cached", False), ("concat", False), ("unet", False), ("cached", True)],
)
def test_every_kind_stays_on_its_device_and_waits_for_nothing(request, kind, tiled):
    widths = (32, 32, 64) if kind == "concat" else SMALL["widths"]
    network = networks(kind, **(SMALL | {"widths": widths}))
    if tiled:
        network = Tiled(network, 32)
    request.getfixturevalue("card_of_8_0")
    labels = torch.full((1, 64, 64), 255, dtype=torch.uint8, device=GPU)
    edits = {} if kind == "unet" else {"start": labels.clamp_max(1), "clamp": labels}
    assert watched(model_of(network, first="denoiser", coherence_px=16), 64, 2, **edits).waits == []


def test_maps_in_bfloat16_are_not_cast_to_and_fro(request):
    network = networks(**SMALL)
    request.getfixturevalue("card_of_8_0")
    model = model_of(network)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}  # what is saved
    # The logits and their softmax, and the sampler's: no map between two layers.
    assert watched(model, 64).casts <= 4


def test_perturbation_and_loss_wait_for_nothing(request, monkeypatch):
    pytest.importorskip("cv2")
    from spad.train.config import Loss, Perturbation
    from spad.train.method import loss_terms, perturb

    network = networks(**SMALL).train()
    request.getfixturevalue("card_of_8_0")
    network.to(GPU)
    maps = {n: torch.zeros(8, 64, 64, dtype=torch.uint8, device=GPU) for n in ("labels", "targets")}
    batch = maps | {f"decoy_{n}": x for n, x in maps.items()}
    batch |= {"image": torch.zeros(8, 1, 64, 64, device=GPU)}
    numbers = list(range(8))
    monkeypatch.setattr(draws, "uniform", partial(drawn, draws.uniform))
    with Watch() as watch:
        batch["number"] = Numbers(numbers)
        noisy = perturb(Perturbation(clean=0.5), batch, seed=0, progress=0.1, epoch=1.0)
        loss = replace(Loss(), recycled=0.9)
        terms = loss_terms(
            network, cosine_schedule(), loss, noisy, batch["labels"], seed=0, numbers=numbers,
            visited=[250, 120],
        )  # fmt: skip
    assert {t.device for t in terms.values()} == {GPU}
    assert watch.waits == []


def drawn(uniform, keys, shape, *, device="cpu"):
    """Real numbers on the host, which reads them."""
    if torch.device(device).type == "cuda":
        return uniform(keys, shape, device=device)
    with unset_fake_temporarily():
        return Numbers(uniform(keys, shape).numpy().copy())


class Numbers:
    """Numbers that the host reads: real ones, where fake tensors have none."""

    def __init__(self, array):
        self._array = np.asarray(array)

    def numpy(self):
        return self._array

    def tolist(self):
        return self._array.tolist()
