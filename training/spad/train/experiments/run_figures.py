"""Figures of a run: the curve over training (SPAD, Fig. 6 (c)) and qualitative rows (Fig. 5).

Pure functions from values to a matplotlib figure, without pyplot and so without global state. The
classes have the colours that they have everywhere (:mod:`spad.checkpoint.labels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, LabelClass
from spad.metrics import confusion_matrix
from spad.train.experiments.run_data import RunData
from spad.train.method import intensity, target_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["Picture", "curve", "mean_dice", "new_figure", "overlay", "rows"]

DPI = 160
_GREY = (150, 150, 150)  # the ignored
_FILL = 0.5  # opacity of a structure's inside; its edge is opaque
_WIDTH = 2.6  # of a picture, inches


@dataclass(frozen=True, slots=True)
class Picture:
    """One row of :func:`rows`.

    Parameters
    ----------
    name : str
    image : array, shape (H, W)
        In [-1, 1].
    trained : array, shape (h, w)
        The perturbed view, at the network's resolution.
    reference : array of uint8, shape (H, W)
        255 is ignored.
    predictions : tuple of arrays of uint8, shape (H, W)
        One of each model.
    uncertainty : array, shape (H, W)
        Of the first model, 0..1.
    """

    name: str
    image: NDArray[np.float32]
    trained: NDArray[np.float32]
    reference: NDArray[np.uint8]
    predictions: tuple[NDArray[np.uint8], ...]
    uncertainty: NDArray[Any]


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of a size in inches, in the house's style.

    Raises
    ------
    ImportError
        matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f'figures need {error.name or error}: pip install "napari-spad[train]"'
        ) from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def mean_dice(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], classes: int
) -> float | None:
    """Mean Dice of the structures that either map shows; None where there is none."""
    matrix = confusion_matrix(prediction, reference, classes)
    sizes = (matrix.sum(0) + matrix.sum(1))[1:]
    shown = sizes > 0
    if not shown.any():
        return None
    return float(np.mean(2 * np.diag(matrix)[1:][shown] / sizes[shown]))


def overlay(labels: NDArray[np.uint8], classes: Sequence[LabelClass]) -> NDArray[np.uint8]:
    """Colour and opacity, uint8 (H, W, 4), of a label map: structures filled, their edges drawn."""
    table = np.zeros((256, 4), np.uint8)
    for one in classes[1:]:
        table[one.value] = (*one.color, round(255 * _FILL))
    table[IGNORE] = (*_GREY, round(255 * _FILL))
    out: NDArray[np.uint8] = table[labels]
    padded = np.pad(labels, 1, mode="edge")
    height, width = labels.shape
    edge = np.zeros(labels.shape, bool)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        edge |= padded[down : down + height, right : right + width] != labels
    out[..., 3][edge & (labels > 0)] = 255
    return out


def curve(run: RunData) -> Figure:
    """Dice on the validation cases, loss, and PaS's intensity and number of targets by step.

    Parameters
    ----------
    run : RunData
    """
    figure = new_figure(7.0, 7.6)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1.2, 1.2))
    for one in run.card.classes[1:]:
        if one.name in run.dice:
            series = run.dice[one.name]
            top.plot(
                series.steps, series.values, "o-", ms=4, lw=1.3, color=one.hex, label=one.name,
                clip_on=False,
            )  # fmt: skip
    mean = run.dice.get("mean")
    if mean is not None:
        top.plot(
            mean.steps, mean.values, "s-", ms=5, lw=2.4, color="black", label="mean",
            clip_on=False,
        )  # fmt: skip
    top.set(ylabel="validation Dice (pooled)", ylim=(0, 1))
    top.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    per_epoch = run.steps_per_epoch
    epochs = top.secondary_xaxis(
        "top", functions=(lambda step: step / per_epoch, lambda epoch: epoch * per_epoch)
    )
    epochs.set_xlabel("epoch")
    top.set_title(f"{run.card.name} ({run.config.method})", fontsize=12, pad=8)

    middle.plot(run.loss.steps, run.loss.values, lw=1.3, color="#333333")
    middle.set(ylabel="training loss")
    middle.set_ylim(bottom=0)
    _pas(bottom, run)
    bottom.set(xlabel="step", xlim=(0, run.config.optimiser.steps))
    for axes in (top, middle, bottom):
        axes.grid(color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _pas(axes: Axes, run: RunData) -> None:
    """Intensity (left axis) and number of targets (right axis), also of the steps to come."""
    from matplotlib.ticker import MaxNLocator

    p, o = run.config.perturbation, run.config.optimiser
    if run.config.method == "unet" or not (p.semantic or p.boundary):
        axes.text(0.5, 0.5, "trained without perturbation", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    steps = np.linspace(0, o.steps - 1, min(o.steps, 2000))
    when = [(step / max(1, o.steps - 1), step / run.steps_per_epoch) for step in steps]
    strong, many = "#0072b2", "#d55e00"
    axes.plot(steps, [intensity(p, *one) for one in when], color=strong, lw=1.8)
    axes.set_ylim(0, 1.08 * p.sigma_0 or 1)
    axes.set_ylabel("PaS: intensity σ", color=strong)
    axes.tick_params(axis="y", labelcolor=strong)
    counts = axes.twinx()
    counts.plot(steps, [target_count(p, *one) for one in when], color=many, lw=1.5, ls="--")
    highest = max(p.targets_0, p.targets_min)
    counts.set_ylim(0, 1.08 * highest or 1)
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    counts.set_ylabel("targets $K_e$", color=many)
    counts.tick_params(axis="y", labelcolor=many)
    counts.spines[["top"]].set_visible(False)


def rows(
    pictures: Sequence[Picture],
    classes: Sequence[LabelClass],
    models: Sequence[str],
    *,
    trained: str = "as trained on",
) -> Figure:
    """Qualitative results, one case a row.

    Columns: image, perturbed view, reference, each model with its mean Dice, uncertainty of the
    first model.

    Parameters
    ----------
    pictures : sequence of Picture
    classes : sequence of LabelClass
        Background first.
    models : sequence of str
        Their names, in the order of a picture's predictions.
    trained : str
        Title of the perturbed view.

    Raises
    ------
    ValueError
        There is no picture.
    """
    if not pictures:
        raise ValueError("there are no cases to show; give at least one")
    titles = ["image", trained, "reference", *models, "uncertainty"]
    aspect = [one.image.shape[0] / one.image.shape[1] for one in pictures]
    heights = [min(max(_WIDTH * a, 0.6), 2 * _WIDTH) for a in aspect]
    figure = new_figure(_WIDTH * len(titles), sum(heights) + 0.34 * len(pictures) + 1.0)
    spec = figure.add_gridspec(len(pictures) + 1, len(titles), height_ratios=[*heights, 0.12])
    grid = [
        [figure.add_subplot(spec[i, j]) for j in range(len(titles))] for i in range(len(aspect))
    ]
    highest = max(0.1, *(float(np.max(one.uncertainty)) for one in pictures))
    shading = None
    for line, picture in zip(grid, pictures, strict=True):
        shading = _row(line, picture, classes, highest)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=12, wrap=True)
    if shading is not None:
        bar = figure.colorbar(
            shading, cax=figure.add_subplot(spec[-1, -1]), orientation="horizontal"
        )
        bar.set_label(f"of {models[0]}: entropy / log K", fontsize=9)
        bar.ax.tick_params(labelsize=9)
    ignored = any((one.reference == IGNORE).any() for one in pictures)
    _legend(figure.add_subplot(spec[-1, :-1]), classes, ignored=ignored)
    return figure


def _row(
    line: Sequence[Axes], picture: Picture, classes: Sequence[LabelClass], highest: float
) -> AxesImage:
    """Draw one case; the last column's shading ends at ``highest``."""
    height, width = picture.image.shape
    extent = (0, width, height, 0)
    for axes in line:
        axes.set(xticks=[], yticks=[])
    for axes in line[:-1]:
        axes.imshow(picture.image, cmap="gray", vmin=-1, vmax=1, extent=extent)
    line[1].imshow(picture.trained, cmap="gray", vmin=-1, vmax=1, extent=extent)
    for axes, labels in zip(line[2:-1], (picture.reference, *picture.predictions), strict=True):
        axes.imshow(overlay(labels, classes), extent=extent, interpolation="nearest")
    for axes, labels in zip(line[3:-1], picture.predictions, strict=True):
        dice = mean_dice(labels, picture.reference, len(classes))
        axes.set_xlabel("no structure" if dice is None else f"Dice {dice:.3f}", fontsize=11)
    line[0].set_ylabel(picture.name, fontsize=9)
    return line[-1].imshow(
        picture.uncertainty.astype(np.float32), cmap="magma", vmin=0, vmax=highest, extent=extent
    )


def _legend(axes: Axes, classes: Sequence[LabelClass], *, ignored: bool) -> None:
    """Name the colours."""
    from matplotlib.patches import Patch

    patches = [Patch(color=one.hex, label=one.name) for one in classes[1:]]
    if ignored:
        patches.append(Patch(color="#{:02x}{:02x}{:02x}".format(*_GREY), label="ignored"))
    axes.set_axis_off()
    axes.legend(handles=patches, loc="upper left", ncols=8, frameon=False, fontsize=12)
