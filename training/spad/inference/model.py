"""A network with its card, ready to run: images on the network's grid in, probabilities out.

Encodes each image once and runs all of its chains on the shared features. Knows nothing of files,
frames or annotators; what it is given, it runs as one batch.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spad.chain import (
    Chains,
    Recorder,
    block,
    chain_words,
    cosine_schedule,
    prior_logits,
    records,
    sent,
    views,
)
from spad.checkpoint import Card
from spad.inference.hosts import is_out_of_memory
from spad.inference.memory_ladder import release, reserved_bytes
from spad.network import Condition, Network, Tiled, autocast, fastest_ways, uncast

__all__ = ["Ends", "Model"]

_LOGITS = 2**23  # 32 MiB: glibc takes larger blocks from the system anew each time, page by page
_RECORDED = 2**29  # bytes of a GPU that recorded chains may hold until others come
_ALIKE = 0.999  # share of the labels of recorded chains that have to be those of the plain ones


class Ends(NamedTuple):
    """How the chains of B images end.

    ``p_0``: probabilities at the end of each chain, float32 (B, n, K, h, w). ``told``: what the
    chains say together, float32 (B, K, h, w): the sum of their priors, or, of a network that
    predicts ``p(x_0 | x_t)``, of p_0.
    """

    p_0: Tensor
    told: Tensor

    def labels(self) -> Tensor:
        """The most probable classes of each chain, then of all together, (B, n + 1, h, w)."""
        return torch.cat([self.p_0.argmax(2), self.told.argmax(1, keepdim=True)], 1)


class Model:
    """A network on its device.

    Parameters
    ----------
    card : Card
    network : Network
    device : torch.device
    """

    def __init__(self, card: Card, network: Network, device: torch.device) -> None:
        self.card = card
        self.device = device
        self.diffuses = network.diffuses
        self.network = network.eval().to(device)
        # A GPU's weights are cast once, and not by autocast in every pass.
        with autocast(device):
            half = device.type == "cuda" and torch.is_autocast_enabled("cuda")
        self._fast = copy.deepcopy(self.network).to(torch.bfloat16) if half else self.network
        # Graphs are of no use to tiles, which are for what fits in no other way.
        self._records = records(device) and network.diffuses and not isinstance(network, Tiled)
        self._recorded: _Recorded | None = None
        self._last: object = None  # shape of the last run
        s = card.schedule
        self.schedule = cosine_schedule(s.steps, s.offset, s.beta_max)

    def run(
        self,
        images: Tensor,
        times: Sequence[int],
        *,
        seed: int,
        slices: Sequence[int],
        chains: Sequence[int],
        start: Tensor | None = None,
        clamp: Tensor | None = None,
        hints: Tensor | None = None,
        group: int | None = None,
    ) -> Generator[int | str, None, Ends]:
        """Run the chains of B images of one size as one batch.

        Parameters
        ----------
        images : Tensor of float32, shape (B, 1, h, w)
            In [-1, 1], as :mod:`spad.inference.letterbox` gives them; any device.
        times : sequence of int
            Falling, as from :func:`spad.chain.sampler.step_times`; a plain U-Net heeds none.
        seed : int
        slices, chains : sequence of int
            Numbers of the B images and the n chains, which with the seed decide on the draws.
        start, clamp : Tensor of uint8, shape (B, h, w), optional
            As of :class:`spad.chain.sampler.Chains`; any device.
        hints : Tensor of uint8, shape (B, h, w), optional
            What a person fixed, 255 elsewhere; see :meth:`spad.network.Network.hinted`.
        group : int, optional
            How many chains the denoiser takes at once; by default as many as are fastest.

        Yields
        ------
        int or str
            Number of steps done; or what has to be said.

        Returns
        -------
        Ends
            Of a plain U-Net n is 1.
        """
        with torch.inference_mode():
            given = self._given(images, times, seed, slices, chains, start, clamp)
            hints = None if hints is None else hints.to(self.device)
        stages = _Stages(self, given, times, group)
        again, self._last = stages.shape == self._last, stages.shape
        if not again:
            self._recorded = None
        run = self._run(stages, hints, again)
        # torch's modes are thread-wide: never hold them across a yield, where the host runs.
        while True:
            try:
                with (
                    torch.inference_mode(),
                    uncast(self.device),
                    fastest_ways(self.device, again),
                ):
                    done = next(run)
            except StopIteration as stop:
                ends: Ends = stop.value
                return ends
            yield done

    def forget(self) -> None:
        """Let go of what is recorded, and of its memory."""
        self._recorded = self._last = None

    def _given(
        self,
        images: Tensor,
        times: Sequence[int],
        seed: int,
        slices: Sequence[int],
        chains: Sequence[int],
        start: Tensor | None,
        clamp: Tensor | None,
    ) -> _Given:
        words = chain_words(
            self.schedule,
            times,
            seed=seed,
            slices=slices,
            chains=chains,
            num_classes=len(self.card.classes),
            coherent=self.card.sampling.coherence_px > 0,
        )
        keys = sent(block(words), self.device)
        start, clamp = (None if x is None else x.to(self.device) for x in (start, clamp))
        parts = {name: each.shape for name, each in words.items()}
        return _Given(images.to(self.device), keys, start, clamp, parts)

    def _run(
        self, stages: _Stages, hints: Tensor | None, again: bool
    ) -> Generator[int | str, None, Ends]:
        """The chains, recorded where they come again, else as they are."""
        recorded = (yield from self._recording(stages)) if again else None
        if recorded is not None and recorded.free.acquire(blocking=False):
            try:
                return (yield from recorded.run(stages.given, hints))
            finally:
                recorded.free.release()
        stages.encode()
        if hints is not None and self.diffuses:
            stages.condition = self._fast.hinted(stages.condition, hints)
        logits = stages.condition.logits
        if logits is not None and not self.diffuses:
            yield 1
            p = (logits / self.card.sampling.temperature).softmax(1)
            return Ends(p.unsqueeze(1), p)
        stages.begin()
        for number in range(len(stages.times)):
            stages.step(number)
            yield number + 1
        return stages.ends()

    def _recording(self, stages: _Stages) -> Generator[str, None, _Recorded | None]:
        """What is recorded for chains of this shape, if anything; says where that fails."""
        if self._recorded is not None and self._recorded.shape == stages.shape:
            return self._recorded
        self._recorded = None
        if not self._records or stages.bytes() > _RECORDED // 4:
            return None
        try:
            found = _Recorded(stages)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            full = is_out_of_memory(error)
        else:
            if found.bytes <= _RECORDED:
                self._recorded = found
                return found
            reason, full = "", True
            del found
        # Not in the handler: the error's traceback keeps the tensors alive.
        self._records = False
        release(self.device)
        if not full:
            yield (
                f"the chain could not be recorded for {self.device} ({reason}): going on without, "
                "which takes a little longer and changes no result"
            )
        return None

    def _encode(self, images: Tensor) -> Condition:
        """The images' condition."""
        with autocast(self.device):
            condition = self._fast.encode(images)
            if self.card.sampling.mirrored:
                condition = condition.with_mirrored(self._fast.encode(images.flip(-1)))
        return condition

    def _at_once(self, shape: torch.Size) -> int | None:
        """Chains at once: all, but on a CPU only what its allocator and caches take well."""
        if self.device.type != "cpu":
            return None
        return max(1, _LOGITS // (shape[-2] * shape[-1] * len(self.card.classes)))


@dataclass(frozen=True)
class _Given:
    """What a batch is given, on the device; the words as one block, and how it is divided."""

    images: Tensor
    words: Tensor
    start: Tensor | None
    clamp: Tensor | None
    parts: Mapping[str, tuple[int, ...]]

    def tensors(self) -> list[Tensor | None]:
        return [self.images, self.words, self.start, self.clamp]

    def shapes(self) -> tuple[Any, ...]:
        own = tuple(None if x is None else x.shape for x in self.tensors())
        return own, tuple(self.parts.items())

    def copied(self) -> _Given:
        start, clamp = (None if x is None else x.clone() for x in (self.start, self.clamp))
        return _Given(self.images.clone(), self.words.clone(), start, clamp, self.parts)

    def take(self, other: _Given) -> None:
        """Become another of these shapes, in place."""
        for own, new in zip(self.tensors(), other.tensors(), strict=True):
            if own is not None and new is not None:
                own.copy_(new)


class _Stages:
    """A batch, stage by stage: encode, begin, step after step."""

    def __init__(
        self, model: Model, given: _Given, times: Sequence[int], group: int | None
    ) -> None:
        self.model, self.given, self.times, self.group = model, given, times, group
        self.shape = (given.shapes(), tuple(times), group)  # equal where numbers alone differ
        self.condition: Condition
        self.chains: Chains

    def bytes(self) -> int:
        """Of all chains' probabilities."""
        b, n = self.given.parts["first"][:2]
        h, w = self.given.images.shape[-2:]
        return 4 * b * n * len(self.model.card.classes) * h * w

    def encode(self) -> Condition:
        self.condition = self.model._encode(self.given.images)
        return self.condition

    def begin(self) -> None:
        """Make room for the chains, and for what all their steps share."""
        model, given, condition = self.model, self.given, self.condition
        schedule, sampling, predicts = model.schedule, model.card.sampling, model.network.predicts
        jump_of = {}
        if predicts == "x_0":
            jumps = schedule.jump(list(self.times), 0, device=model.device)
            jump_of = {t: jumps.of(number) for number, t in enumerate(self.times)}

        # It must not hold `self`: a ring would keep the tensors until garbage is collected.
        def prior(x_t: Tensor, t: int) -> Tensor:
            time = x_t.new_full((1,), t / schedule.steps, dtype=torch.float32)
            with autocast(model.device):
                logits = model._fast.denoise(x_t, time, condition)
            return logits if predicts == "prior" else prior_logits(logits, x_t, jump_of[t])

        encoder = condition.logits if sampling.first == "encoder" else None
        self.chains = Chains(
            prior,
            schedule,
            self.times,
            views(given.parts, given.words),
            shape=(given.images.shape[-2], given.images.shape[-1]),
            num_classes=len(model.card.classes),
            start=given.start,
            clamp=given.clamp,
            temperature=sampling.temperature,
            coherence_px=sampling.coherence_px,
            encoder=None if encoder is None else encoder.unsqueeze(1),
            group=self.group or model._at_once(given.images.shape),
        )

    def step(self, number: int) -> None:
        self.chains.step(number)

    def ends(self) -> Ends:
        p_0, blind = self.chains.p_0, self.model.network.predicts == "prior"
        return Ends(p_0, self.chains.told if blind else p_0.sum(1))


class _Recorded:
    """The stages of batches of one shape, recorded by a GPU.

    Raises
    ------
    RuntimeError
        They cannot be recorded, or what is recorded computes something else.
    """

    def __init__(self, stages: _Stages) -> None:
        model, device = stages.model, stages.model.device
        self.shape, self.free = stages.shape, threading.Lock()
        self._own = own = _Stages(model, stages.given.copied(), stages.times, stages.group)
        recorder = Recorder(device)

        def plain() -> Tensor:
            own.encode()
            own.begin()
            for number in range(len(own.times)):
                own.step(number)
            return own.ends().labels()

        expected = recorder.tried(plain)
        release(device)
        before = reserved_bytes(device)
        self._encode, _ = recorder.recorded(own.encode)
        own.begin()
        self._steps = [
            recorder.recorded(partial(own.step, number))[0] for number in range(len(own.times))
        ]
        self.bytes = reserved_bytes(device) - before
        for _ in self.run(stages.given, None):
            pass
        if (share := float((own.ends().labels() == expected).float().mean())) < _ALIKE:
            raise RuntimeError(f"only {share:.2%} of the labels were the same")

    def run(self, given: _Given, hints: Tensor | None) -> Generator[int, None, Ends]:
        """Run all of it; see :meth:`Model.run`."""
        own = self._own
        own.given.take(given)
        self._encode()
        if hints is not None:
            told = own.model._fast.hinted(own.condition, hints)
            for kept, new in zip(own.condition, told, strict=True):
                if kept is not None and new is not None:
                    kept.copy_(new)
        for number, step in enumerate(self._steps, start=1):
            step()
            yield number
        ends = own.ends()
        return Ends(ends.p_0.clone(), ends.told.clone())
