"""The lesson itself: some updates of the decoder on what a person corrected, step by step.

Only the condition encoder's decoder learns (and what is pre-trained, if asked for): it holds what
is particular to the structures, and ten seconds of two cores move it far enough. The outcome is the
mean of old and learnt weights, see :class:`spad.learning.recipe.Recipe`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from spad.chain import NoiseSchedule, q_sample, sent
from spad.learning.loss import learning_loss
from spad.learning.recipe import Recipe
from spad.learning.views import Example, views, window_of
from spad.network import Condition, Network, autocast

__all__ = ["Lesson", "lesson"]

_WARM_UP = 5  # steps
_CLIP = 5.0  # norm of the gradient


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a lesson is about.

    Parameters
    ----------
    examples : list of Example
        What the person corrected; at least one says something.
    earlier : list of Example
        Of earlier cases.
    size : (int, int)
        Height and width that the model was trained at, pixels.
    schedule : NoiseSchedule
    times : list of int
        Below T, at which a chain asks the denoiser.
    new : bool
        Whether it has a structure that the model did not know.
    origin : mapping of str to Tensor, optional
        What has learnt, by name, as it was before this model's first lesson; by default as it is
        now.
    mirrored : bool
        Whether views may be mirrored: not where classes are left and right of one thing.
    """

    examples: list[Example]
    earlier: list[Example]
    size: tuple[int, int]
    schedule: NoiseSchedule
    times: list[int]
    new: bool = False
    origin: Mapping[str, Tensor] | None = None
    mirrored: bool = True


def lesson(
    network: Network, about: Lesson, recipe: Recipe, *, device: torch.device, seed: int
) -> Generator[int, None, tuple[Network, dict[str, Tensor]]]:
    """Learn; to cancel, stop iterating. To be iterated where gradients can be recorded.

    Parameters
    ----------
    network : Network
        Stays as it is.
    about : Lesson
    recipe : Recipe
    device : torch.device
    seed : int
        The same seed gives the same model on one device.

    Yields
    ------
    int
        Number of steps done.

    Returns
    -------
    Network
        On the device, in evaluation mode.
    dict of str to Tensor
        The origin for its next lesson, on the CPU.

    Raises
    ------
    ValueError
        The network has nothing that could learn, or no example shows a structure; or, after the
        last step, it has led to weights that are no numbers.
    """
    learner = copy.deepcopy(network).to(device).requires_grad_(False)
    optimiser = torch.optim.AdamW(_parts(learner, recipe))
    alike = _alike(about, network.num_classes)
    if all(alike):
        raise ValueError(
            "nothing to learn from: these B-scans show no structure, and it does not follow that "
            "others show none; accept one that shows some, or paint in it"
        )
    rates = [group["lr"] for group in optimiser.param_groups]
    learnt = {n: p for n, p in learner.named_parameters() if p.requires_grad}
    begun = {n: p.detach().clone() for n, p in learnt.items()}
    generator = torch.Generator().manual_seed(seed)
    window = window_of(about.size, network.config.stride, about.examples)
    steps = recipe.new_steps if about.new else recipe.steps
    asked = cache(partial(_asked, network))
    for step in range(steps):
        rate = min(1.0, (step + 1) / _WARM_UP) * (1 - step / steps)
        for group, full in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = full * rate
        chosen = _chosen(about, recipe, generator)
        examples = [asked(example) for example in chosen]
        shown = views(examples, window, generator, mirrored=about.mirrored)
        images, labels, before = (sent(x, device) for x in shown)
        loss = _loss(learner, images, labels, before, alike, about, recipe, generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learnt.values(), _CLIP)
        optimiser.step()
        yield step + 1
    learner.requires_grad_(False)
    if not torch.stack([p.isfinite().all() for p in learnt.values()]).all():
        raise ValueError(
            f"the lesson led to weights that are no numbers (NaN or infinity): learning_rate "
            f"{recipe.learning_rate:g} is too large for {steps} steps; choose a smaller one (by "
            f"default it is {Recipe().learning_rate:g})"
        )
    if about.new:
        return learner.eval(), {n: p.cpu() for n, p in learnt.items()}
    weights = dict(learner.named_parameters())
    origin = begun | {
        n: p.to(weights[n])
        for n, p in (about.origin or {}).items()
        if n in weights and p.shape == weights[n].shape and p.is_floating_point()
    }
    # method, Eq. 36
    old = recipe.old_bscans / (recipe.old_bscans + len(about.examples))
    for name, now in learnt.items():
        now.lerp_(begun[name], old)
    _keep_within(recipe.reach, weights, learnt, origin)
    return learner.eval(), {n: p.cpu() for n, p in origin.items()}


def _keep_within(
    reach: float,
    weights: Mapping[str, Tensor],
    learnt: Mapping[str, Tensor],
    origin: Mapping[str, Tensor],
) -> None:
    """Draw what has learnt back to its origin, if all that has an origin is too far from it.

    Too far is more than a share of the origin's norm. What this lesson left alone, and an earlier
    one did not, stays where it is, and counts.
    """
    gone, left, norm = (
        float(torch.stack([x.norm() for x in those]).norm()) if those else 0.0
        for those in (
            [p - origin[n] for n, p in learnt.items()],
            [weights[n] - p for n, p in origin.items() if n not in learnt],
            list(origin.values()),
        )
    )
    share = reach * norm
    most = math.sqrt(max(0.0, share * share - left * left))
    if gone > most:
        for name, now in learnt.items():
            now.lerp_(origin[name], 1 - most / gone)


def _alike(about: Lesson, count: int) -> list[bool]:
    """Background, and the structures that the person showed in no B-scan of the case."""
    shown = {value for one in about.examples for value in torch.unique(one.labels).tolist()}
    return [value == 0 or value not in shown for value in range(count)]


def _asked(network: Network, example: Example) -> Example:
    """What the old model says of an example, beside it; it is asked once, not for each view."""
    device = next(network.parameters()).device
    with torch.no_grad(), autocast(device):
        shares = _logits(network.encode(sent(example.image, device))).softmax(1)
    return replace(example, before=shares.to("cpu", torch.float16))


def _parts(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """The parameters that learn, by learning rate: the decoder's, and those that see the image."""
    if network.config.kind not in ("cached", "unet"):
        raise ValueError(
            f"a network of kind {network.config.kind!r} cannot learn from corrections: it has no "
            "condition encoder; take a model of kind cached or unet"
        )
    encoder: Any = network.encoder
    sees: Any = getattr(encoder, "backbone", None) or encoder.unet.encoder
    seeing = {id(p) for p in sees.parameters()}
    decoder = [p for p in encoder.parameters() if id(p) not in seeing]
    parts = [(decoder, 1.0), (list(sees.parameters()), recipe.encoder_factor)]
    if isinstance(denoiser := getattr(network, "denoiser", None), nn.Module):
        parts.append((list(denoiser.parameters()), recipe.denoiser_factor))
    return [
        {
            "params": [p.requires_grad_(True) for p in parameters],
            "lr": recipe.learning_rate * factor,
        }
        for parameters, factor in parts
        if factor and parameters
    ]


def _chosen(about: Lesson, recipe: Recipe, generator: torch.Generator) -> list[Example]:
    """Examples of a step, drawn: from this case, and now and then from earlier ones."""
    chosen = []
    for whether, which in torch.rand(
        (recipe.batch, 2), generator=generator, dtype=torch.float32
    ).tolist():
        past = bool(about.earlier) and whether < recipe.earlier_share
        of = about.earlier if past else about.examples
        chosen.append(of[int(which * len(of))])
    return chosen


def _loss(
    learner: Network,
    images: Tensor,
    labels: Tensor,
    before: Tensor,
    alike: list[bool],
    about: Lesson,
    recipe: Recipe,
    generator: torch.Generator,
) -> Tensor:
    """A step's loss; ``before`` are the old model's probabilities."""
    judged = partial(
        learning_loss,
        labels=labels,
        before=before,
        alike=alike,
        kept_weight=recipe.kept_weight,
        own_weight=0.0 if about.new else recipe.own_weight,
        own_confidence=recipe.own_confidence,
    )
    with autocast(images.device):
        condition = learner.encode(images)
    loss = judged(_logits(condition))
    if not (learner.diffuses and about.times and recipe.denoiser_factor):
        return loss
    # The denoiser meets what a chain would bring it: the encoder's own answer, noised again.
    which = torch.randint(len(about.times), (len(images),), generator=generator).tolist()
    times = [about.times[i] for i in which]
    chance = torch.rand((2, *labels.shape), generator=generator, dtype=torch.float32)
    u, v = sent(chance, images.device)
    shares = _logits(condition).detach().softmax(1).cumsum(1)[:, :-1]
    x_0 = (shares < u.unsqueeze(1)).sum(1)
    kept = about.schedule.jump(times, [0] * len(times), device=images.device).alpha_bar_t
    x_t = q_sample(x_0, kept.view(-1, 1, 1), learner.num_classes, v).to(torch.uint8)
    t = sent(torch.tensor(times, dtype=torch.float32), images.device)
    t = t / about.schedule.steps
    with autocast(images.device):
        prior = learner.denoise(x_t.unsqueeze(1), t, condition)
    return loss + judged(prior.squeeze(1))


def _logits(condition: Condition) -> Tensor:
    assert condition.logits is not None  # noqa: S101  (`_parts` has seen to it)
    return condition.logits
