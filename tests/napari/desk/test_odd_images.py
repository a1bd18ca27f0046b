"""Images as they really come, through `open_source` and the real engine, on their own grid."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("torch")

import dask.array as da
from napari.components import ViewerModel

from napari_spad.desk.run import Engine, Finished, Request, segment_parts
from napari_spad.layers.image_source import Source, open_source
from spad import phantom
from spad.checkpoint.labels import label_classes


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small untrained model whose card knows phantoms."""
    import torch

    from spad import checkpoint as files
    from spad.annotation import measures, summary
    from spad.checkpoint.card import (
        Card,
        InputConfig,
        NetworkConfig,
        SamplingConfig,
        ScheduleConfig,
    )
    from spad.network import build

    torch.manual_seed(0)
    config = InputConfig(size=(32, 48))
    known = summary(measures(image(seed), config) for seed in range(20))
    card = Card(
        name="untrained",
        classes=label_classes(phantom.CLASS_NAMES),
        network=NetworkConfig(widths=(8, 8, 8), blocks=1, denoiser_widths=(8, 8), time_width=8),
        schedule=ScheduleConfig(),
        input=InputConfig(size=(32, 48), statistics={"measures": known}),
        sampling=SamplingConfig(steps=2, samples=2),
    )
    network = build(card.network, len(card.classes), None)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.15)
    path = tmp_path_factory.mktemp("model") / "untrained.safetensors"
    files.save(path, card, network.state_dict())
    return path


def image(seed: int = 1000, shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    return phantom.bscan(seed, shape=shape).image


def opened(data, **settings) -> Source:
    viewer = ViewerModel()
    return open_source(viewer.add_image(data, **settings), viewer, whole_stack=True)


def segmented(checkpoint: Path, source: Source) -> tuple[list[Finished], list[str]]:
    """Results of all B-scans, and what was said."""
    request = Request(
        checkpoint=checkpoint, device="cpu", source=source, samples=2, steps=2, seed=0
    )
    events = list(segment_parts(Engine.spad(), request))
    done = [e for e in events if isinstance(e, Finished)]
    for event in done:
        size = (event.part.height, event.part.width)
        assert event.segmentation.labels.shape == size
        assert event.segmentation.uncertainty.shape == size
        assert np.isfinite(event.segmentation.uncertainty.astype(float)).all()
    return done, [*source.notes, *(text for e in done for text in e.said)]


GREY = image()
OUTLIERS = GREY / 255
OUTLIERS[3, 4], OUTLIERS[5, 6] = 1e30, -1e30

PLAIN: dict[str, Callable[[], np.ndarray]] = {
    "16 bit": lambda: GREY.astype(np.uint16) * 257,
    "float32": lambda: (GREY / 255).astype(np.float32),
    "float64 far from zero": lambda: GREY * 1e-3 - 1e6,
    "float16": lambda: GREY.astype(np.float16),
    "signed": lambda: GREY.astype(np.int16) - 1024,
    "32 bit": lambda: GREY.astype(np.uint32) * 16_777_216,
    "other byte order": lambda: GREY.astype(">u2"),
    "every other pixel": lambda: np.kron(GREY, np.ones((2, 2), np.uint8))[::2, ::2],
}


@pytest.mark.parametrize("kind", PLAIN)
def test_the_number_format_does_not_matter(checkpoint: Path, kind: str):
    (expected,), _ = segmented(checkpoint, opened(GREY))
    (event,), said = segmented(checkpoint, opened(PLAIN[kind]()))
    assert said == []
    agree = (event.segmentation.labels == expected.segmentation.labels).mean()
    assert agree > 0.99  # float16 and float32 round


def test_outliers_of_a_float_image_change_next_to_nothing(checkpoint: Path):
    (expected,), _ = segmented(checkpoint, opened(GREY))
    (event,), _ = segmented(checkpoint, opened(OUTLIERS))
    assert (event.segmentation.labels == expected.segmentation.labels).mean() > 0.95


def test_heidelbergs_mark_for_no_pixel_is_dark_and_said(checkpoint: Path):
    marked = (GREY / 255).astype(np.float32)
    marked[:, :20] = np.float32(3.4e38)
    black = (GREY / 255).astype(np.float32)
    black[:, :20] = black[:, 20:].min()
    (event,), said = segmented(checkpoint, opened(marked))
    (expected,), _ = segmented(checkpoint, opened(black))
    np.testing.assert_array_equal(event.segmentation.labels, expected.segmentation.labels)
    assert any("3.4e38" in text for text in said)


def bordered(value: int) -> np.ndarray:
    return np.pad(GREY, ((20, 20), (0, 0)), constant_values=value)


def cornered() -> np.ndarray:
    """A rotated export: white triangles in two corners."""
    rows, columns = np.indices(GREY.shape)
    return np.where(rows + columns < 40, 255, GREY).astype(np.uint8)


def written_on() -> np.ndarray:
    out = GREY.copy()
    out[2:9, 3:40:2] = 255
    return out


ODD: dict[str, Callable[[], np.ndarray]] = {
    "constant": lambda: np.full((64, 96), 7, np.uint8),
    "all black": lambda: np.zeros((64, 96), np.float32),
    "two values": lambda: GREY > 120,
    "black padding": lambda: bordered(0),
    "white padding": lambda: bordered(255),
    "white corners": cornered,
    "burnt-in text": written_on,
    "1024 wide": lambda: image(shape=(496, 1024)),
    "9 to 1": lambda: image(shape=(64, 576)),
    "1 to 9": lambda: image(shape=(64, 576)).T,
    "one row": lambda: GREY[:1],
    "odd sides": lambda: GREY[:53, :91],
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_images_come_back_on_their_own_grid(checkpoint: Path, kind: str):
    data = ODD[kind]()
    (event,), said = segmented(checkpoint, opened(data))
    assert event.segmentation.labels.shape == data.shape
    told = {"constant": "one value", "all black": "one value", "white padding": "pure white",
            "9 to 1": "9.0 times as wide", "1 to 9": "0.1 times as wide"}  # fmt: skip
    assert told.get(kind, "") in " ".join(said)


def test_a_grey_bscan_exported_in_colour_is_the_grey_one(checkpoint: Path):
    (expected,), _ = segmented(checkpoint, opened(GREY))
    for channels in (3, 4):
        rgb = np.repeat(GREY[..., None], channels, axis=-1)
        rgb[..., 3:] = 255
        (event,), said = segmented(checkpoint, opened(rgb, rgb=True))
        np.testing.assert_array_equal(event.segmentation.labels, expected.segmentation.labels)
        assert said == ["its three channels are equal: read as grey"]


def test_drawn_colours_are_converted_and_said(checkpoint: Path):
    rgb = np.repeat(GREY[..., None], 3, axis=-1)
    rgb[30:34] = (255, 255, 0)
    done, said = segmented(checkpoint, opened(np.stack([rgb] * 2), rgb=True))
    assert len(done) == 2
    assert "converted to grey" in said[0]
    assert "colours in" in said[1]


def test_a_stack_is_told_once_what_holds_for_all_of_it(checkpoint: Path):
    negatives = np.stack([255 - image(seed) for seed in range(1000, 1005)])
    done, said = segmented(checkpoint, opened(negatives))
    assert len(done) == 5
    assert len(said) == 1
    assert "is unlike the training images of untrained" in said[0]
    assert "negative" in said[0]


def test_the_odd_bscan_of_a_stack_is_named(checkpoint: Path):
    stack = np.stack([image(seed) for seed in range(1000, 1005)])
    stack[3] = 255 - stack[3]
    _, said = segmented(checkpoint, opened(stack))
    assert [text.split(" is ")[0] for text in said] == ["look closely: B-scan 3"]


def test_a_negative_that_says_so_is_segmented_as_what_it_shows(checkpoint: Path):
    (expected,), _ = segmented(checkpoint, opened(GREY))
    negative = opened(255 - GREY, metadata={"inverted": True}, colormap="gray_r")
    (event,), said = segmented(checkpoint, negative)
    np.testing.assert_array_equal(event.segmentation.labels, expected.segmentation.labels)
    assert said == []


def test_dask_and_memory_maps_are_read_bscan_by_bscan(checkpoint: Path, tmp_path: Path):
    stack = np.stack([image(seed) for seed in range(1000, 1004)])
    expected, _ = segmented(checkpoint, opened(stack))
    np.save(tmp_path / "stack.npy", stack)
    mapped = np.load(tmp_path / "stack.npy", mmap_mode="r")
    reads: list[tuple[int, ...]] = []

    def block(part: np.ndarray) -> np.ndarray:
        reads.append(part.shape)
        return part

    lazy = da.from_array(stack, chunks=(1, 64, 96)).map_blocks(block, dtype=stack.dtype)
    for data in (mapped, lazy):
        # As the viewer shows it already; reading is what the run does.
        source = opened(data, contrast_limits=(0, 255))
        reads.clear()
        done, _ = segmented(checkpoint, source)
        for one, other in zip(done, expected, strict=True):
            np.testing.assert_array_equal(one.segmentation.labels, other.segmentation.labels)
    assert reads == [(1, 64, 96)] * 4


def test_of_five_hundred_bscans_one_is_in_memory_at_a_time(checkpoint: Path):
    """Memory is flat in Z: what the run holds is one B-scan, whatever the stack's length."""
    alive = [0, 0]

    def gone() -> None:
        alive[0] -= 1

    def plane(block_info=None) -> np.ndarray:
        made = np.random.default_rng(0).integers(0, 255, (1, 16, 24), np.uint8)
        weakref.finalize(made, gone)  # of the pixels: views of them may come and go
        alive[0] += 1
        alive[1] = max(alive)
        return made

    lazy = da.map_blocks(
        plane, chunks=((1,) * 500, 16, 24), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    source = opened(lazy, contrast_limits=(0, 255))
    alive[1] = alive[0]
    for part in source.parts:
        source.read(part)
    assert len(source.parts) == 500
    assert alive[1] - alive[0] <= 3


def test_a_lazy_bscan_that_cannot_be_read_is_named():
    class Gone:
        def __getitem__(self, _):
            raise OSError("disk gone")

    source = opened(np.zeros((3, 16, 24), np.uint8), name="scan")
    source.data = Gone()
    with pytest.raises(OSError, match=r"B-scan 1 of “scan” cannot be read \(disk gone\)"):
        source.read(source.parts[0])


def test_a_lazy_bscan_of_another_size_than_it_said_is_named():
    data = da.from_array(np.zeros((3, 16, 24), np.uint8), chunks=(1, 16, 24))
    source = opened(data, name="scan")
    source.data = data.map_blocks(lambda b: b[:, :9], dtype=np.uint8)
    with pytest.raises(OSError, match=r"B-scan 1 of “scan” cannot be read .*\(9, 24\).*\(16, 24\)"):
        source.read(source.parts[0])


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_channels_in_the_last_axis_are_no_columns(channels: int):
    image = np.zeros((24, 36, channels), np.uint8)
    with pytest.raises(ValueError, match=rf"holds {channels} channels.*data\[\.\.\., 0\]"):
        opened(image, rgb=False)
    assert len(opened(image[:, :8], rgb=False).parts) == 24  # so few rows may be a try


def test_scale_translation_rotation_and_units_go_with_the_result():
    source = opened(
        np.zeros((3, 20, 30), np.uint8),
        scale=(120, 3.9, 11.5),
        units=("um", "um", "um"),
        translate=(5, 6, 7),
        rotate=30,
    )
    assert source.spacing_mm == pytest.approx((0.0039, 0.0115))
    assert list(source.placement["translate"]) == [5, 6, 7]
    np.testing.assert_allclose(source.placement["rotate"], source.layer.rotate)
    assert opened(np.zeros((20, 30)), scale=(-2, 2)).spacing_mm is None  # pixels


def test_an_array_that_does_not_know_its_size_is_refused_in_words():
    lazy = da.from_array(np.zeros((4, 8, 9)), chunks=(1, 8, 9))
    layer = ViewerModel().add_image(np.zeros((4, 8, 9)), name="scan")
    unknown = lazy[da.from_array(np.array([True] * 4), chunks=2)]
    layer._data = unknown
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        open_source(layer, ViewerModel(), whole_stack=True)


def test_complex_pixels_and_nan_are_refused_in_words():
    source = opened(np.zeros((8, 9)))
    source.data = np.zeros((8, 9), np.complex64)
    with pytest.raises(ValueError, match="complex64"):
        source.read(source.parts[0])
    hole = GREY / 255
    hole[0, 0] = np.nan
    source = opened(hole)
    with pytest.raises(ValueError, match="NaN or infinite"):
        source.read(source.parts[0])
