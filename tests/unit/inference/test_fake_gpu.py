"""The CUDA path without a card: fake tensors tell mixed devices, waits of the host and launches.

Needs a CUDA build of torch, whatever the machine; skipped with another. Tried with 2.14.1: under
2.4 fake tensors ask for a driver.
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
from spad.inference import model as model_module
from spad.inference.model import Model
from spad.learning import Recipe, updates
from spad.network import Tiled, build

OLD = tuple(int(n) for n in torch.__version__.split(".")[:2]) < (2, 13)
pytestmark = pytest.mark.skipif(
    torch.version.cuda is None or OLD, reason="torch is not a CUDA build of 2.13 or newer"
)

GPU = torch.device("cuda", 0)
CLASSES = label_classes(["background", "SRF", "IRF", "PED", "SHRM", "IS/OS"])
SMALL = {"widths": (16, 24, 32), "blocks": 1, "denoiser_widths": (16, 24)}
OWN = {
    "concat": {"widths": (32, 32, 64)},
    "dynunet": {"widths": (8, 8, 16, 16)},
    "msa": {"widths": (16, 16), "blocks": 2},
    "d-lka": {"widths": (8, 16), "blocks": 1},
    "swin-unet": {"widths": (16, 16), "blocks": 2},
    "trans-unet": {"widths": (8, 16, 32, 32), "blocks": 2},
}
KERNELS = {"aten.native_group_norm": 3}  # launches of an operation, where they are not one


class Watch(TorchDispatchMode):
    """Launches by operation, what autocast makes float32 of, and where the host would wait.

    Layouts that cuDNN changes inside a convolution are not seen; its bias is a launch of its own.
    """

    def __init__(self):
        super().__init__()
        self.launches, self.waits = Counter(), []
        self.casts = self.sent = 0

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
            self.sent += name in ("aten._to_copy", "aten.copy_") and len(devices) == 2
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
        monkeypatch.setattr(model_module, "chain_words", really(model_module.chain_words))
        yield


def really(work):
    """Work of the host, whose numbers are real."""

    def done(*given, **options):
        with unset_fake_temporarily():
            return work(*given, **options)

    return done


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
        ends = outcome(run)
    assert {each.device for each in ends} == {GPU}
    assert {each.dtype for each in ends} == {torch.float32}
    return watch


@pytest.mark.parametrize("coherence_px", [0, 32])
def test_launches_of_the_shipped_network_at_512(request, coherence_px):
    network = networks()
    request.getfixturevalue("card_of_8_0")
    watch = watched(model_of(network, coherence_px=coherence_px), 512)
    assert watch.launches.total() < 400, watch.launches
    assert watch.waits == []


@pytest.mark.parametrize("coherence_px", [0, 32])
def test_host_s_calls_for_chains_that_are_recorded(request, coherence_px, monkeypatch):
    monkeypatch.setattr(model_module, "Recorder", Recorder)
    monkeypatch.setattr(model_module, "reserved_bytes", lambda device: 0)
    monkeypatch.setattr(model_module, "_ALIKE", -1)  # there are no labels
    network = networks()
    request.getfixturevalue("card_of_8_0")
    model = model_of(network, coherence_px=coherence_px)
    watched(model, 512)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: 0.0)
    watched(model, 512)
    Recorder.calls = 0
    watch = watched(model, 512)
    # Of images, words and the result; the encoder and two steps.
    assert watch.launches.total() + Recorder.calls <= 10, watch.launches
    assert Recorder.calls == 3
    assert watch.waits == []


class Recorder:
    """Records nothing: counts, and asks of a stage what a recording asks."""

    calls = 0

    def __init__(self, device):
        assert device == GPU

    def tried(self, work):
        return work()

    def recorded(self, stage):
        with Watch() as watch:
            found = stage()
        assert watch.waits == []
        assert watch.sent == 0, "a copy from the host, which a graph would repeat as it was"

        def replay():
            Recorder.calls += 1

        return replay, found


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("cached", ""), ("cached", "mirrored"), ("cached", "tiled"), ("cached", "encoder first"),
        ("concat", ""), ("unet", ""), ("unet", "mirrored"), ("swin-unet", ""), ("trans-unet", ""),
        ("dsc-amp", ""), ("dynunet", ""), ("msa", ""), ("d-lka", ""),
    ],
)  # fmt: skip
def test_every_kind_stays_on_its_device_and_waits_for_nothing(request, kind, way):
    network = networks(kind, **(SMALL | OWN.get(kind, {})))
    if way == "tiled":
        network = Tiled(network, 32)
    request.getfixturevalue("card_of_8_0")
    labels = torch.full((1, 64, 64), 255, dtype=torch.uint8, device=GPU)
    edits = {"start": labels.clamp_max(1), "clamp": labels} if network.diffuses else {}
    first = "encoder" if way == "encoder first" else "denoiser"
    model = model_of(network, first=first, coherence_px=16, mirrored=way == "mirrored")
    assert watched(model, 64, 2, **edits).waits == []


def test_a_lesson_waits_for_nothing(request, monkeypatch):
    """Its way back apart, which asks for a real card."""
    learner = networks(**SMALL).train()
    request.getfixturevalue("card_of_8_0")
    learner.to(GPU)
    monkeypatch.setattr(torch, "randint", really(torch.randint))
    images = torch.zeros(4, 1, 64, 64, device=GPU)
    labels = torch.zeros(4, 64, 64, dtype=torch.uint8, device=GPU)
    before = torch.zeros(4, learner.num_classes, 64, 64, device=GPU)
    alike = [True, False] + [True] * (learner.num_classes - 2)
    about = updates.Lesson([], [], (64, 64), cosine_schedule(), [120, 40])
    recipe = Recipe(denoiser_factor=0.1)
    with Watch() as watch:
        loss = updates._loss(
            learner, images, labels, before, alike, about, recipe, torch.Generator().manual_seed(0)
        )
    assert loss.device == GPU
    assert watch.waits == []


def test_maps_in_bfloat16_are_not_cast_to_and_fro(request):
    network = networks(**SMALL)
    request.getfixturevalue("card_of_8_0")
    model = model_of(network)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}  # what is saved
    # The logits and their softmax, and the sampler's: no map between two layers.
    assert watched(model, 64).casts <= 4


@pytest.mark.parametrize("kind", ["cached", "dynunet", "msa", "d-lka"])
def test_perturbation_and_loss_wait_for_nothing(request, monkeypatch, kind):
    pytest.importorskip("cv2")
    from spad.train.config import Loss, Perturbation
    from spad.train.method import loss_terms, perturb

    network = networks(kind, **(SMALL | OWN.get(kind, {}))).train()
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
