"""NumPy in, a Segmentation out: what a host calls to run a model on an image.

Follows the checkpoint's card: normalise and letterbox (:mod:`spad.frame`), encode the image once,
run all chains as one batch (:mod:`spad.sampler`), and bring their mean and each sample back to the
image's grid.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Generator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad import checkpoint
from spad.card import NOTICE, Card
from spad.device import devices, pick_device
from spad.edits import check_edits, held_pixels, restore_edits
from spad.frame import Frame, frame_of, luminance, normalise
from spad.labels import IGNORE
from spad.model import Model
from spad.network import Network, build
from spad.result import Segmentation, Step
from spad.sampler import times_of_use

__all__ = ["Segmentation", "Segmenter", "Step", "devices", "load"]

MAX_SAMPLES = 64
_T0_SHARE = 0.3  # where a restarted chain begins, as a share of T (method, section 10)


class Segmenter:
    """A model ready to segment images.

    Parameters
    ----------
    card : Card
    network : Network
        In evaluation mode, on ``device``.
    device : torch.device
    sha256 : str
        Of the checkpoint file; empty for a model that was never saved.
    """

    def __init__(
        self, card: Card, network: Network, device: torch.device, sha256: str = ""
    ) -> None:
        self.card = card
        self.device = device
        self.sha256 = sha256
        self._model = Model(card, network, device)

    def segment(
        self, image: Any, spacing_mm: tuple[float, ...] | None = None, **options: Any
    ) -> Segmentation:
        """Segment an image or stack in one call; arguments and errors as of :meth:`steps`."""
        run = self.steps(image, spacing_mm, **options)
        while True:
            try:
                next(run)
            except StopIteration as stop:
                result: Segmentation = stop.value
                return result

    def steps(
        self,
        image: Any,
        spacing_mm: tuple[float, ...] | None = None,
        *,
        samples: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        clamp: NDArray[np.uint8] | None = None,
        region: NDArray[np.bool_] | None = None,
        start: NDArray[np.uint8] | None = None,
        t0: int | None = None,
        rgb: bool = False,
        inverted: bool = False,
        probability: bool = False,
        first_slice: int = 0,
    ) -> Generator[Step, None, Segmentation]:
        """Segment step by step; to cancel, stop iterating.

        Parameters
        ----------
        image : array-like of any real dtype, shape (H, W) or (Z, H, W)
            With ``rgb`` a last axis of 3 or 4 is converted to luminance. A lazy stack is read slice
            by slice.
        spacing_mm : tuple of float, optional
            Carried through to the result.
        samples : int, optional
            Chains, 1..64; the card's number if None.
        steps : int, optional
            Reverse steps of a chain; the card's number if None.
        seed : int
            Non-negative; the same seed gives the same draws.
        clamp : array of uint8, the image's shape, optional
            Class value of each pixel that a person fixed, 255 where free. Fixed pixels come out
            exactly.
        region : array of bool, the image's shape, optional
            Only there may anything change against ``start``.
        start : array of uint8, the image's shape, optional
            Label map to restart from; without it the chains start from noise.
        t0 : int, optional
            Time of the restart in 1..T: small keeps ``start``, large forgets it; 0.3 T if None.
        rgb : bool
        inverted : bool
            High values are dark (MONOCHROME1).
        probability : bool
            Keep the mean probabilities, K arrays of the image's size.
        first_slice : int
            Number of the first slice, for the draws and in the steps: a B-scan run alone under its
            own number comes out as in its stack.

        Yields
        ------
        Step

        Returns
        -------
        Segmentation

        Raises
        ------
        ValueError
            An image, a setting or an edit that does not fit; said before the first step.
        """
        card, k = self.card, len(self.card.classes)
        unet = not self._model.diffuses
        n = _whole("samples", card.sampling.samples if samples is None else samples)
        steps = _whole("steps", card.sampling.steps if steps is None else steps)
        seed, t0 = _whole("seed", seed), None if t0 is None else _whole("t0", t0)
        first_slice = _whole("first_slice", first_slice)
        if not 1 <= n <= MAX_SAMPLES:
            raise ValueError(f"{n} samples asked for; choose 1 to {MAX_SAMPLES}")
        if seed < 0:
            raise ValueError(f"seed {seed} is negative; choose 0 or more")
        if first_slice < 0:
            raise ValueError(f"first_slice is {first_slice}; choose 0 or more")
        stack, shape = _as_stack(image, rgb)
        edits = check_edits(shape, k, clamp=clamp, region=region, start=start)
        if t0 is not None and start is None:
            raise ValueError("t0 is given without start, the label map to restart from; give both")
        if unet and edits:
            raise ValueError(
                "this model is a plain U-Net, which cannot sample around edits; take a SPAD model"
            )
        if start is not None and t0 is None:
            t0 = max(1, round(_T0_SHARE * self._model.schedule.steps))
        times = times_of_use(self._model.schedule, card.sampling, steps, t0)
        if unet:
            n, times = 1, [0]

        depth, plane = stack.shape[0], shape[-2:]
        full = (depth, *plane)
        labels = np.empty(full, np.uint8)
        drawn = np.empty((n, *full), np.uint8)
        uncertainty = np.empty(full, np.float16)
        kept = np.empty((k, *full), np.float16) if probability else None
        digest = hashlib.sha256()
        total = depth * len(times)

        for z in range(depth):
            raw = np.asarray(stack[z])
            digest.update(np.ascontiguousarray(raw).data)
            grey = luminance(raw) if rgb else raw
            frame = frame_of((plane[0], plane[1]), card.input, card.network.stride)
            x = frame.image(normalise(grey, card.input, inverted=inverted))
            fixed = {name: edit.reshape(full)[z] for name, edit in edits.items()}
            held = held_pixels(fixed)
            run = self._model.run(
                x,
                times,
                seed=seed,
                slices=[first_slice + z],
                chains=range(n),
                start=_on_grid(frame, fixed.get("start"), 0),
                clamp=_on_grid(frame, held, IGNORE),
            )
            while True:
                try:
                    done = next(run)
                except StopIteration as stop:
                    p_0: Tensor = stop.value[0]
                    break
                if done < len(times):
                    yield Step(z * len(times) + done, total, first_slice + z, None)
            mean = torch.zeros((k, *plane), device=self.device)
            for chain in range(n):
                p = frame.restore(p_0[chain : chain + 1])[0]
                drawn[chain, z] = _most_probable(p).cpu().numpy()
                mean += p / n
            entropy = -torch.xlogy(mean, mean).sum(0) / float(np.log(k))
            labels[z] = _most_probable(mean).cpu().numpy()
            uncertainty[z] = entropy.clamp_(0, 1).cpu().numpy()
            if kept is not None:
                kept[:, z] = mean.cpu().numpy()
                if held is not None:
                    one_hot = held == np.arange(k)[:, None, None]
                    kept[:, z] = np.where(held == IGNORE, kept[:, z], one_hot)
            restore_edits(fixed, labels[z], drawn[:, z], uncertainty[z])
            yield Step((z + 1) * len(times), total, first_slice + z, labels[z])

        return Segmentation(
            labels=labels.reshape(shape),
            samples=drawn.reshape(n, *shape),
            uncertainty=uncertainty.reshape(shape),
            probability=None if kept is None else kept.reshape(k, *shape),
            classes=card.classes,
            spacing_mm=spacing_mm,
            provenance={
                "checkpoint": {"name": card.name, "sha256": self.sha256},
                "spad": _version(),
                "torch": torch.__version__,
                "device": str(self.device),
                "seed": seed,
                "steps": len(times),
                "samples": n,
                "t0": t0,
                "image_sha256": digest.hexdigest(),
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "notice": NOTICE,
            },
        )


def load(path: str | Path, device: str = "auto") -> Segmenter:
    """Open a checkpoint for segmenting.

    Parameters
    ----------
    path : path-like, or the name of a shipped model
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    Segmenter

    Raises
    ------
    ValueError
        Not a checkpoint of SPAD (the message says what it is), or no such device.
    OSError
        The file cannot be read.
    """
    target = pick_device(device)
    file = checkpoint.shipped().get(str(path), Path(path))
    card, tensors = checkpoint.load(file)
    network = build(card.network, len(card.classes), tensors)
    return Segmenter(card, network, target, checkpoint.sha256(file))


def _whole(name: str, value: Any) -> int:
    """Give a setting as Python's int (JSON takes no NumPy ones)."""
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; give a whole number") from None


def _as_stack(image: Any, rgb: bool) -> tuple[Any, tuple[int, ...]]:
    """The image with a slice axis in front, lazy if it was, and the shape of its label map."""
    # A stack stays lazy where it names its type as NumPy does (dask, zarr, h5py).
    lazy = len(getattr(image, "shape", ())) > 2 and hasattr(getattr(image, "dtype", None), "kind")
    stack = image if lazy else np.asarray(image)
    shape = tuple(int(s) for s in stack.shape)
    if rgb and (len(shape) < 3 or shape[-1] not in (3, 4)):
        raise ValueError(f"an RGB image ends in an axis of 3 or 4; this one has shape {shape}")
    plane = shape[:-1] if rgb else shape
    if len(plane) not in (2, 3) or 0 in plane:
        raise ValueError(
            f"an image of shape {shape} is neither a B-scan (H, W) nor a stack (Z, H, W); choose "
            "the axes to segment, or say that the last axis holds colours"
        )
    kind = np.dtype(stack.dtype).kind
    if kind not in "buif":
        raise ValueError(f"pixels of type {stack.dtype} are not real numbers; convert the image")
    if len(plane) == 2:
        stack = stack[None]
    if kind == "f":
        for z in range(stack.shape[0]):
            if not np.isfinite(np.asarray(stack[z])).all():
                raise ValueError(
                    f"slice {z} of the image holds NaN or infinity; replace them first"
                )
    return stack, plane


def _on_grid(frame: Frame, labels: NDArray[np.uint8] | None, padding: int) -> Tensor | None:
    """A label map (H, W) as a batch of one on the network's grid."""
    return None if labels is None else torch.from_numpy(frame.labels(labels, padding))[None]


def _most_probable(p: Tensor) -> Tensor:
    """Class of the largest of the probabilities (K, H, W), uint8 (H, W).

    ``argmax`` over the first axis takes ten times as long on a CPU.
    """
    best, label = p[0].clone(), torch.zeros(p.shape[1:], dtype=torch.uint8, device=p.device)
    for value in range(1, len(p)):
        label.masked_fill_(p[value] > best, value)
        torch.maximum(best, p[value], out=best)
    return label


def _version() -> str:
    try:
        return version("napari-spad")
    except PackageNotFoundError:
        return "not installed"
