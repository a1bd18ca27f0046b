"""A light denoiser, run at each step, and the network that joins it to the condition encoder.

The denoiser works on the noisy label map at strides 4 to 16, is told the time, the encoder's
features and its logits, and corrects those logits (our choice).

The network's output is the *prior* ``pi(x_0 | x_t, image)`` before a pixel's own noisy label is
weighed; Bayes' rule adds that exactly, ``p(x_0 = i) ~ pi_i q(x_t | x_0 = i)``, so that the denoiser
need not carry each pixel of x_t through its bottleneck.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.chain import few_launches, one_hot
from spad.checkpoint import NetworkConfig
from spad.network.correction_spread import spread
from spad.network.encoder_decoder import EncoderDecoder, Norm, Pointwise, TimeEmbedding
from spad.network.interface import Condition
from spad.network.unet import PlainUNet, planes

__all__ = ["Cached", "Denoiser"]

_PATCH = 4  # stride at which the denoiser reads and writes
_ROWS = 4096  # of the denoiser's table of labels, at most


class Denoiser(nn.Module):
    """The noisy label maps of n chains for each of B images to a correction of the logits."""

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        width = config.denoiser_widths[0]
        self.num_classes = num_classes
        self.labels = Pointwise(_PATCH**2 * num_classes, width)
        self.features = Pointwise(config.widths[1], width)
        self.logits = Pointwise(_PATCH**2 * num_classes, width)
        self.time = TimeEmbedding(config.time_width)
        self.unet = EncoderDecoder(
            config.denoiser_widths, config.denoiser_blocks, config.time_width
        )
        self.norm = Norm(width)
        self.head = Pointwise(width, _PATCH**2 * num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def context(self, logits: Tensor, features: Tensor) -> Tensor:
        """What the image says, once for all chains and steps: (B, C, H/4, W/4)."""
        out: Tensor = self.features(features) + self._patches(logits.softmax(dim=1))
        return out

    def _patches(self, probabilities: Tensor) -> Tensor:
        """``self.logits`` of probabilities (B, K, H, W)."""
        if few_launches(probabilities) or torch.is_grad_enabled():
            return self.logits(F.pixel_unshuffle(probabilities, _PATCH))  # type: ignore[no-any-return]
        # On a CPU space-to-depth takes four times as long as the convolution.
        weight = self.logits.weight.view(self.logits.out_channels, -1, _PATCH, _PATCH)
        return F.conv2d(probabilities, weight, self.logits.bias, stride=_PATCH)

    def forward(self, x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Correction of the logits, (B, n, K, H, W).

        Parameters
        ----------
        x_t : Tensor of integers, shape (B, n, H, W)
        t : Tensor of float32, shape (B,) or (B, n)
            t / T in 0..1.
        context : Tensor, shape (B, C, H/4, W/4)
        """
        b, n, h, w = x_t.shape
        # Looked up only where that was measured to pay, and not every GPU's torch has the look-up.
        if x_t.device.type == "cpu" and not torch.is_grad_enabled():
            x = self._look_up(x_t.flatten(0, 1), context.dtype)
        else:
            x = one_hot(x_t.flatten(0, 1), self.num_classes, context.dtype)
            x = self.labels(F.pixel_unshuffle(x, _PATCH))
        x = (x.unflatten(0, (b, n)) + context.unsqueeze(1)).flatten(0, 1)  # type: ignore[no-untyped-call]
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.unet(x, self.time.chains(t, b, n))[0]
        patches = self.head(F.silu(self.norm(x)))
        out = F.pixel_shuffle(patches, _PATCH)
        return out.view(b, n, self.num_classes, h, w)

    def _look_up(self, x_t: Tensor, dtype: torch.dtype) -> Tensor:
        """``self.labels`` of the patches' one-hot labels, ten times faster on a CPU.

        The convolution's sum over a patch's one-hot labels is one over the rows of a table, chosen
        by the labels; a few neighbouring labels choose a row together.
        """
        k, width = self.num_classes, self.labels.out_channels
        together = next(g for g in (4, 2, 1) if g == 1 or k**g <= _ROWS)
        weight = self.labels.weight.to(dtype).view(width, k, _PATCH**2 // together, together)
        places = weight.permute(2, 3, 1, 0)  # (groups of a patch, place in it, K, width)
        table = places[:, 0]
        for place in range(1, together):
            table = (table.unsqueeze(2) + places[:, place].unsqueeze(1)).flatten(1, 2)
        # (N, H, W) -> one number a group: (N, H/4, W/4, groups)
        n, h, w = x_t.shape
        labels = x_t.view(n, h, w // together, together).int()
        rows = labels[..., 0]
        for place in range(1, together):
            rows = rows * k + labels[..., place]
        across = _PATCH // together
        rows = rows.view(n, h // _PATCH, _PATCH, w // _PATCH, across).transpose(2, 3).flatten(3)
        rows = rows + k**together * torch.arange(
            _PATCH * across, dtype=torch.int32, device=rows.device
        )
        out = F.embedding_bag(rows.flatten(0, 2), table.flatten(0, 1), mode="sum")
        out = out.view(n, h // _PATCH, w // _PATCH, width).permute(0, 3, 1, 2)
        return out if self.labels.bias is None else out + self.labels.bias.view(-1, 1, 1).to(dtype)


class Cached(PlainUNet):
    """Condition encoder and denoiser."""

    diffuses = True

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self.denoiser = Denoiser(config, num_classes)
        own = {"denoiser.head": 0, "denoiser.labels": 1, "denoiser.logits": 1}
        self.class_axes = {**self.class_axes, **own}

    def encode(self, image: Tensor) -> Condition:
        """The encoder's logits; as context what it tells the denoiser, (B, C, H/4, W/4)."""
        logits, features = self.encoder(image.contiguous(memory_format=torch.channels_last))
        return Condition(planes(logits), self.denoiser.context(logits, features))

    def hinted(self, condition: Condition, hints: Tensor) -> Condition:
        """The encoder's mistakes are spread to what looks alike; see :meth:`Network.hinted`."""
        assert condition.logits is not None  # noqa: S101  (for the type checker)
        logits = spread(condition.logits, condition.context, hints)
        # The context is linear in the probabilities: as if the encoder had said so.
        change = F.pixel_unshuffle(logits.softmax(1) - condition.logits.softmax(1), _PATCH)
        weight = self.denoiser.logits.weight
        told = F.conv2d(change.to(weight.dtype), weight)
        return Condition(logits, condition.context + told.to(condition.context.dtype))

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits of the prior pi(x_0 | x_t, image); see :meth:`Network.denoise`."""
        if condition.logits is None:
            raise ValueError("the condition is another network's; encode the image with this one")
        # SPAD, Eq. 2; method, Eq. 14
        correction: Tensor = self.denoiser(x_t, t, condition.context)
        logits = condition.logits.unsqueeze(1)
        if torch.is_grad_enabled():
            return logits + correction.float()
        # Summed in full precision, to planes that the sampler can walk one by one.
        out = correction.new_empty(correction.shape, dtype=torch.float32)
        if few_launches(out):
            return torch.add(logits, correction, out=out)
        # On a CPU a sum of two precisions makes a third tensor of that size.
        return out.copy_(correction).add_(logits)
