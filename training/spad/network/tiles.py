"""A network run tile by tile, for grids too large for one pass (our choice).

A tile sees its surroundings, the overlap with its neighbours, and is blended with them in
probability by a raised cosine; the chain itself runs on the whole grid, so that its draws know of
no tiles. What a tile cannot see is the rest of the map, over which the norms take their statistics:
tiles normed by themselves differ from the whole in several per cent of the pixels, whatever the
overlap. So the tiles are run up to the first norm, whose statistics are pooled over all of them,
then up to the second, and so on: exact, and slow (a network of n norms is begun n times), which is
why tiles are for what fits in no other way. Attention sees its tile only, and so does what is
pooled over a map (`concat`; the kinds of `spad.network.compare`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.chain import sent
from spad.network.interface import Condition, Network

__all__ = ["OVERLAP", "Tile", "Tiled", "tiles"]

OVERLAP = 128
"""Pixels that two neighbours share, or half a tile: how far a network looks, its norms aside."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a grid.

    Parameters
    ----------
    window : (slice, slice)
        The part that the network sees, rows and columns.
    core : (slice, slice)
        The part, within the window, that is no other tile's: the cores make up the grid.
    weights : Tensor of float32, shape of the window
        Share in the blend; those of all tiles sum to 1 at every pixel.
    """

    window: tuple[slice, slice]
    core: tuple[slice, slice]
    weights: Tensor


def tiles(
    grid: tuple[int, int], side: int, stride: int, device: torch.device | str = "cpu"
) -> list[Tile]:
    """Lay tiles over a grid.

    Parameters
    ----------
    grid : (int, int)
        Multiples of ``stride``.
    side : int
        Of a tile in pixels, a multiple of ``stride``; a shorter grid is not cut on that axis.
    stride : int
        Tiles begin and end at multiples of it.
    device : torch.device
        Of the weights.
    """
    rows, columns = (_axis(size, side, stride) for size in grid)
    return [
        Tile(
            (row, column),
            (own, beside),
            sent(down[:, None] * across, device),
        )
        for row, own, down in rows
        for column, beside, across in columns
    ]


def _axis(size: int, side: int, stride: int) -> list[tuple[slice, slice, Tensor]]:
    """Windows, cores within them, and weights along one axis."""
    side = min(side, size)
    overlap = min(OVERLAP, side // 2)
    count = 1 + math.ceil((size - side) / (side - overlap))
    gap = (size - side) / max(count - 1, 1)
    starts = [round(i * gap / stride) * stride for i in range(count)]
    middles = [(a + side + b) // 2 // stride * stride for a, b in itertools.pairwise(starts)]
    bounds = [0, *middles, size]
    shares = torch.zeros(count, size, dtype=torch.float32, device="cpu")
    # The outermost pixels of a tile, beside its padding, have no say.
    place = torch.arange(side, dtype=torch.float32, device="cpu") + 0.5
    ramp = ((place - overlap / 8) / (overlap * 3 / 4)).clamp(0, 1)
    ramp = (ramp * torch.pi / 2).sin() ** 2
    for i, start in enumerate(starts):
        share = shares[i, start : start + side]
        share += 1
        if i > 0:
            share *= ramp
        if i < count - 1:
            share *= ramp.flip(0)
    shares /= shares.sum(0)
    return [
        (
            slice(start, start + side),
            slice(bounds[i] - start, bounds[i + 1] - start),
            shares[i, start : start + side],
        )
        for i, start in enumerate(starts)
    ]


class Tiled(Network):
    """A network that sees its grid in tiles.

    Parameters
    ----------
    network : Network
        In evaluation mode; shared, not copied.
    side : int
        Of a tile in pixels, a multiple of the network's stride.
    """

    def __init__(self, network: Network, side: int) -> None:
        super().__init__(network.config, network.num_classes)
        self.diffuses = network.diffuses  # type: ignore[misc]
        self.predicts = network.predicts  # type: ignore[misc]
        self.class_axes = network.class_axes
        self.network = network
        self.side = side

    def encode(self, image: Tensor) -> Condition:
        """Logits and features of the whole grid, blended from the tiles'."""
        laid = self._lay(image)
        logits: Tensor | None = None
        context: Tensor | None = None
        for tile, condition in self._passes(
            laid, lambda window: self.network.encode(image[(..., *window)])
        ):
            if condition.logits is not None:
                logits = _blend(logits, condition.logits, tile, image.shape)
            context = _add(context, condition.context, tile, image.shape)
        assert context is not None  # noqa: S101 - there is a tile
        return Condition(logits, context)

    def hinted(self, condition: Condition, hints: Tensor) -> Condition:
        """As the network, on the whole grid."""
        return self.network.hinted(condition, hints)

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logarithm of the blended probabilities; see :meth:`Network.denoise`."""
        laid = self._lay(x_t)
        scale = x_t.shape[-2] // condition.context.shape[-2]

        def run(window: tuple[slice, slice]) -> Tensor:
            cut = Condition(
                None if condition.logits is None else condition.logits[(..., *window)],
                condition.context[(..., *_coarser(window, scale))],
            )
            return self.network.denoise(x_t[(..., *window)], t, cut)

        out: Tensor | None = None
        for tile, logits in self._passes(laid, run):
            out = _blend(out, logits, tile, x_t.shape)
        assert out is not None  # noqa: S101 - there is a tile
        return out

    def segments(self) -> list[nn.Module]:
        """Those of the network."""
        return self.network.segments()

    def _lay(self, maps: Tensor) -> list[Tile]:
        grid = (maps.shape[-2], maps.shape[-1])
        return tiles(grid, self.side, self.config.stride, maps.device)

    def _passes(
        self, laid: Sequence[Tile], run: Callable[[tuple[slice, slice]], _T]
    ) -> Iterator[tuple[Tile, _T]]:
        """Run all tiles, first up to each norm in turn, then to the end; give the results."""
        pooled: list[_Statistics] = []
        while True:
            found: list[_Statistics] = []
            for tile in laid:
                try:
                    with _norms(self.network, tile, pooled):
                        result = run(tile.window)
                except _NormReached as reached:
                    found.append(reached.statistics)
                else:
                    yield tile, result
            if not found:
                return
            pooled.append(_pool(found))


class _Statistics(NamedTuple):
    """Of a norm: number of pixels; mean and variance of each group, float32 (B, G, 1, 1, 1)."""

    pixels: int
    mean: Tensor
    variance: Tensor


def _pool(parts: Sequence[_Statistics]) -> _Statistics:
    """Statistics of the tiles' cores together (Chan et al., 1979)."""
    pixels = sum(part.pixels for part in parts)
    nothing = parts[0].mean.new_zeros(())
    mean = sum((part.mean * (part.pixels / pixels) for part in parts), nothing)
    variance = sum(
        ((part.variance + (part.mean - mean) ** 2) * (part.pixels / pixels) for part in parts),
        nothing,
    )
    return _Statistics(pixels, mean, variance)


class _NormReached(Exception):
    """A norm whose statistics are not pooled yet has seen a tile."""

    def __init__(self, statistics: _Statistics) -> None:
        super().__init__()
        self.statistics = statistics


@contextmanager
def _norms(network: Network, tile: Tile, pooled: Sequence[_Statistics]) -> Iterator[None]:
    """Let the norms of a network, in the order in which it calls them, use pooled statistics.

    Raises
    ------
    _NormReached
        By the first norm that has none, with the statistics of the tile's core.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.GroupNorm | nn.InstanceNorm2d)]
    statistics = iter(pooled)

    def forward(norm: nn.GroupNorm | nn.InstanceNorm2d, x: Tensor, *by_time: Tensor) -> Tensor:
        groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else norm.num_features
        grouped = x.float().view(len(x), groups, -1, *x.shape[-2:])
        if (used := next(statistics, None)) is None:
            scale = tile.weights.shape[0] // x.shape[-2]
            seen = grouped[(..., *_coarser(tile.core, scale))]
            variance, mean = torch.var_mean(seen, (2, 3, 4), correction=0, keepdim=True)
            raise _NormReached(_Statistics(seen.shape[-2] * seen.shape[-1], mean, variance))
        y = ((grouped - used.mean) * (used.variance + norm.eps).rsqrt()).flatten(1, 2)
        if norm.weight is not None and norm.bias is not None:
            y = torch.addcmul(norm.bias[:, None, None], y, norm.weight[:, None, None])
        if by_time:
            gain, shift = (v[:, :, None, None] for v in by_time)
            y = torch.addcmul(shift, y, 1 + gain)
        return y if norm.weight is None else y.to(norm.weight.dtype)

    try:
        for norm in norms:
            norm.forward = partial(forward, norm)  # type: ignore[method-assign]
        yield
    finally:
        for norm in norms:
            del norm.forward


def _coarser(window: tuple[slice, slice], scale: int) -> tuple[slice, slice]:
    """A window on a grid coarser by a factor."""
    rows, columns = (slice(s.start // scale, s.stop // scale) for s in window)
    return rows, columns


def _add(total: Tensor | None, maps: Tensor, tile: Tile, grid: Sequence[int]) -> Tensor:
    """Add a tile's share of a map to the whole grid's, at the map's own stride."""
    scale = tile.weights.shape[0] // maps.shape[-2]
    if total is None:
        total = maps.new_zeros(*maps.shape[:-2], grid[-2] // scale, grid[-1] // scale)
    weights = F.avg_pool2d(tile.weights[None], scale)[0]
    total[(..., *_coarser(tile.window, scale))] += maps * weights.to(maps.dtype)
    return total


def _blend(total: Tensor | None, logits: Tensor, tile: Tile, grid: Sequence[int]) -> Tensor:
    """Add a tile's share of the probabilities, in logarithms, which keep the smallest ones."""
    if total is None:
        total = logits.new_full((*logits.shape[:-2], *grid[-2:]), -torch.inf)
    share = logits.log_softmax(-3) + tile.weights.log()
    part = total[(..., *tile.window)]
    torch.logaddexp(part, share, out=part)
    return total
