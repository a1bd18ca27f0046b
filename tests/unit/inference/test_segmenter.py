"""NumPy in, a Segmentation out: any real image, on its own grid, reproducible, refused in words."""

import json
from datetime import datetime

import numpy as np
import pytest
import torch

from spad.inference import drained, ensemble
from spad.inference import model as model_module
from spad.inference.segmenter import Step

K = 4
SHAPE = (37, 53)  # neither the network's size nor a multiple of anything


def same(a, b):
    assert np.array_equal(a.labels, b.labels)
    assert np.array_equal(a.samples, b.samples)
    assert np.array_equal(a.uncertainty, b.uncertainty)


# Images


def test_the_result_is_on_the_image_s_grid_with_the_types_promised(tiny, bscan):
    for shape in (SHAPE, (3, *SHAPE), (1, 9), (1, *SHAPE)):
        out = tiny.segment(bscan(shape), (0.01, 0.02), samples=3, probability=True)
        assert out.labels.shape == out.uncertainty.shape == shape
        assert out.samples.shape == (3, *shape)
        assert out.probability.shape == (K, *shape)
        assert out.labels.dtype == out.samples.dtype == np.uint8
        assert out.uncertainty.dtype == out.probability.dtype == np.float16
        assert out.labels.max() < K
        assert out.samples.max() < K
        assert out.spacing_mm == (0.01, 0.02)
        assert out.classes == tiny.card.classes
    assert tiny.segment(bscan(SHAPE)).probability is None


def test_the_labels_are_the_most_probable_and_the_uncertainty_is_their_entropy(tiny, bscan):
    out = tiny.segment(bscan(SHAPE), samples=8, probability=True)
    p = out.probability.astype(np.float64)
    np.testing.assert_allclose(p.sum(0), 1, atol=2e-3)
    chosen = np.take_along_axis(p, out.labels[None].astype(int), 0)[0]
    assert (chosen >= p.max(0) - 1e-3).all()
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(0) / np.log(K)
    np.testing.assert_allclose(out.uncertainty, entropy, atol=5e-3)
    assert 0 <= out.uncertainty.min() < 0.2 < out.uncertainty.max() <= 1
    assert len(np.unique(out.labels)) > 1


def test_a_large_image_done_class_by_class_comes_out_the_same(tiny, bscan, monkeypatch):
    image, clamp = bscan((301, 405)), np.full((301, 405), 255, np.uint8)
    clamp[:9] = 2
    usual = tiny.segment(image, clamp=clamp, samples=3, probability=True)
    monkeypatch.setattr(ensemble, "_LARGE", 0)
    one = tiny.segment(image, clamp=clamp, samples=3, probability=True)
    assert np.array_equal(one.labels, usual.labels)
    assert np.array_equal(one.samples, usual.samples)
    assert np.array_equal(one.probability, usual.probability)
    np.testing.assert_allclose(one.uncertainty, usual.uncertainty, atol=1e-3)  # summed in order


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int32", "float16", "float64", ">i2"])
def test_the_same_picture_in_any_real_dtype_gives_the_same_labels(tiny, dtype, bscan):
    image = bscan(SHAPE) // 2 if dtype != "bool" else bscan(SHAPE) > 120
    expected = tiny.segment(image.astype(np.float32))
    assert (tiny.segment(image.astype(dtype)).labels == expected.labels).mean() > 0.999


def test_a_grey_rgb_image_gives_the_labels_of_its_grey(tiny, bscan):
    for shape in (SHAPE, (2, *SHAPE)):
        grey = bscan(shape)
        expected = tiny.segment(grey)
        for channels in ([grey] * 3, [grey] * 3 + [np.full_like(grey, 9)]):
            out = tiny.segment(np.stack(channels, -1), rgb=True)
            assert out.labels.shape == shape
            assert (out.labels == expected.labels).mean() > 0.999


def test_views_and_lists_give_the_result_of_the_plain_array(tiny, bscan):
    image = bscan((60, 80))
    for view in (image.T, image[::-1], image[:, ::-2], image[3:40, 5:30], np.asfortranarray(image)):
        same(tiny.segment(view), tiny.segment(np.ascontiguousarray(view)))
    same(tiny.segment(image.tolist()), tiny.segment(image.astype(np.int64)))
    assert tiny.segment(np.broadcast_to(image[:1], (9, 80))).labels.shape == (9, 80)


def test_an_inverted_image_is_segmented_as_its_negative(tiny, bscan):
    image = bscan(SHAPE, dtype="float32")
    assert (tiny.segment(255 - image, inverted=True).labels == tiny.segment(image).labels).all()
    assert (tiny.segment(255 - image).labels != tiny.segment(image).labels).any()


def test_a_fixed_line_thinner_than_the_network_s_grid_tells_of_its_neighbours(tiny, bscan):
    image = bscan((6 * 32, 6 * 48))
    clamp = np.full(image.shape, 255, np.uint8)
    clamp[77] = 1  # of each six rows the fourth is looked at
    plain, fixed = tiny.segment(image).samples, tiny.segment(image, clamp=clamp).samples
    assert (fixed[:, 77] == 1).all()
    assert (np.delete(fixed, 77, 1) != np.delete(plain, 77, 1)).any()


def test_the_host_s_arrays_are_left_alone(tiny, bscan):
    image, start = bscan(SHAPE, dtype="float32"), np.ones(SHAPE, np.uint8)
    clamp = np.full(SHAPE, 255, np.uint8)
    before = [a.copy() for a in (image, start, clamp)]
    tiny.segment(image, start=start, clamp=clamp, region=clamp > 0)
    assert all(np.array_equal(a, b) for a, b in zip((image, start, clamp), before, strict=True))


class Lazy:
    """An array that gives one slice at a time, as h5py and zarr do (no new axes)."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, index):
        if index is None:
            raise TypeError("no new axes here")
        self.reads.append(index)
        return self.array[index]

    def __array__(self, dtype=None, copy=None):
        if len(self.shape) > 2:
            raise MemoryError("the whole stack was asked for")
        return np.array(self.array, dtype)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_lazy_stack_is_read_slice_by_slice(tiny, dtype, bscan):
    image = bscan((4, *SHAPE), dtype)
    lazy = Lazy(image)
    same(tiny.segment(lazy), tiny.segment(image))
    assert set(lazy.reads) == {0, 1, 2, 3}


def test_a_lazy_b_scan_is_read_too(tiny, bscan):
    same(tiny.segment(Lazy(bscan(SHAPE))), tiny.segment(bscan(SHAPE)))


def test_dask_arrays_and_memory_maps_give_the_result_of_the_array(tiny, tmp_path, bscan):
    image = bscan((3, *SHAPE), "float32")
    mapped = np.memmap(tmp_path / "stack", image.dtype, "w+", shape=image.shape)
    mapped[:] = image
    same(tiny.segment(mapped), tiny.segment(image))
    da = pytest.importorskip("dask.array")
    same(tiny.segment(da.from_array(image, chunks=(1, 20, 53))), tiny.segment(image))
    same(tiny.segment(da.from_array(image[0])), tiny.segment(image[0]))


# Draws


def test_the_same_seed_gives_the_same_result_and_another_seed_other_samples(tiny, bscan):
    image = bscan(SHAPE)
    same(tiny.segment(image, seed=7), tiny.segment(image, seed=7))
    assert (tiny.segment(image, seed=7).samples != tiny.segment(image, seed=8).samples).any()
    assert (tiny.segment(image).samples == tiny.segment(image, seed=0).samples).all()


def test_chains_differ_and_three_of_them_are_the_first_three_of_eight(tiny, bscan):
    eight = tiny.segment(bscan(SHAPE), samples=8).samples
    assert (tiny.segment(bscan(SHAPE), samples=3).samples == eight[:3]).mean() > 0.9999
    assert len({sample.tobytes() for sample in eight}) == 8


def test_a_slice_s_result_does_not_depend_on_the_other_slices(tiny, bscan):
    stack = bscan((3, *SHAPE))
    other = stack.copy()
    other[[0, 2]] = 255 - other[[0, 2]]
    a, b = tiny.segment(stack), tiny.segment(other)
    assert np.array_equal(a.samples[:, 1], b.samples[:, 1])
    assert (a.samples[:, 0] != b.samples[:, 0]).any()
    alone = tiny.segment(stack[0])
    assert np.array_equal(a.samples[:, 0], alone.samples)
    twice = tiny.segment(stack[[0, 0]])
    assert (twice.samples[:, 0] != twice.samples[:, 1]).any()  # each has draws of its own


def test_settings_come_from_the_card_unless_given(bscan, model):
    of_card = model(steps=4, samples=5, grid="log-snr")
    out = of_card.segment(bscan(SHAPE))
    assert out.samples.shape[0] == out.provenance["samples"] == 5
    same(out, of_card.segment(bscan(SHAPE), steps=4, samples=5))
    assert of_card.segment(bscan(SHAPE), steps=2, samples=1).provenance["steps"] == 2
    assert (model(temperature=50.0).segment(bscan(SHAPE)).uncertainty.mean()) > 0.8


def test_a_b_scan_run_alone_under_its_own_number_comes_out_as_in_its_stack(tiny, bscan):
    stack = bscan((4, *SHAPE))
    whole, run = tiny.segment(stack), tiny.steps(stack[2:], first_slice=2)
    assert [step.slice_index for step in run] == [2] * 3 + [3] * 3
    same_part = tiny.segment(stack[2:], first_slice=2)
    assert np.array_equal(same_part.samples, whole.samples[:, 2:])
    assert np.array_equal(same_part.labels, whole.labels[2:])


# Steps


def test_the_image_is_encoded_once_and_the_denoiser_asked_once_a_step_for_all_chains(bscan, model):
    net = (of := model())._model.network
    calls = {"encoder": 0, "denoiser": []}
    net.encoder.register_forward_hook(lambda *_: calls.update(encoder=calls["encoder"] + 1))
    net.denoiser.register_forward_hook(lambda *io: calls["denoiser"].append(io[1][0].shape[:2]))
    of.segment(bscan((2, *SHAPE)), samples=5, steps=3)
    # At T, where x_T says nothing, the encoder's own logits do.
    assert calls == {"encoder": 2, "denoiser": [(1, 5)] * 4}


@pytest.mark.parametrize("kind", ["cached", "unet"])
def test_steps_are_counted_to_the_total_and_each_slice_ends_with_its_final_labels(
    kind, bscan, model
):
    run = model(kind).steps(bscan((3, *SHAPE)), steps=4)
    steps = []
    result = drained(run, steps.append)
    each = 4 if kind == "cached" else 1
    assert all(isinstance(step, Step) for step in steps)
    assert [step.done for step in steps] == list(range(1, 3 * each + 1))
    assert {step.total for step in steps} == {3 * each}
    assert [step.slice_index for step in steps] == [z for z in range(3) for _ in range(each)]
    for i, step in enumerate(steps):
        if (i + 1) % each:
            assert step.labels is None
        else:
            assert np.array_equal(step.labels, result.labels[step.slice_index])


def modes():
    return (
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
    )


@pytest.mark.parametrize("kind", ["cached", "unet"])
@pytest.mark.parametrize("bf16", [False, True])
def test_the_host_never_runs_in_torch_s_modes_of_the_engine(kind, bf16, monkeypatch, bscan, model):
    autocast = lambda device: torch.autocast("cpu", torch.bfloat16, enabled=bf16)  # noqa: E731
    monkeypatch.setattr(model_module, "autocast", autocast)
    before = modes()
    run = model(kind).steps(bscan((2, *SHAPE)))
    for _ in run:
        assert modes() == before
        assert torch.ones(1, requires_grad=True).mul(2).requires_grad
    assert modes() == before


def test_ceasing_to_iterate_cancels_and_leaves_everything_as_it_was(tiny, bscan):
    before, calls = modes(), []
    hook = tiny._model.network.denoiser.register_forward_hook(lambda *_: calls.append(0))
    run = tiny.steps(bscan((3, *SHAPE)), steps=5)
    next(run), next(run), next(run)
    run.close()
    hook.remove()
    assert len(calls) == 2
    assert modes() == before
    same(tiny.segment(bscan(SHAPE)), tiny.segment(bscan(SHAPE)))


def test_a_network_that_fails_leaves_the_modes_as_they_were(tiny, monkeypatch, bscan):
    before = modes()
    monkeypatch.setattr(tiny._model.network, "denoise", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tiny.segment(bscan(SHAPE))
    assert modes() == before
    monkeypatch.setattr(tiny._model.network, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tiny.segment(bscan(SHAPE))
    assert modes() == before


# Provenance


def test_provenance_is_json_and_says_how_the_result_came_about(tiny, bscan):
    image = bscan((2, *SHAPE))
    out = tiny.segment(image, seed=5, samples=2, steps=4)
    told = json.loads(json.dumps(out.provenance, allow_nan=False))
    assert told["checkpoint"] == {"name": "tiny", "sha256": "abc"}
    assert (told["seed"], told["samples"], told["steps"], told["device"]) == (5, 2, 4, "cpu")
    assert told["torch"] == torch.__version__
    assert told["spad"]
    assert datetime.fromisoformat(told["date"]).utcoffset() is not None
    assert "research" in told["notice"]
    hashes = {
        tiny.segment(a).provenance["image_sha256"]
        for a in (image, np.asfortranarray(image), image + 1, image[0])
    }
    assert len(hashes) == 3
    assert told["image_sha256"] in hashes


def test_numpy_integers_as_settings_are_as_good_as_python_s(tiny, bscan):
    given = {"samples": np.int64(2), "steps": np.int32(3), "seed": np.uint8(4)}
    out = tiny.segment(bscan(SHAPE), start=np.zeros(SHAPE, np.uint8), t0=np.int64(50), **given)
    told = json.loads(json.dumps(out.provenance))
    assert (told["samples"], told["steps"], told["seed"], told["t0"]) == (2, 3, 4, 50)
