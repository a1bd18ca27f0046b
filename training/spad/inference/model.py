"""A network with its card, ready to run: images on the network's grid in, probabilities out.

Encodes each image once and runs all of its chains on the shared features. Knows nothing of files,
frames or annotators; what it is given, it runs as one batch.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from spad.chain import cosine_schedule, prior_logits, sample
from spad.checkpoint import Card
from spad.network import Condition, Network, autocast

__all__ = ["Model"]

_LOGITS = 2**23  # 32 MiB: glibc takes larger blocks from the system anew each time, page by page


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
    ) -> Generator[int, None, Tensor]:
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
            As of :func:`spad.chain.sampler.sample`; any device.
        hints : Tensor of uint8, shape (B, h, w), optional
            What a person fixed, 255 elsewhere; see :meth:`spad.network.Network.hinted`.
        group : int, optional
            How many chains the denoiser takes at once; by default as many as are fastest.

        Yields
        ------
        int
            Number of steps done.

        Returns
        -------
        Tensor
            ``p(x_0)`` at the end of each chain, float32 (B, n, K, h, w); of a plain U-Net n is 1.
        """
        sampling = self.card.sampling
        condition, encoded = self._encode(images, hints)
        if encoded is not None and not self.diffuses:
            yield 1
            return (encoded / sampling.temperature).softmax(2)

        def prior(x_t: Tensor, t: int) -> Tensor:
            time = torch.full((1,), t / self.schedule.steps, device=self.device)
            with autocast(self.device):
                logits = self._fast.denoise(x_t, time, condition)
            if self.network.predicts == "prior":
                return logits
            return prior_logits(logits, x_t, self.schedule.jump(t, 0, device=self.device))

        run = sample(
            prior,
            self.schedule,
            times,
            shape=(images.shape[-2], images.shape[-1]),
            num_classes=len(self.card.classes),
            seed=seed,
            slices=slices,
            chains=chains,
            device=self.device,
            start=None if start is None else start.to(self.device),
            clamp=None if clamp is None else clamp.to(self.device),
            temperature=sampling.temperature,
            coherence_px=sampling.coherence_px,
            encoder=encoded if sampling.first == "encoder" else None,
            group=group or self._at_once(images),
        )
        while True:
            try:
                with torch.inference_mode():
                    done = next(run)
            except StopIteration as stop:
                p_0: Tensor = stop.value
                return p_0
            yield done

    def _encode(self, images: Tensor, hints: Tensor | None) -> tuple[Condition, Tensor | None]:
        """The images' condition, and its logits as those of one chain, (B, 1, K, h, w)."""
        # torch's modes are thread-wide: never hold them across a yield, where the host runs.
        with torch.inference_mode():
            with autocast(self.device):
                given = images.to(self.device)
                condition = self._fast.encode(given)
                if self.card.sampling.mirrored:
                    condition = condition.with_mirrored(self._fast.encode(given.flip(-1)))
            if hints is not None and self.diffuses:
                condition = self._fast.hinted(condition, hints.to(self.device))
            logits = condition.logits
            return condition, None if logits is None else logits.unsqueeze(1)

    def _at_once(self, images: Tensor) -> int | None:
        """Chains at once: all, but on a CPU only what its allocator and caches take well."""
        if self.device.type != "cpu":
            return None
        return max(1, _LOGITS // (images.shape[-2] * images.shape[-1] * len(self.card.classes)))
