"""Augmentation: one affine warp onto the training frame, then changes of intensity.

A sample's changes depend on its generator alone (:mod:`spad.train.data.sample_order`), not on
worker or rank.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, left_and_right
from spad.train.config import Augmentation

__all__ = ["degrade", "strip", "swap_table", "tone", "warp", "warp_matrix"]

_F32 = NDArray[np.float32]
_SHADOWS = 4  # at most, in one image
_STRIP = (0.2, 0.6)  # columns of another image that come into one, of its width
_SEAM = 8  # columns over which they fade in
_WIDTH = (0.005, 0.04)  # of a shadow (standard deviation), of the image's width


def swap_table(config: Augmentation, names: Sequence[str]) -> NDArray[np.uint8]:
    """Class values after a mirroring, uint8 of shape (256,).

    Warns of classes that are called left and right and do not change places.

    Raises
    ------
    ValueError
        ``flip_swaps`` names a class that the model lacks, or one twice.
    """
    table = np.arange(256, dtype=np.uint8)
    given = [name for pair in config.flip_swaps for name in pair]
    alone = [pair for pair in left_and_right(names) if not {*pair} & {*given}]
    if config.flip and alone:
        one, other = alone[0]
        warnings.warn(
            f"{one!r} and {other!r} look alike in mirrored images, and are mixed up so: let them "
            f"change places, augmentation.flip_swaps={json.dumps(alone, ensure_ascii=False)}, or "
            "set augmentation.flip=false",
            stacklevel=3,
        )
    for pair in config.flip_swaps:
        if repeated := [name for name in pair if given.count(name) > 1]:
            raise ValueError(
                f"augmentation.flip_swaps names {repeated[0]!r} twice; a class changes places with "
                "one other"
            )
        if unknown := [name for name in pair if name not in names]:
            raise ValueError(
                f"augmentation.flip_swaps names {unknown[0]!r}; the classes are {', '.join(names)}"
            )
        left, right = (names.index(name) for name in pair)
        table[[left, right]] = right, left
    return table


def warp_matrix(
    config: Augmentation, shape: tuple[int, int], frame: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float64], bool]:
    """Draw the affine map from an image's pixels to the frame's.

    An image smaller than the frame comes to lie anywhere in it; of a larger one, any part is seen.

    Parameters
    ----------
    config : Augmentation
    shape, frame : (int, int)
        Height and width of the image (at the network's scale) and of the training frame, pixels.
    rng : numpy.random.Generator

    Returns
    -------
    matrix : array of float64, shape (2, 3)
    mirrored : bool
    """
    mirrored = bool(config.flip and rng.random() < 0.5)
    angle = np.deg2rad(rng.uniform(-1, 1) * config.rotate_degrees)
    zoom, stretch = np.exp(rng.uniform(-1, 1, 2) * (config.zoom, config.stretch))
    scale = np.array([zoom * stretch, zoom / stretch])  # x, y
    slack = np.array([frame[1] - shape[1] * scale[0], frame[0] - shape[0] * scale[1]])
    move = slack * (rng.random(2) - 0.5) + rng.uniform(-1, 1, 2) * config.shift * np.array(
        frame[::-1]
    )
    c, s = np.cos(angle), np.sin(angle)
    linear = np.array([[c, -s], [s, c]]) @ np.diag(scale * [-1 if mirrored else 1, 1])
    centre = np.array([shape[1] - 1, shape[0] - 1]) / 2
    target = np.array([frame[1] - 1, frame[0] - 1]) / 2 + move
    return np.column_stack([linear, target - linear @ centre]), mirrored


def warp(
    array: NDArray[Any], matrix: NDArray[np.float64], frame: tuple[int, int], *, labels: bool
) -> NDArray[Any]:
    """Warp an image (linear, edges continued) or label map (nearest, 255 outside)."""
    out: NDArray[Any] = cv2.warpAffine(
        array,
        matrix,
        frame[::-1],
        flags=cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT if labels else cv2.BORDER_REPLICATE,
        borderValue=IGNORE,
    )
    return out


def tone(
    image: NDArray[np.float32], config: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change gamma, contrast, brightness, sharpness and noise of an image in [-1, 1]; float32."""
    gamma, contrast, brightness = rng.uniform(-1, 1, 3) * (
        config.gamma,
        config.contrast,
        config.brightness,
    )
    blur = rng.random() * config.blur_px if rng.random() < 1 / 3 else 0.0
    sigma = rng.random() * config.noise if rng.random() < 0.5 else 0.0
    # Scaling and warping overshoot -1 by a rounding, and a power of a negative number is NaN.
    base = np.clip((image + 1) / 2, 0, 1)
    x: NDArray[np.float32]
    if config.gamma_inverted and rng.random() < config.gamma_inverted:
        x = 1 - 2 * np.power(1 - base, np.exp(gamma), dtype=np.float32)
    else:
        x = np.power(base, np.exp(gamma), dtype=np.float32) * 2 - 1
    x = x * np.float32(np.exp(contrast)) + np.float32(brightness)
    if blur > 0.2:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), blur), dtype=np.float32)
    if sigma:
        x += sigma * rng.standard_normal(x.shape, dtype=np.float32)
    return degrade(np.clip(x, -1, 1, dtype=np.float32), config, rng)


def degrade(image: _F32, config: Augmentation, rng: np.random.Generator) -> _F32:
    """Change an image's looks.

    Parameters
    ----------
    image : array of float32, shape (H, W)
        In [-1, 1].
    config : Augmentation
    rng : numpy.random.Generator

    Returns
    -------
    array of float32, shape (H, W)
        In [-1, 1]; the same array where every switch is off.
    """
    if not (config.shadows or config.speckle or config.low_resolution):
        return image
    x = np.asarray((image + 1) / 2, dtype=np.float32)
    if config.shadows and rng.random() < 0.5:
        x = x * _shadows(x.shape[1], config.shadows, rng)
    if config.speckle and rng.random() < 0.5:
        x = x * _speckle(x.shape, config.speckle * rng.random(), rng)
    if config.low_resolution and rng.random() < 0.25:
        x = _coarser(x, 1 + config.low_resolution * rng.random())
    return np.asarray(np.clip(x * 2 - 1, -1, 1), dtype=np.float32)


def strip(
    image: _F32,
    labels: NDArray[np.uint8],
    other: _F32,
    other_labels: NDArray[np.uint8],
    rng: np.random.Generator,
) -> tuple[_F32, NDArray[np.uint8]]:
    """Put a strip of another B-scan's columns into one, at the height of its own retina.

    Parameters
    ----------
    image, other : array of float32, shape (H, W)
    labels, other_labels : array of uint8, shape (H, W)
    rng : numpy.random.Generator

    Returns
    -------
    image : array of float32, shape (H, W)
        The seams fade over a few columns.
    labels : array of uint8, shape (H, W)
        255 where the shifted strip has no row.
    """
    height, width = image.shape
    wide = round(width * rng.uniform(*_STRIP))
    start = int(rng.integers(0, width - wide + 1))
    columns = slice(start, start + wide)
    # The shift at which the strip's mean column is most like the one that it replaces.
    ours, theirs = (x[:, columns].mean(1) for x in (image, other))
    likeness = np.correlate(ours - ours.mean(), theirs - theirs.mean(), "full")
    shift = int(likeness.argmax()) - (height - 1)
    rows = np.arange(height) - shift
    outside = (rows < 0) | (rows >= height)
    moved = other[np.clip(rows, 0, height - 1)]
    moved_labels = other_labels[np.clip(rows, 0, height - 1)]
    moved_labels[outside] = IGNORE
    x = np.arange(width)
    share = np.clip(np.minimum(x - start + 1, start + wide - x) / _SEAM, 0, 1)
    # An edge of the image is no seam.
    if start == 0:
        share[: wide // 2] = 1
    if start + wide == width:
        share[width - wide // 2 :] = 1
    share = np.where((x >= start) & (x < start + wide), share, 0).astype(np.float32)
    return (
        np.asarray(image + share * (moved - image), dtype=np.float32),
        np.where(share >= 0.5, moved_labels, labels),
    )


def _shadows(width: int, darkest: float, rng: np.random.Generator) -> _F32:
    """Factor of each column, (1, W): vessels and floaters swallow the light of what lies below."""
    columns = np.arange(width)
    light = np.ones(width)
    for _ in range(rng.integers(1, _SHADOWS + 1)):
        middle, sigma = rng.uniform(0, width), width * rng.uniform(*_WIDTH)
        profile = np.exp(-0.5 * ((columns - middle) / sigma) ** 2)
        light *= 1 - darkest * rng.random() * profile
    return light[None].astype(np.float32)


def _speckle(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> _F32:
    """Factor of each pixel, of mean 1: gamma-distributed, as speckle that was averaged is.

    Goodman, *Speckle Phenomena in Optics* (2007): the sum of N independent patterns has the
    relative standard deviation ``1 / sqrt(N)``.
    """
    if sigma < 1e-3:
        return np.ones(shape, np.float32)
    looks = sigma**-2
    return rng.standard_gamma(looks, shape, dtype=np.float32) / np.float32(looks)


def _coarser(x: _F32, factor: float) -> _F32:
    """Shrink by nearest pixels and enlarge by cubics, as nnU-Net does."""
    height, width = x.shape
    small = max(1, round(width / factor)), max(1, round(height / factor))
    shrunk = cv2.resize(x, small, interpolation=cv2.INTER_NEAREST)
    return np.asarray(
        cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32
    )
