"""The sections of a configuration, with their defaults, limits and meanings.

Those of the model itself, ``[input]``, ``[network]``, ``[schedule]`` and ``[sampling]``, are its
card's (:mod:`spad.checkpoint.card`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from spad.checkpoint import Checked, Within

__all__ = [
    "Augmentation",
    "Data",
    "Loss",
    "Optimiser",
    "Perturbation",
    "Text",
    "Validation",
]

Share = Annotated[float, Within(0, 1)]
Weight = Annotated[float, Within(0, 1000)]
Text = Annotated[str, Within(0, 500)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data(Checked):
    """Case folders and how they are drawn.

    Parameters
    ----------
    folders : tuple of str
        Case folders; relative ones are sought beside the configuration file, ``$SPAD_DATA/NAME`` in
        the folder that the environment variable SPAD_DATA names.
    weights : tuple of int
        How many times an epoch each case of a folder is drawn, one number for each folder; empty:
        once.
    train, validation : str
        Names of splits. Without a validation split, patients are drawn from the training split.
    limit : int
        Train on at most so many cases, drawn by patient; 0: on all. Smaller limits draw from the
        same cases as larger ones.
    phantoms : float
        Share of the training samples that are fresh phantoms with randomised looks; with 1, only
        phantoms train, and without folders they also validate.
    diseases : tuple of {"wet-amd", "oedema", "serous"}
        What those phantoms have, each as often as the others.
    balance : float
        Share of the training samples drawn for a structure (each as often as the others) instead
        of evenly over the cases; helps structures that few cases show.
    licence, source : str
        For the model card.
    workers : int
        Processes that prepare samples; 0 prepares them in the training process; -1: one beside a
        training on the CPU, and for a GPU one for each core, but one, up to 8.
    cache : bool
        Keep decoded and rescaled cases in the cache folder (``SPAD_CACHE``), for later runs.
    """

    folders: Annotated[tuple[Text, ...], Within(0, 100)] = ()
    weights: Annotated[tuple[Annotated[int, Within(1, 1000)], ...], Within(0, 100)] = ()
    train: Text = "train"
    validation: Text = "val"
    limit: Annotated[int, Within(0, 100_000_000)] = 0
    phantoms: Share = 0.0
    diseases: Annotated[tuple[Literal["wet-amd", "oedema", "serous"], ...], Within(1, 3)] = (
        "wet-amd",
    )
    balance: Share = 0.0
    licence: Text = ""
    source: Text = ""
    workers: Annotated[int, Within(-1, 64)] = -1
    cache: bool = True

    def _check(self) -> None:
        if not self.folders and self.phantoms < 1:
            raise ValueError(
                "data.folders has length 0; name at least one case folder, or train on phantoms "
                "alone (data.phantoms=1)"
            )
        if repeated := sorted({f for f in self.folders if self.folders.count(f) > 1}):
            raise ValueError(
                f"data.folders names {repeated[0]} twice, so that its images would count twice in "
                "each score; name it once, and draw it more often with data.weights"
            )
        if self.weights and len(self.weights) != len(self.folders):
            raise ValueError(
                f"data.weights has {len(self.weights)} numbers for {len(self.folders)} "
                "data.folders; give one for each folder, or none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation(Checked):
    """ScD, BcD and PaS, and what we add against leakage (docs/method.md, sections 3 to 6).

    Parameters
    ----------
    semantic, boundary, progressive : bool
        ScD, BcD, PaS.
    targets : {"components", "structures"}
    targets_0, targets_min : int
        K_0 and K_min.
    gamma : float
        Fall of the number of targets per epoch.
    anchors : float
        Share of a target's pixels that stay clean.
    radius : int
        The boundary band is ``2 radius + 1`` pixels wide.
    sigma_0 : float
        Intensity at the start, on images in [-1, 1].
    alpha : float
        Fall of the intensity per epoch.
    curve : {"default", "paper"}
        ``default`` spreads the paper's 200 epochs over the run and ends at 0.
    clean : float
        Share of the samples that stay unperturbed.
    decoys : bool
        Perturb also where another case has its targets, so that the noise does not mark the label.
    """

    semantic: bool = True
    boundary: bool = True
    progressive: bool = True
    targets: Literal["components", "structures"] = "components"
    targets_0: Annotated[int, Within(0, 255)] = 3
    targets_min: Annotated[int, Within(0, 255)] = 1
    gamma: Weight = 0.05
    anchors: Share = 0.3
    radius: Annotated[int, Within(0, 32)] = 1
    sigma_0: Annotated[float, Within(0, 10)] = 1.0
    alpha: Annotated[float, Within(1e-6, 1000)] = 0.1
    curve: Literal["default", "paper"] = "default"
    clean: Share = 0.25
    decoys: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Checked):
    """Weights of the loss (docs/method.md, section 1).

    Parameters
    ----------
    kl : float
        KL between the posteriors, per pixel.
    cross_entropy, dice : float
        Cross-entropy and soft Dice of p(x_0).
    encoder_cross_entropy, encoder_dice : float
        The same of the encoder's own logits; a plain U-Net has these alone, concat the others.
    at_T : float
        Share of the samples whose time is T; the others' times are uniform in 1..T.
    recycled : float
        With more than 0, three quarters of the samples (before ``at_T`` divides the rest) take one
        of the jumps at which a chain as `[sampling]` sets it asks the denoiser, each as often: from
        a visited time to the next, not to t - 1. This is the share, of those at visited times below
        T, whose x_t is drawn from the prediction at T (``sampling.first`` says whose) instead of
        the truth; :mod:`spad.train.method.recycling` tells what that does to the samples.
    """

    kl: Weight = 1.0
    cross_entropy: Weight = 0.1
    dice: Weight = 0.1
    encoder_cross_entropy: Weight = 0.5
    encoder_dice: Weight = 0.5
    at_T: Share = 0.25
    recycled: Share = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation(Checked):
    """Random changes of a training image; each amount is the end of a range around no change.

    Parameters
    ----------
    flip : bool
        Mirror half of the samples left to right.
    flip_swaps : tuple of (str, str)
        Classes that change places in a mirrored image (right and left lung).
    rotate_degrees : float
    zoom, stretch : float
        Scale by ``exp(+-zoom)``; the axes against each other by ``exp(+-stretch)``.
    shift : float
        Of the frame's size.
    gamma, contrast, brightness : float
        Exponent ``exp(+-gamma)`` on intensities in 0..1; factor ``exp(+-contrast)`` around 0;
        offset.
    noise : float
        Largest standard deviation of added noise, images in [-1, 1].
    blur_px : float
        Largest standard deviation of a blur, for a third of the samples.
    gamma_inverted : float
        Share of the samples whose ``gamma`` acts on the inverted image (nnU-Net: 0.1 to 0.15), so
        that it spreads what is bright instead of what is dark.
    low_resolution : float
        For a quarter of the samples: shrunk by up to ``1 + low_resolution`` and enlarged again
        (nnU-Net: 1).
    speckle : float
        Largest relative standard deviation of multiplied, gamma-distributed noise, for half of the
        samples (an image as clinics store it: about 0.3).
    shadows : float
        Largest darkening by one of up to four vertical shadows, for half of the samples; 1: black.
    strips : float
        Share of the samples that get a strip of another case's columns, moved to the height of
        their own retina (CutMix, Yun et al. 2019, for B-scans).
    """

    flip: bool = True
    flip_swaps: Annotated[tuple[tuple[Text, Text], ...], Within(0, 64)] = ()
    rotate_degrees: Annotated[float, Within(0, 180)] = 10.0
    zoom: Annotated[float, Within(0, 1)] = 0.2
    stretch: Annotated[float, Within(0, 1)] = 0.1
    shift: Share = 0.05
    gamma: Annotated[float, Within(0, 2)] = 0.3
    contrast: Annotated[float, Within(0, 2)] = 0.2
    brightness: Share = 0.1
    noise: Share = 0.1
    blur_px: Annotated[float, Within(0, 10)] = 1.0
    gamma_inverted: Share = 0.0
    low_resolution: Annotated[float, Within(0, 4)] = 0.0
    speckle: Share = 0.0
    shadows: Share = 0.0
    strips: Share = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser(Checked):
    """Adam with decoupled weight decay, warm-up and a cosine fall of the learning rate.

    Parameters
    ----------
    steps, batch : int
        Updates, and samples in each, of all processes together.
    minutes : float
        End after so many minutes of training (the last validation comes on top), if the steps are
        not done before; 0: no limit. Those of the steps that are kept count, over all resumes, and
        a resume may raise it. The fall of the learning rate knows the steps alone.
    accumulate : int
        Micro-batches, one after the other, that a batch is cut into where it does not fit into
        memory at once. Terms that are sums over pixels stay the same; Dice is then pooled over
        each micro-batch instead of the batch.
    learning_rate, weight_decay : float
    encoder_factor : float
        Factor of the learning rate for the weights that are pre-trained elsewhere (those of
        ``network.encoder`` other than own).
    warmup : int
        Updates over which the learning rate rises.
    fall : bool
        Whether it then falls to 0 along a cosine.
    ema : float
        Decay of the averaged weights.
    clip : float
        Largest norm of the gradient.
    activation_checkpointing : bool
        Compute the inner activations of each block again for the gradient instead of keeping them:
        less memory for a third more time.
    freeze_encoder : bool
        Keep the condition encoder of the checkpoint ``init`` as it is and train the denoiser alone,
        for less than half the time of a step.
    compile : bool
        Run the network through ``torch.compile``, where the machine has a compiler.
    deterministic : bool
        On a GPU, compute so that a run can be repeated, and resumed, bit for bit: slower. A CPU
        does so anyway.
    """

    steps: Annotated[int, Within(1, 10_000_000)] = 10_000
    minutes: Annotated[float, Within(0, 100_000)] = 0.0
    batch: Annotated[int, Within(1, 4096)] = 8
    accumulate: Annotated[int, Within(1, 4096)] = 1
    learning_rate: Annotated[float, Within(0, 1)] = 1e-3
    weight_decay: Share = 1e-4
    encoder_factor: Share = 0.2
    warmup: Annotated[int, Within(0, 1_000_000)] = 100
    fall: bool = True
    ema: Annotated[float, Within(0, 0.99999)] = 0.998
    clip: Annotated[float, Within(1e-6, 1e6)] = 1.0
    activation_checkpointing: bool = False
    freeze_encoder: bool = False
    compile: bool = False
    deterministic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation(Checked):
    """How often the model is scored, with how many chains of how many steps, and how often saved.

    Parameters
    ----------
    every, save_every : int
        In updates.
    before : bool
        Score the starting point too: then ``best.safetensors`` is never worse than it.
    samples, steps : int
    """

    every: Annotated[int, Within(1, 10_000_000)] = 500
    save_every: Annotated[int, Within(1, 10_000_000)] = 100
    before: bool = False
    samples: Annotated[int, Within(1, 64)] = 4
    steps: Annotated[int, Within(1, 4000)] = 3
