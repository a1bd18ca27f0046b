"""Batches of slices through a model, with less at once wherever a device's memory does not do."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spad.chain import sent
from spad.inference.ensemble import Ensemble, Outcome
from spad.inference.hosts import is_out_of_memory
from spad.inference.letterbox import Frame
from spad.inference.memory_ladder import (
    CPU,
    Limits,
    first_plan,
    moved,
    release,
    smaller,
)
from spad.inference.model import Ends, Model
from spad.network import Tiled

__all__ = ["Runner", "Slice"]


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice on the network's grid.

    Parameters
    ----------
    number : int
        For the draws.
    x : Tensor of float32, shape (1, 1, h, w)
    start, clamp, hints : Tensor of uint8, shape (1, h, w), optional
        As of :meth:`spad.inference.model.Model.run`; given for all slices of a run or for none.
    """

    number: int
    x: Tensor
    start: Tensor | None = None
    clamp: Tensor | None = None
    hints: Tensor | None = None


class Runner:
    """Runs slices of one size, and remembers what was too much.

    Parameters
    ----------
    model : Model
    limits : Limits
    frame : Frame
        Of every slice.
    times : sequence of int
        As of :meth:`spad.inference.model.Model.run`.
    chains, depth, seed : int
        Number of chains, at most so many slices at once, and the seed.

    Attributes
    ----------
    plan : Plan
    devices : list of str
        Those that finished a batch.
    """

    def __init__(
        self,
        model: Model,
        limits: Limits,
        frame: Frame,
        times: Sequence[int],
        *,
        chains: int,
        depth: int,
        seed: int,
    ) -> None:
        self._own, self._frame, self._times = model, frame, times
        self._chains, self._seed = chains, seed
        self.devices: list[str] = []
        self.plan = self._first = first_plan(
            limits, model.card, frame.padded, depth=depth, chains=chains, device=model.device
        )
        self._model = self._make()

    def run(self, slices: Sequence[Slice]) -> Generator[int | str, None, list[Outcome]]:
        """Run the first ``plan.slices`` of the slices, or fewer if they do not fit.

        Yields
        ------
        int or str
            Number of steps done of as many as there are times; or what has to be said, after which
            the steps begin anew.

        Returns
        -------
        list of Outcome
            One for each slice that was run.

        Raises
        ------
        MemoryError
            Nothing smaller is left to try.
        """
        while True:
            try:
                outcomes = yield from self._attempt(slices[: self.plan.slices])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            else:
                if (device := str(self.plan.device)) not in self.devices:
                    self.devices.append(device)
                return outcomes
            # Not in the handler: the error's traceback keeps the failed attempt's tensors alive.
            yield self._climb_down(reason)

    def _attempt(self, slices: Sequence[Slice]) -> Generator[int | str, None, list[Outcome]]:
        n, at_once = self._chains, self.plan.chains
        x, start, clamp, hints = (
            self._batch(each)
            for each in zip(*((s.x, s.start, s.clamp, s.hints) for s in slices), strict=True)
        )
        assert x is not None  # noqa: S101 - every slice has one
        rule = self._own.card.sampling
        ensembles = [Ensemble(self._frame, n, rule) for _ in slices]
        groups = [range(first, min(first + at_once, n)) for first in range(0, n, at_once)]
        for before, chains in enumerate(groups):
            run = self._model.run(
                x,
                self._times,
                seed=self._seed,
                slices=[s.number for s in slices],
                chains=chains,
                start=start,
                clamp=clamp,
                hints=hints,
            )
            while True:
                try:
                    done = next(run)
                except StopIteration as stop:
                    ends: Ends = stop.value
                    break
                if isinstance(done, int):
                    done = (before * len(self._times) + done) // len(groups)
                yield done
            for ensemble, p_0, told in zip(ensembles, *ends, strict=True):
                ensemble.add(p_0, told)
            del ends, p_0, told, run  # before the next group's are made
        return [ensemble.result() for ensemble in ensembles]

    def _batch(self, parts: Sequence[Tensor | None]) -> Tensor | None:
        """Tensors as one on the plan's device, without waiting for the copy."""
        given = [part for part in parts if part is not None]
        if not given:
            return None
        whole = torch.cat(given)
        if self.plan.device.type == "cuda":
            whole = whole.pin_memory()
        return sent(whole, self.plan.device)

    def _climb_down(self, reason: str) -> str:
        """Take the next rung of the ladder, and say so."""
        last = self.plan
        rung = smaller(last, self._first, self._frame.padded, self._own.card.network.stride)
        self._model = self._own  # lets go of tiles and copies
        self._own.forget()
        release(last.device)
        if rung is None:
            height, width = self._frame.padded
            raise MemoryError(
                f"not enough memory on {last.device}: a grid of {height} x {width} pixels does not "
                "fit, one sample at a time and in the smallest tiles; close other programs, or "
                f"segment a crop or a smaller copy of the image ({reason})"
            )
        self.plan, what = rung
        self._model = self._make()
        return f"not enough memory on {last.device} ({reason}): going on with {what}"

    def _make(self) -> Model:
        """The model that the plan asks for."""
        own, plan = self._own, self.plan
        if plan.device == own.device and plan.tile_px is None:
            return own
        network = own.network
        if plan.device != own.device:
            network = moved(network, CPU)
        if plan.tile_px is not None:
            network = Tiled(network, plan.tile_px)
        return Model(own.card, network, plan.device)
