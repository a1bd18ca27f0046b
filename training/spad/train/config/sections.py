"""The trainer's configuration: frozen dataclasses, read from TOML, checked before anything starts.

Values come from the defaults here, then the preset, then the file, then ``key=value`` words. The
preset ``default`` is what serves the user best, as measured; ``paper`` is the SPAD paper, and CCDM
where that is silent (method, sections 1 to 7).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from spad.checkpoint import (
    Checked,
    InputConfig,
    NetworkConfig,
    SamplingConfig,
    ScheduleConfig,
    Within,
    from_json,
    plain,
    shipped,
)

__all__ = [
    "Augmentation",
    "Config",
    "ConfigError",
    "Data",
    "Loss",
    "Optimiser",
    "Perturbation",
    "Validation",
    "load_config",
]

Share = Annotated[float, Within(0, 1)]
Weight = Annotated[float, Within(0, 1000)]
Text = Annotated[str, Within(0, 500)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, the limit and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data(Checked):
    """Case folders and how they are drawn.

    Parameters
    ----------
    folders : tuple of str
        Case folders; relative ones are sought beside the configuration file.
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
    balance : float
        Share of the training samples drawn for a structure (each as often as the others) instead
        of evenly over the cases; helps structures that few cases show.
    licence, source : str
        For the model card.
    workers : int
        Processes that prepare samples; 0 prepares them in the training process.
    cache : bool
        Keep decoded and rescaled cases in the cache folder (``SPAD_CACHE``), for later runs.
    """

    folders: Annotated[tuple[Text, ...], Within(0, 100)] = ()
    weights: Annotated[tuple[Annotated[int, Within(1, 1000)], ...], Within(0, 100)] = ()
    train: Text = "train"
    validation: Text = "val"
    limit: Annotated[int, Within(0, 100_000_000)] = 0
    phantoms: Share = 0.0
    balance: Share = 0.0
    licence: Text = ""
    source: Text = ""
    workers: Annotated[int, Within(0, 64)] = 1
    cache: bool = True

    def _check(self) -> None:
        if not self.folders and self.phantoms < 1:
            raise ValueError(
                "data.folders has length 0; name at least one case folder, or train on phantoms "
                "alone (data.phantoms=1)"
            )
        if self.weights and len(self.weights) != len(self.folders):
            raise ValueError(
                f"data.weights has {len(self.weights)} numbers for {len(self.folders)} "
                "data.folders; give one for each folder, or none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation(Checked):
    """ScD, BcD and PaS, and what we add against leakage (method, sections 3 to 6).

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
    band : {"fixed", "adaptive"}
        ``adaptive`` narrows the band where a structure is thin, so that its middle stays clean.
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
    adapt : bool
        Perturb small and fragmented structures less strongly and less often.
    adapt_area : float
        Share of the frame; structures whose components are smaller are spared, by how much is in
        :mod:`spad.train.method.structure_scale`.
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
    band: Literal["fixed", "adaptive"] = "fixed"
    sigma_0: Annotated[float, Within(0, 10)] = 1.0
    alpha: Annotated[float, Within(1e-6, 1000)] = 0.1
    curve: Literal["default", "paper"] = "default"
    clean: Share = 0.25
    decoys: bool = True
    adapt: bool = False
    adapt_area: Annotated[float, Within(1e-6, 1)] = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Checked):
    """Weights of the loss (method, section 1).

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
    at_visited : float
        Share of the samples (before ``at_T`` divides the rest) that take one of the jumps at which
        a chain as `[sampling]` sets it asks the denoiser, each as often: from a visited time to the
        next, not to t - 1. With 1 the KL is that chain's own variational bound.
    recycled, distilled : float
        Shares of the samples at visited times below T whose x_t is drawn from the prediction at T
        (``sampling.first`` says whose) instead of the truth. Recycled ones still learn the truth;
        distilled ones the end of a chain that the teacher, the checkpoint ``init``, runs from
        there. See :mod:`spad.train.method.own_chains` for what each does to the samples' diversity.
    teacher_steps : int
        Of the teacher's chain.
    """

    kl: Weight = 1.0
    cross_entropy: Weight = 0.1
    dice: Weight = 0.1
    encoder_cross_entropy: Weight = 0.5
    encoder_dice: Weight = 0.5
    at_T: Share = 0.25
    at_visited: Share = 0.0
    recycled: Share = 0.0
    distilled: Share = 0.0
    teacher_steps: Annotated[int, Within(1, 4000)] = 10

    def _check(self) -> None:
        own = self.recycled + self.distilled
        if own > 1:
            raise ValueError(
                f"loss.recycled {self.recycled} and loss.distilled {self.distilled} are more than "
                "all samples together; lower one, so that their sum is at most 1"
            )
        if own and not self.at_visited:
            raise ValueError(
                "loss.recycled and loss.distilled are shares of the samples at visited times, and "
                "loss.at_visited is 0; raise it"
            )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser(Checked):
    """Adam with decoupled weight decay, warm-up and a cosine fall of the learning rate.

    Parameters
    ----------
    steps, batch : int
        Updates, and samples in each, of all processes together.
    minutes : float
        End after so many minutes of training (the last validation comes on top), if the steps are
        not done before; 0: no limit. The fall of the learning rate knows the steps alone.
    accumulate : int
        Micro-batches, one after the other, that a batch is cut into where it does not fit into
        memory at once. Terms that are sums over pixels stay the same; Dice is then pooled over
        each micro-batch instead of the batch.
    learning_rate, weight_decay : float
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
    """

    steps: Annotated[int, Within(1, 10_000_000)] = 10_000
    minutes: Annotated[float, Within(0, 100_000)] = 0.0
    batch: Annotated[int, Within(1, 4096)] = 8
    accumulate: Annotated[int, Within(1, 4096)] = 1
    learning_rate: Annotated[float, Within(0, 1)] = 1e-3
    weight_decay: Share = 1e-4
    warmup: Annotated[int, Within(0, 1_000_000)] = 100
    fall: bool = True
    ema: Annotated[float, Within(0, 0.99999)] = 0.998
    clip: Annotated[float, Within(1e-6, 1e6)] = 1.0
    activation_checkpointing: bool = False
    freeze_encoder: bool = False
    compile: bool = False


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Checked):
    """A training run.

    Parameters
    ----------
    name : str
        Of the model.
    method : {"spad", "unet"}
        ``spad`` is the label diffusion (network.kind cached or concat); ``unet`` the plain U-Net
        that every comparison needs: the condition encoder alone, or network.kind dynunet.
    preset : {"default", "paper"}
    seed : int
    init : str
        Checkpoint to start from, a path or a shipped model's name; empty: random weights.
        Fine-tuning is not perturbed unless
        ``perturbation`` is given.
    classes : mapping
        Name of each class, background first: the data set's values (or names) that become it.
        Empty: the classes of ``labels.json``.
    """

    name: Annotated[str, Within(1, 80)]
    method: Literal["spad", "unet"] = "spad"
    preset: Literal["default", "paper"] = "default"
    seed: Annotated[int, Within(0, 2**31)] = 0
    init: Text = ""
    classes: Mapping[str, Any] = field(default_factory=dict)
    data: Data
    input: InputConfig = field(default_factory=InputConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    perturbation: Perturbation = field(default_factory=Perturbation)
    loss: Loss = field(default_factory=Loss)
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimiser: Optimiser = field(default_factory=Optimiser)
    validation: Validation = field(default_factory=Validation)

    def _check(self) -> None:
        if (self.method == "spad") != self.network.diffuses:
            kinds = "cached or concat" if self.method == "spad" else "unet or dynunet"
            raise ValueError(
                f"method {self.method!r} goes with network.kind {kinds}, not with "
                f"{self.network.kind!r}; set method alone, the network follows"
            )
        loss, kind = self.loss, self.network.kind
        encoder = kind != "concat" and (loss.encoder_cross_entropy or loss.encoder_dice)
        denoiser = self.network.diffuses and (loss.kl or loss.cross_entropy or loss.dice)
        if not (encoder or denoiser):
            raise ValueError(
                f"no term of the loss that a network of kind {kind!r} has weighs more "
                "than 0; raise loss.kl, or loss.encoder_cross_entropy for a plain U-Net"
            )
        if kind == "cached" and not encoder and self.sampling.first == "encoder":
            raise ValueError(
                "sampling.first is 'encoder', whose logits no term of the loss trains; set it to "
                "'denoiser', or raise loss.encoder_cross_entropy"
            )
        if self.optimiser.freeze_encoder and not (kind == "cached" and self.init and denoiser):
            raise ValueError(
                "optimiser.freeze_encoder trains the denoiser alone, so it needs network.kind "
                f"cached (not {kind!r}), a checkpoint in init, and loss.kl, loss.cross_entropy or "
                "loss.dice above 0"
            )
        if not loss.at_visited:
            return
        if not self.network.diffuses:
            raise ValueError(
                f"loss.at_visited trains a denoiser, which a network of kind {kind!r} lacks; set "
                "it to 0, or method to spad"
            )
        if self.sampling.steps == 1:
            raise ValueError(
                "loss.at_visited trains the jumps of a chain, and sampling.steps is 1; set it to "
                "2 or more, or raise loss.at_T instead"
            )
        if loss.distilled and not self.init:
            raise ValueError(
                "loss.distilled needs a teacher, and init is empty; name a trained checkpoint"
            )

    def as_json(self) -> dict[str, Any]:
        """Give the configuration as plain JSON values."""
        values: dict[str, Any] = plain(self)
        return values


_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "perturbation": {
            "targets": "structures", "curve": "paper", "clean": 0.0, "decoys": False,
        },
        "loss": {
            "cross_entropy": 0.0, "dice": 0.0, "encoder_cross_entropy": 0.0,
            "encoder_dice": 0.0, "at_T": 0.0, "at_visited": 0.0, "recycled": 0.0, "distilled": 0.0,
        },
        "optimiser": {"learning_rate": 1e-4, "weight_decay": 1e-5, "warmup": 0, "fall": False},
        "sampling": {"steps": 250, "first": "denoiser"},
    },
}  # fmt: skip


_KINDS: dict[str, dict[str, Any]] = {
    "concat": {"network": {"widths": [32, 32, 64, 64, 128, 128]}},  # CCDM's at 256
    "dynunet": {"network": {"widths": [32, 64, 128, 256, 512, 512]}},  # nnU-Net's at 128
}


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration.

    Parameters
    ----------
    path : path-like
        A TOML file.
    overrides : iterable of str
        Words like ``optimiser.steps=500``; values as TOML writes them, or bare text.

    Returns
    -------
    Config
        Paths in it are absolute.

    Raises
    ------
    ConfigError
        Not TOML, an unknown key (with the nearest known one), a value out of its limits.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for word in overrides:
        _override(given, word)
    preset = given.get("preset", "default")
    if not isinstance(preset, str) or preset not in _PRESETS:
        raise ConfigError(f"preset {preset!r} is unknown; choose among {', '.join(_PRESETS)}")
    network = given.get("network")
    kind = network.get("kind") if isinstance(network, dict) else None
    below = dict(_PRESETS[preset])
    if given.get("method") == "unet":
        below.pop("loss", None)  # the presets say how a diffusion is trained
        if kind != "dynunet":
            kind = "unet"
            given = _merge(given, {"network": {"kind": kind}})
    values = _merge(_merge(below, _KINDS.get(str(kind), {})), given)
    if given.get("init") and "perturbation" not in given:
        off = {"semantic": False, "boundary": False}  # fine-tuning starts at progress 1
        values = _merge(values, {"perturbation": off})
    try:
        config: Config = from_json(Config, values, path.name)
        data = plain(config.data)
        data["folders"] = [str((path.parent / f).resolve()) for f in config.data.folders]
        values = {**values, "data": data}
        if config.init and config.init not in shipped():
            values["init"] = str((path.parent / config.init).resolve())
        config = from_json(Config, values, path.name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return config


def _override(values: dict[str, Any], word: str) -> None:
    """Put one ``a.b=value`` into the nested values."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise ConfigError(f"{word!r} is not of the form key=value, like optimiser.steps=500")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = name.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{word!r}: {section!r} is no section")
    values[last] = value


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, those of ``above`` winning."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return out
