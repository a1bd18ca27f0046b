"""What a host may ask of the segmenter: edits, a plain U-Net, a device; and what is refused."""

import numpy as np
import pytest
import torch

import spad
from spad import phantom
from spad.inference import model as model_module
from spad.network.device import devices, pick_device

K, FREE = 4, 255
SHAPE = (37, 53)  # neither the network's size nor a multiple of anything
rng = np.random.default_rng(1)


def label_map(shape=SHAPE):
    return rng.integers(0, K, shape, dtype=np.uint8)


# Edits


@pytest.mark.parametrize("shape", [SHAPE, (100, 141), (9, 80), (32, 48), (2, *SHAPE)])
@pytest.mark.parametrize("steps", [1, 3])
def test_fixed_pixels_come_out_exactly_on_the_image_s_own_grid(tiny, shape, steps, bscan):
    image = bscan(shape)
    clamp = label_map(shape)
    clamp[rng.random(shape) < 0.7] = FREE  # single pixels, which no scaling survives
    out = tiny.segment(image, clamp=clamp, samples=3, steps=steps, probability=True)
    fixed = clamp != FREE
    assert np.array_equal(out.labels[fixed], clamp[fixed])
    assert (out.samples[:, fixed] == clamp[fixed]).all()
    assert not out.uncertainty[fixed].any()
    assert (out.labels[~fixed] != clamp[~fixed]).all()
    assert out.uncertainty[~fixed].any()


def test_the_probability_of_a_fixed_pixel_agrees_with_its_label(tiny, bscan):
    clamp = label_map()
    out = tiny.segment(bscan(SHAPE), clamp=clamp, probability=True)
    assert np.array_equal(out.probability.argmax(0), clamp)
    np.testing.assert_allclose(out.probability.max(0), 1, atol=1e-3)


def test_a_large_fixed_area_is_fixed_while_sampling_too(tiny, bscan):
    """Seen at the model's grid, whose denoiser spreads it: a free neighbour may change."""
    seen = []
    clamp = np.full(SHAPE, FREE, np.uint8)
    clamp[:20] = 3
    hook = tiny._model.network.denoiser.register_forward_hook(
        lambda *io: seen.append(io[1][0].clone())
    )
    tiny.segment(bscan(SHAPE), clamp=clamp, samples=4, steps=50)
    hook.remove()
    shares = [(x_t[0, :, :14] == 3).float().mean().item() for x_t in (seen[0], seen[25], seen[-1])]
    assert shares[0] < 0.35
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.95


@pytest.mark.parametrize("shape", [SHAPE, (64, 100), (2, *SHAPE)])
@pytest.mark.parametrize("t0", [None, 1, 250])
def test_outside_the_region_the_start_stands_to_the_pixel(tiny, shape, t0, bscan):
    start, region = label_map(shape), np.zeros(shape, bool)
    region[..., 10:25, 13:40] = True
    clamp = np.full(shape, FREE, np.uint8)
    clamp[..., 8:12, 20] = 2  # reaches out of the region, where it does not count
    out = tiny.segment(bscan(shape), start=start, region=region, clamp=clamp, t0=t0, samples=3)
    for result in (out.labels, *out.samples):
        assert np.array_equal(result[~region], start[~region])
        assert (result[region & (clamp == 2)] == 2).all()
    if t0 == 250:
        assert (out.labels[region] != start[region]).any()


def test_a_small_t0_keeps_the_start_and_a_large_one_forgets_it(model, bscan):
    start = (np.indices((32, 48)).sum(0) // 8 % K).astype(np.uint8)
    image, unsure = bscan((32, 48)), model()
    with torch.no_grad():
        for parameter in unsure._model.network.parameters():
            parameter.mul_(0.01)
    kept = {
        t0: (unsure.segment(image, start=start, t0=t0, samples=4).samples == start).mean()
        for t0 in (1, 75, 250)
    }
    assert kept[1] > 0.99
    assert kept[1] > kept[75] > kept[250]
    fresh = (unsure.segment(image, samples=4).samples == start).mean()
    assert kept[250] == pytest.approx(fresh, abs=0.1)


def test_a_restart_without_t0_begins_at_the_schedule_s_end(tiny, bscan):
    start = label_map()
    out = tiny.segment(bscan(SHAPE), start=start)
    assert out.provenance["t0"] == 250
    assert np.array_equal(out.samples, tiny.segment(bscan(SHAPE), start=start, t0=250).samples)
    assert tiny.segment(bscan(SHAPE)).provenance["t0"] is None


def test_each_slice_has_its_own_edits(tiny, bscan):
    clamp = np.full((2, *SHAPE), FREE, np.uint8)
    clamp[0], clamp[1, :9] = 1, 2
    out = tiny.segment(bscan((2, *SHAPE)), clamp=clamp)
    assert (out.labels[0] == 1).all()
    assert (out.labels[1, :9] == 2).all()
    assert (out.labels[1, 9:] != 1).any()


def test_non_contiguous_edits_are_as_good_as_contiguous_ones(tiny, bscan):
    start = label_map(SHAPE[::-1]).T
    region = (label_map(SHAPE[::-1]) > 1).T[:, ::-1]
    a = tiny.segment(bscan(SHAPE), start=start, region=region)
    b = tiny.segment(bscan(SHAPE), start=start.copy(), region=region.copy())
    assert np.array_equal(a.samples, b.samples)


# A plain U-Net


def test_a_plain_unet_segments_in_one_step_as_one_sample(bscan, model):
    out = model("unet").segment(bscan((2, *SHAPE)), samples=8, steps=3, probability=True)
    assert out.samples.shape == (1, 2, *SHAPE)
    assert np.array_equal(out.samples[0], out.labels)
    assert len(np.unique(out.labels)) > 1
    assert (out.provenance["steps"], out.provenance["samples"]) == (1, 1)
    np.testing.assert_allclose(out.probability.astype(float).sum(0), 1, atol=2e-3)
    assert model("unet", temperature=50.0).segment(bscan(SHAPE)).uncertainty.mean() > 0.8


@pytest.mark.parametrize("name", ["clamp", "start"])
def test_a_plain_unet_refuses_edits(name, bscan, model):
    with pytest.raises(ValueError, match=r"is a unet\).*take a SPAD model"):
        model("unet").segment(bscan(SHAPE), **{name: np.zeros(SHAPE, np.uint8)})


# Refusals


def refused(tiny, match, image, **options):
    with pytest.raises(ValueError, match=match):
        next(tiny.steps(image, **options))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_and_infinity_are_refused_with_the_slice_before_the_first_step(
    tiny, value, dtype, bscan
):
    image = bscan((3, *SHAPE), dtype)
    image[2, 5, 6] = value
    refused(tiny, "B-scan 3.*NaN or infinity.*replace", image)
    refused(tiny, "B-scan 1.*NaN or infinity", image[2])


@pytest.mark.parametrize("shape", [(), (9,), (2, 2, 9, 9), (0, 9), (9, 0), (0, 9, 9)])
def test_an_array_that_is_no_b_scan_nor_stack_is_refused_with_its_shape(tiny, shape):
    image = np.zeros(shape, np.uint8)
    refused(
        tiny, rf"shape {str(shape).replace('(', '[(]').replace(')', '[)]')}.*\(Z, H, W\)", image
    )


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 2), (3, *SHAPE), (*SHAPE, 5), (2, 2, 9, 9, 3)])
def test_an_image_said_to_be_rgb_that_is_none_is_refused_with_its_shape(tiny, shape):
    refused(tiny, rf"shape \({shape[0]}, ", np.zeros(shape, np.uint8), rgb=True)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "S3", "object", "datetime64[s]", "V4"])
def test_pixels_that_are_no_real_numbers_are_refused_with_their_type(tiny, dtype):
    refused(tiny, "not real numbers.*convert", np.zeros(SHAPE, dtype))


def test_a_torch_tensor_is_taken_or_refused_in_words(tiny, bscan):
    expected = tiny.segment(bscan(SHAPE))
    assert np.array_equal(tiny.segment(torch.from_numpy(bscan(SHAPE))).labels, expected.labels)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"samples": 0}, r"0 samples.*1 to 64"),
        ({"samples": -1}, r"-1 samples.*1 to 64"),
        ({"samples": 65}, r"65 samples.*1 to 64"),
        ({"samples": 2.5}, r"samples.*2\.5"),
        ({"samples": "2"}, r"samples.*'2'"),
        ({"steps": 0}, r"0 steps.*1\.\.250"),
        ({"steps": 251}, r"251 steps.*1\.\.250"),
        ({"steps": 2.5}, r"steps.*2\.5"),
        ({"seed": -1}, r"seed is -1; choose one from 0 to 18446744073709551615"),
        ({"seed": 2**64}, r"seed is 18446744073709551616; choose one from 0 to "),
        ({"seed": 10**400}, r"seed is an integer of 1329 bits; choose one from 0 to "),
        ({"seed": 1.5}, r"seed.*1\.5"),
        ({"first_slice": -1}, r"first_slice.*-1"),
        ({"t0": 5}, "t0.*without start.*give both"),
        ({"t0": 0, "start": np.zeros(SHAPE, np.uint8)}, r"t0 is 0.*1\.\.250"),
        ({"t0": 251, "start": np.zeros(SHAPE, np.uint8)}, r"t0 is 251.*1\.\.250"),
        ({"t0": 5.5, "start": np.zeros(SHAPE, np.uint8)}, r"t0.*5\.5"),
    ],
    ids=str,
)
def test_a_setting_out_of_its_limits_is_refused_with_value_and_limit(tiny, options, match, bscan):
    with pytest.raises((ValueError, TypeError), match=match):
        next(tiny.steps(bscan(SHAPE), **options))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"region": np.ones(SHAPE, bool)}, "region.*without start.*give both"),
        ({"clamp": np.zeros((5, 6), np.uint8)}, r"clamp has shape \(5, 6\).*\(37, 53\)"),
        ({"start": np.zeros((1, *SHAPE), np.uint8)}, r"start has shape \(1, 37, 53\).*\(37, 53\)"),
        ({"clamp": np.zeros(SHAPE, np.int64)}, "clamp.*type int64.*uint8"),
        ({"start": np.zeros(SHAPE, bool)}, "start.*type bool.*uint8"),
        ({"clamp": np.full(SHAPE, 4, np.uint8)}, r"clamp.*\[4\].*0\.\.3.*255 for free"),
        ({"start": np.full(SHAPE, 255, np.uint8)}, r"start.*\[255\].*0\.\.3$"),
        (
            {"start": np.zeros(SHAPE, np.uint8), "region": np.ones(SHAPE, np.uint8)},
            "region.*type uint8.*bool",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_an_edit_that_does_not_fit_is_refused_with_what_would(tiny, options, match, bscan):
    refused(tiny, match, bscan(SHAPE), **options)


def test_nothing_is_asked_of_the_network_before_everything_is_checked(tiny, monkeypatch, bscan):
    monkeypatch.setattr(tiny._model.network, "encode", lambda *_: pytest.fail("encoded"))
    refused(tiny, "clamp", bscan(SHAPE), clamp=np.zeros((1, 1), np.uint8))
    image = bscan((3, *SHAPE), "float32")
    image[2] = np.nan
    refused(tiny, "NaN", image)


# Devices


def test_the_devices_include_the_cpu_and_auto_is_the_first():
    assert "cpu" in devices()
    assert str(pick_device("auto")) == devices()[0]
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "CPU", "cpu:1"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match=rf"{name!r} is not on this machine.*cpu, auto"):
        pick_device(name)


def test_bfloat16_gives_nearly_the_labels_of_float32(tiny, monkeypatch, bscan):
    labels = []
    for enabled in (False, True):
        context = lambda device, on=enabled: torch.autocast("cpu", torch.bfloat16, enabled=on)  # noqa: E731
        monkeypatch.setattr(model_module, "autocast", context)
        labels.append(tiny.segment(bscan((2, *SHAPE)), samples=4))
    assert (labels[0].labels == labels[1].labels).mean() > 0.99
    difference = np.abs(labels[0].uncertainty - labels[1].uncertainty).mean()
    assert 0 < difference < 0.01


def test_a_trained_model_s_label_map_is_the_same_in_bfloat16(monkeypatch):
    labels = []
    for enabled in (False, True):
        context = lambda device, on=enabled: torch.autocast("cpu", torch.bfloat16, enabled=on)  # noqa: E731
        monkeypatch.setattr(model_module, "autocast", context)
        shipped = spad.load("oct-phantom", "cpu")
        images = [phantom.bscan(seed, shape=(128, 192)).image for seed in (3, 11)]
        labels.append(np.stack([shipped.segment(image).labels for image in images]))
    assert (labels[0] > 0).any()
    assert (labels[0] == labels[1]).mean() >= 0.995


@pytest.mark.cuda
def test_the_gpu_agrees_with_the_cpu(monkeypatch, bscan, model):
    exact = lambda device: torch.autocast(device.type, enabled=False)  # noqa: E731
    monkeypatch.setattr(model_module, "autocast", exact)
    image = bscan((2, 60, 90))
    clamp = np.full(image.shape, 255, np.uint8)
    clamp[:, 5:9] = 2
    for edits in ({}, {"clamp": clamp, "start": np.zeros_like(clamp)}):
        cpu, gpu = (model(device=d).segment(image, samples=4, **edits) for d in ("cpu", "cuda"))
        assert (cpu.labels == gpu.labels).mean() >= 0.995
        assert gpu.provenance["device"].startswith("cuda")


class Unknown:
    """As dask gives a stack of whose chunks nobody knows the size."""

    shape, dtype = (float("nan"), *SHAPE), np.dtype(np.uint8)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((200, 300, 3), np.uint8), "last axis looks like colours: say rgb=True"),
        (np.ma.masked_less(np.arange(6.0).reshape(2, 3), 3), "masked array"),
        (Unknown(), "compute_chunk_sizes"),
    ],
)
def test_an_image_that_is_not_what_it_seems_is_refused(tiny, image, said):
    with pytest.raises(ValueError, match=said):
        tiny.segment(image)


@pytest.mark.parametrize("spacing", [(0, 1), (-1, 1), (np.nan, 1), (1,), (1, 2, 3, 4), "ab", 0.1])
def test_a_spacing_that_is_none_is_refused(tiny, bscan, spacing):
    with pytest.raises(ValueError, match=r"spacing_mm is .* above 0"):
        tiny.segment(bscan(SHAPE), spacing)
