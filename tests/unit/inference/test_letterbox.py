"""An image comes onto the network's grid in its aspect, the result comes back in its shape."""

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from spad.cases import luminance
from spad.checkpoint.card import InputConfig
from spad.inference.letterbox import frame_of, normalise


def given(*strategies):
    """Hypothesis' given: the same examples in every run, as long as they take."""
    fixed = hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
    return lambda test: fixed(hypothesis.given(*strategies)(test))


SIZE = (64, 96)
INSIDE = InputConfig(size=SIZE)
WIDTH = InputConfig(size=SIZE, fit="width")
sides = st.integers(1, 900)
rng = np.random.default_rng(0)


# Letterbox


@given(sides, sides, st.sampled_from([INSIDE, WIDTH]), st.sampled_from([2, 8, 32]))
def test_the_aspect_is_kept_within_a_pixel_and_only_the_last_stride_is_padding(
    h, w, config, stride
):
    frame = frame_of((h, w), config, stride)
    limit = (SIZE[0] * (4 if config.fit == "width" else 1), SIZE[1])
    factor = min(limit[0] / h, limit[1] / w)
    for side, inner, padded, most in zip((h, w), frame.inner, frame.padded, limit, strict=True):
        assert inner == 1 or abs(inner - side * factor) <= 0.5 + 1e-6
        assert 1 <= inner <= most
        assert padded % stride == 0
        assert 0 <= padded - inner < stride


@pytest.mark.parametrize("shape", [(64, 96), (128, 192), (200, 300), (32, 48)])
def test_an_image_of_the_training_aspect_fills_the_training_size(shape):
    assert frame_of(shape, INSIDE, 32).padded == frame_of(shape, INSIDE, 32).inner == SIZE


def test_an_image_of_nine_to_one_keeps_its_aspect_either_way():
    assert frame_of((100, 900), INSIDE, 8).inner == (11, 96)
    assert frame_of((900, 100), INSIDE, 8).inner == (64, 7)
    assert frame_of((100, 900), INSIDE, 8).padded == (16, 96)


def test_fit_to_width_keeps_a_tall_image_wide_but_bounds_its_height():
    assert frame_of((192, 96), WIDTH, 8).inner == (192, 96)
    assert frame_of((192, 96), INSIDE, 8).inner == (64, 32)
    assert frame_of((90_000, 96), WIDTH, 8).padded[0] == 4 * SIZE[0]


@given(sides, sides, st.sampled_from([INSIDE, WIDTH]))
def test_the_result_comes_back_in_the_image_s_shape(h, w, config):
    frame = frame_of((h, w), config, 8)
    assert frame.restore(torch.zeros(2, 3, *frame.padded)).shape == (2, 3, h, w)


@pytest.mark.parametrize("shape", [(64, 96), (40, 90), (100, 30), (300, 200), (1, 500)])
def test_the_network_s_input_has_the_padded_shape_and_the_edge_s_value_in_the_padding(shape):
    frame = frame_of(shape, INSIDE, 32)
    x = frame.image(rng.uniform(-1, 1, shape).astype(np.float32))
    assert x.shape == (1, 1, *frame.padded)
    assert x.dtype == torch.float32
    h, w = frame.inner
    edge = x[0, 0, :h, :w]
    assert torch.equal(x[0, 0, h:, :w], edge[-1:].expand(frame.padded[0] - h, w))
    assert torch.equal(x[0, 0, :h, w:], edge[:, -1:].expand(h, frame.padded[1] - w))
    assert x.abs().max() <= 1 + 1e-6


def test_an_image_of_the_network_s_size_passes_unchanged_both_ways():
    frame = frame_of(SIZE, INSIDE, 32)
    image = rng.uniform(-1, 1, SIZE).astype(np.float32)
    assert np.array_equal(frame.image(image)[0, 0].numpy(), image)
    maps = torch.from_numpy(rng.random((2, 3, *SIZE)))
    assert torch.equal(frame.restore(maps), maps)


@pytest.mark.parametrize("shape", [(160, 96), (20, 30), (333, 257), (50, 400)])
def test_an_image_is_neither_flipped_nor_shifted_on_its_way_there_and_back(shape):
    """A ramp across the image is the same ramp after both scalings, but at the blurred border."""
    frame = frame_of(shape, INSIDE, 8)
    for axis in (0, 1):
        ramp = np.moveaxis(np.linspace(-1, 1, shape[axis], dtype=np.float32)[None], 1, axis)
        ramp = np.ascontiguousarray(np.broadcast_to(ramp, shape))
        back = frame.restore(frame.image(ramp))[0, 0].numpy()
        inside = np.abs(ramp) < 1 - 6 / min(frame.inner[axis], shape[axis])
        assert inside.any()
        np.testing.assert_allclose(back[inside], ramp[inside], atol=2e-3)


def test_fine_detail_is_averaged_not_aliased_where_an_image_shrinks():
    speckle = rng.choice(np.array([-1, 1], np.float32), (256, 384))
    x = frame_of(speckle.shape, INSIDE, 8).image(speckle)
    assert x.std() < 0.3  # 16 pixels become one; a sample of four would leave 0.5


# Label maps


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_label_maps_are_scaled_to_the_nearest_label_and_padded_with_the_value_given(h, w, seed):
    frame = frame_of((h, w), INSIDE, 8)
    labels = np.random.default_rng(seed).integers(0, 5, (h, w), dtype=np.uint8)
    out = frame.labels(labels, 255)
    inner = frame.inner
    assert out.shape == frame.padded
    assert out.dtype == np.uint8
    assert (out[inner[0] :] == 255).all()
    assert (out[:, inner[1] :] == 255).all()
    for y, x in np.random.default_rng(seed).integers(0, inner, (20, 2)):
        # The label under the centre of the pixel (in exact integer arithmetic).
        row = (2 * y + 1) * h // (2 * inner[0])
        column = (2 * x + 1) * w // (2 * inner[1])
        assert out[y, x] == labels[row, column]


def test_a_label_map_of_the_network_s_size_passes_unchanged():
    labels = rng.integers(0, 5, SIZE, dtype=np.uint8)
    assert np.array_equal(frame_of(SIZE, INSIDE, 8).labels(labels, 0), labels)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_of_strokes_no_pixel_is_lost_and_where_nothing_was_said_nothing_else_changes(h, w, seed):
    frame = frame_of((h, w), INSIDE, 8)
    draw = np.random.default_rng(seed)
    labels = np.where(draw.random((h, w)) < 0.002, draw.integers(0, 5, (h, w)), 255)
    labels = labels.astype(np.uint8)
    labels[draw.integers(h)], labels[:, draw.integers(w)] = draw.integers(0, 5, 2)
    nearest, out = frame.labels(labels, 255), frame.strokes(labels)
    assert out.dtype == np.uint8
    assert np.array_equal(out[nearest != 255], nearest[nearest != 255])
    around = np.pad(out, 1, constant_values=255)
    for y, x in np.argwhere(labels != 255):
        # The cell under the pixel's centre (in exact integer arithmetic).
        row = (2 * y + 1) * frame.inner[0] // (2 * h)
        column = (2 * x + 1) * frame.inner[1] // (2 * w)
        assert out[row, column] != 255 or labels[y, x] in around[row : row + 3, column : column + 3]
    for row, column in np.argwhere(out != nearest):
        top, left = -(-row * h // frame.inner[0]) - 1, -(-column * w // frame.inner[1]) - 1
        below = (row + 1) * h // frame.inner[0] + 1, (column + 1) * w // frame.inner[1] + 1
        assert out[row, column] in labels[max(top, 0) : below[0], max(left, 0) : below[1]]


def test_a_structure_goes_before_background_where_two_strokes_share_a_cell():
    frame = frame_of((640, 960), INSIDE, 8)  # of a cell's ten rows the sixth is looked at
    labels = np.full((640, 960), 255, np.uint8)
    labels[32], labels[33], labels[31] = 0, 2, 0
    out = frame.strokes(labels)
    assert (out[3] == 2).all()
    assert (np.delete(out, 3, 0) == 255).all()


def test_strokes_as_thick_as_a_cell_and_whole_maps_are_the_nearest_labels():
    y, x = np.indices((500, 700))
    whole = ((x // 40 + y // 30) % 4).astype(np.uint8)
    painted = np.full_like(whole, 255)
    for row, column, radius in ((80, 90, 8), (200, 300, 30), (400, 600, 9)):
        near = (y - row) ** 2 + (x - column) ** 2 < radius**2
        painted[near] = row % 3
    frame = frame_of((500, 700), INSIDE, 8)
    assert min(500 / frame.inner[0], 700 / frame.inner[1]) > 7
    for labels in (whole, painted):
        assert np.array_equal(frame.strokes(labels), frame.labels(labels, 255))


@pytest.mark.parametrize("shape", [(301, 443), (640, 960), (40, 50), (64, 96)])
def test_labels_and_image_land_on_the_same_pixels(shape):
    labels = np.zeros(shape, np.uint8)
    labels[shape[0] // 5 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 1
    frame = frame_of(shape, INSIDE, 8)
    h, w = frame.inner
    x = frame.image(labels.astype(np.float32))[0, 0].numpy()[:h, :w]
    scaled = frame.labels(labels, 0)[:h, :w]
    assert np.array_equal(scaled[x == 1], np.ones((x == 1).sum()))
    assert np.array_equal(scaled[x == 0], np.zeros((x == 0).sum()))
    for axis in (0, 1):
        centres = [np.average(np.indices(x.shape)[axis], weights=m) for m in (x, scaled)]
        assert abs(centres[0] - centres[1]) < 0.5


# Intensities


def test_the_percentiles_become_minus_one_and_one_and_the_rest_is_clipped():
    config = InputConfig(size=SIZE, low_percentile=10, high_percentile=90)
    image = np.arange(101, dtype=np.float32).reshape(1, -1)
    out = normalise(image, config)[0]
    assert out[10] == pytest.approx(-1, abs=1e-6)
    assert out[50] == pytest.approx(0, abs=1e-6)
    assert out[90] == pytest.approx(1, abs=1e-6)
    assert (out[:10] == -1).all()
    assert (out[91:] == 1).all()


DTYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int64", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_dtype_of_the_same_image_gives_the_same_input(dtype):
    image = rng.integers(0, 120, (40, 50))
    out = normalise(image.astype(dtype), INSIDE)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, normalise(image.astype(np.float64), INSIDE), atol=1e-6)


def test_an_image_of_true_and_false_has_both_ends():
    out = normalise(rng.random((40, 50)) < 0.5, INSIDE)
    assert set(np.unique(out)) == {-1, 1}


@pytest.mark.parametrize(
    ("dtype", "factor", "offset"),
    [
        ("uint16", 500, 5000),
        ("int16", -200, 0),
        ("float32", 1e-6, 0),
        ("float32", 1e30, 0),
        ("float64", 1e200, 0),
        ("float64", 1e-200, 0),
        ("int64", 1, 2**40),
        ("uint32", 1, 2**31),
        ("float64", 1, 1e9),
    ],
)
def test_scale_and_offset_of_the_intensities_do_not_matter(dtype, factor, offset):
    image = rng.integers(0, 120, (40, 50))
    expected = normalise(image, INSIDE, inverted=factor < 0)
    moved = (image.astype(dtype) * np.dtype(dtype).type(factor)) + np.dtype(dtype).type(offset)
    assert moved.dtype == dtype
    np.testing.assert_allclose(normalise(moved, INSIDE), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("inverted", [False, True])
def test_an_image_of_one_value_becomes_zeros(dtype, inverted):
    out = normalise(np.ones((9, 8), dtype), INSIDE, inverted=inverted)
    assert out.dtype == np.float32
    assert np.array_equal(out, np.zeros((9, 8)))


def test_an_inverted_image_is_the_negative():
    image = rng.integers(0, 255, (40, 50), dtype=np.uint8)
    assert np.array_equal(normalise(image, INSIDE, inverted=True), -normalise(image, INSIDE))


def test_normalising_leaves_the_host_s_image_alone():
    image = rng.random((9, 8), dtype=np.float32)
    before = image.copy()
    normalise(image, INSIDE)[:] = 7
    normalise(np.full((9, 8), 3, np.float32), INSIDE)[:] = 7
    assert np.array_equal(image, before)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_luminance_weighs_red_green_and_blue_and_ignores_alpha(channels, dtype):
    image = rng.integers(0, 255, (2, 5, 6, channels)).astype(dtype)
    out = luminance(image)
    r, g, b = (image[..., i].astype(np.float64) for i in range(3))
    np.testing.assert_allclose(out, 0.299 * r + 0.587 * g + 0.114 * b, rtol=1e-6)
    assert out.dtype == np.float32
    assert out.shape == (2, 5, 6)


def test_luminance_of_grey_is_the_grey():
    grey = rng.integers(0, 255, (5, 6, 1), dtype=np.uint8)
    np.testing.assert_allclose(luminance(np.repeat(grey, 3, -1)), grey[..., 0], atol=1e-4)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", ">u2"])
@pytest.mark.parametrize("inverted", [False, True])
def test_integers_of_few_values_are_normalised_to_the_bit_as_their_float64(dtype, inverted):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        top = 2 if dtype == "bool" else rng.integers(1, 2 ** (8 * np.dtype(dtype).itemsize))
        image = rng.integers(0, top, rng.integers(1, 60, 2)).astype(dtype)
        config = InputConfig(
            size=(32, 32), low_percentile=rng.uniform(0, 40), high_percentile=rng.uniform(50, 100)
        )
        out = normalise(image, config, inverted=inverted)
        assert out.dtype == np.float32
        assert np.array_equal(out, normalise(image.astype(np.float64), config, inverted=inverted))


@pytest.mark.parametrize(
    "ramp",
    [
        np.arange(2**31, 2**31 + 256, dtype=np.uint32),
        np.arange(2**50, 2**50 + 256, dtype=np.int64),
        1e9 + np.arange(256) * 1e-3,
        np.arange(-128, 128) * 1.3e306,
    ],
)
def test_every_grey_counts_however_large_the_numbers(ramp):
    config = InputConfig(low_percentile=0, high_percentile=100)
    out = normalise(ramp.reshape(16, 16), config)
    assert len(np.unique(out)) == 256
    assert (out.min(), out.max()) == (-1, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("empty", [3.4028235e38, -3.4028235e38])
def test_pixels_without_a_value_are_as_dark_as_the_darkest(dtype, empty):
    raw = np.linspace(2, 3, 100, dtype=dtype).reshape(10, 10)
    raw[:, :4] = empty
    config = InputConfig(low_percentile=0, high_percentile=100)
    for inverted in (False, True):
        filled = raw.copy()
        filled[:, :4] = raw[:, 4:].max() if inverted else raw[:, 4:].min()
        out = normalise(raw, config, inverted=inverted)
        np.testing.assert_array_equal(out, normalise(filled, config, inverted=inverted))
        assert len(np.unique(out)) == 60
