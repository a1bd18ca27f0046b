"""Where memory lacks, a run goes on with less at once, says so, and comes to the same labels."""

from dataclasses import replace

import pytest
import torch

import spad.inference.segmenter as segmenter_module
from spad.checkpoint.card import InputConfig
from spad.inference import drained, memory_ladder
from spad.inference.hosts import is_out_of_memory
from spad.inference.memory_ladder import (
    CPU,
    KEPT,
    Limits,
    Plan,
    moved,
    placed,
    release,
    smaller,
)
from spad.inference.segmenter import Segmenter

GPU = torch.device("cpu", 0)  # a second name of the CPU, which is not `CPU`: stands for a GPU
SHAPE = (37, 53)


@pytest.fixture
def segmenter(model):
    """Give the maker of a segmenter on the stand-in for a GPU, whose input is large: of(limits)."""

    def of(device=GPU, **limits):
        one = model(samples=4)
        card = replace(one.card, input=InputConfig(size=(128, 64)))
        return Segmenter(card, one._model.network, device, limits=Limits(**limits))

    return of


def scarce(monkeypatch, segmenter, fits, error=torch.cuda.OutOfMemoryError):
    """Let the network fail where its input (B, n, H, W) does not fit; returns the inputs tried."""
    own, tried = segmenter._model.network, []
    for name in ("encode", "denoise"):
        inner = getattr(type(own), name)

        def call(self, x, *rest, inner=inner):
            tried.append(tuple(x.shape))
            if self is own and not fits(*x.shape):
                raise error("out of memory. Tried to allocate 9 GiB.\nMore of this.")
            return inner(self, x, *rest)

        monkeypatch.setattr(type(own), name, call)
    return tried


def told(segmenter, image, **options):
    """The result, what the steps said, and their counts."""
    steps = []
    result = drained(segmenter.steps(image, **options), steps.append)
    return result, [s.said for s in steps if s.said], [s.done for s in steps]


def agree(a, b, share=0.9999):
    assert (a.labels == b.labels).mean() >= share
    assert (a.samples == b.samples).mean() >= share


@pytest.mark.parametrize("slices", [2, 3, 5])
def test_a_result_does_not_depend_on_how_many_slices_run_at_once(segmenter, slices, bscan):
    image = bscan((5, *SHAPE))
    together = segmenter(slices=slices)
    shapes = []
    hook = together._model.network.encoder.register_forward_hook(
        lambda *io: shapes.append(len(io[1][0]))
    )
    result, said, done = told(together, image)
    hook.remove()
    agree(result, segmenter().segment(image))
    assert sum(shapes) == 5
    assert max(shapes) == slices
    assert said == []
    assert done == sorted(done)
    assert done[-1] == 15


def test_slices_then_chains_are_halved_until_they_fit(segmenter, monkeypatch, bscan):
    image = bscan((5, *SHAPE))
    expected = segmenter().segment(image)
    short = segmenter(slices=4)
    tried = scarce(monkeypatch, short, lambda b, n, *_: b * n <= 2)
    result, said, done = told(short, image)
    agree(result, expected)
    assert [text.partition(": going on with ")[2] for text in said] == [
        "slices at once: 2", "slices at once: 1", "samples at once: 2"
    ]  # fmt: skip
    assert all("out of memory. Tried to allocate 9 GiB." in text for text in said)
    assert all("\n" not in text for text in said)
    assert result.provenance["said"] == said
    assert result.provenance["device"] == str(GPU)
    assert done == sorted(done)
    assert done[-1] == 15
    assert len(tried) < 60  # what was too much once is not tried again


def test_then_come_tiles_with_nearly_the_same_labels(segmenter, monkeypatch, bscan):
    image = bscan((128, 64))
    expected = segmenter().segment(image)
    short = segmenter()
    scarce(monkeypatch, short, lambda b, n, h, w: n == 1 and h <= 64)

    result, said, _ = told(short, image)
    agree(result, expected, 0.99)
    assert said[-1].endswith("going on with tiles of 64 pixels")
    assert result.provenance["device"] == str(GPU)


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError, lambda text: RuntimeError("MPS backend " + text)]
)
def test_at_last_the_cpu_takes_over_and_provenance_names_it(segmenter, monkeypatch, error, bscan):
    image = bscan((2, *SHAPE))
    expected = segmenter().segment(image)
    full = segmenter()
    scarce(monkeypatch, full, lambda *_: False, error)
    with pytest.warns(UserWarning, match="not enough memory on cpu:0") as warned:
        result = full.segment(image)
    agree(result, expected)
    assert str(warned[-1].message).endswith("going on with the CPU")
    assert result.provenance["device"] == "cpu"
    assert len(result.provenance["said"]) == len(warned)


def test_a_gpu_that_fails_later_is_named_beside_the_cpu(segmenter, monkeypatch, bscan):
    first = segmenter()
    calls = []
    scarce(monkeypatch, first, lambda b, n, *_: n > 1 or calls.append(0) or len(calls) < 2)
    result, said, _ = told(first, bscan((3, *SHAPE)))
    assert result.provenance["device"] == f"{GPU}, cpu"
    assert said[-1].endswith("the CPU")


def test_where_nothing_fits_the_size_and_the_remedy_are_named(segmenter, monkeypatch, bscan):
    lost = segmenter(device=CPU)
    tried = scarce(monkeypatch, lost, lambda *_: False, MemoryError)
    with pytest.raises(MemoryError, match=r"cpu: a grid of 48 x 64 pixels.*crop or a smaller copy"):
        told(lost, bscan(SHAPE))
    assert len(tried) < 10


def test_an_error_of_another_kind_is_not_taken_for_lack_of_memory(segmenter, monkeypatch, bscan):
    broken = segmenter()
    tried = scarce(monkeypatch, broken, lambda *_: False, lambda _: RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        told(broken, bscan(SHAPE))
    assert len(tried) == 1
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnSgetrf(...)`",
        "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "MPS backend out of memory (MPS allocated: 8.00 GB)",
        "Invalid buffer size: 12.50 GB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes",
    ],
)
def test_every_way_to_say_that_memory_is_short_is_understood(segmenter, monkeypatch, text, bscan):
    assert is_out_of_memory(RuntimeError(text))
    short = segmenter()
    scarce(monkeypatch, short, lambda b, n, *_: n <= 2, lambda _: RuntimeError(text))
    _, said, _ = told(short, bscan(SHAPE))
    assert [one.partition(": going on with ")[2] for one in said] == ["samples at once: 2"]


@pytest.mark.parametrize(("unused", "given"), [(KEPT - 1, 0), (KEPT + 1, 1)])
def test_a_run_gives_back_what_it_held_of_a_gpu(segmenter, monkeypatch, bscan, unused, given):
    emptied = []
    monkeypatch.setattr(memory_ladder, "_unused", lambda device: unused)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    release(torch.device("cuda", 0), KEPT)
    assert len(emptied) == given
    ends = []
    monkeypatch.setattr(segmenter_module, "release", lambda *words: ends.append(words))
    run = segmenter().steps(bscan(SHAPE))
    next(run)
    assert ends == []
    run.close()  # Cancel
    segmenter().segment(bscan(SHAPE))
    assert ends == [(GPU, KEPT)] * 2


def test_the_ladder_ends(tiny):
    plan, rungs = Plan(GPU, 8, 8), []
    first = plan
    while (rung := smaller(plan, first, (1024, 768), 32)) is not None:
        plan = rung[0]
        rungs.append((plan.slices, plan.chains, plan.tile_px, plan.device))
    assert rungs[:6] == [(n, 8, None, GPU) for n in (4, 2, 1)] + [
        (1, n, None, GPU) for n in (4, 2, 1)
    ]
    assert rungs[6:9] == [(1, 1, 512, GPU), (1, 1, 256, GPU), (1, 8, None, CPU)]
    assert rungs[-1] == (1, 1, 256, CPU)


def test_a_grid_that_was_tiled_from_the_start_is_so_on_the_cpu(segmenter, monkeypatch, bscan):
    """Else its labels would depend on what else fills the GPU's memory."""
    image = bscan((128, 64))
    expected = segmenter(grid_px=64 * 64, tile_px=64).segment(image)
    full = segmenter(grid_px=64 * 64, tile_px=64)
    scarce(monkeypatch, full, lambda *_: False)
    result, said, _ = told(full, image)
    assert said[-1].endswith("the CPU")
    agree(result, expected)
    plan, _ = smaller(Plan(GPU, 1, 1, 8 * 32), Plan(GPU, 4, 8, 1024), (8192, 2048), 32)
    assert plan == Plan(CPU, 1, 8, 1024)


def test_a_large_grid_is_tiled_from_the_start(segmenter, bscan):
    image = bscan((128, 64))
    result, said, _ = told(segmenter(grid_px=128 * 64 - 1, tile_px=64), image)
    assert said == []
    agree(result, segmenter().segment(image), 0.99)
    assert (result.samples != segmenter(grid_px=128 * 64).segment(image).samples).any()


def test_a_moved_network_shares_nothing_that_was_not_asked_for(tiny):
    network = tiny._model.network
    copy = moved(network, torch.device("meta"))
    assert {p.device.type for p in copy.parameters()} == {"meta"}
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    assert copy.state_dict().keys() == network.state_dict().keys()
    assert not copy.training


def test_a_card_that_is_full_is_named_and_auto_takes_the_cpu():
    def make(device):
        if device == GPU:
            raise RuntimeError("CUDA error: out of memory\nCompile with ...")
        return device

    with pytest.warns(UserWarning, match=r"memory on cpu:0 .*\(CUDA error: out of memory\): going"):
        assert placed(make, GPU, else_cpu=True) == CPU
    with pytest.raises(MemoryError, match="close other programs that use it, or choose the device"):
        placed(make, GPU, else_cpu=False)
