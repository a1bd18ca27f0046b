"""The plot of an experiment: a dot for each seed, a mark for the mean (SPAD, Fig. 6, Table 3)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from spad.train.experiments.table import Table

__all__ = ["plot"]

_DOT, _MEAN = "#0072B2", "#D55E00"  # Okabe-Ito; the shapes differ too
_MEASURE = "mDice"


def plot(table: Table) -> bytes:
    """Draw the pooled mean Dice of every arm, or of a sweep's values along an axis for each key.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    ImportError
        Matplotlib is missing; the message says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the plot needs Matplotlib: pip install "napari-spad[train]"') from error

    arms = table.about["arms"]
    by_key: dict[str, list[tuple[str, str]]] = {}
    if table.about["kind"] == "sweep" and all(len(words) == 1 for words in arms.values()):
        for arm, (word,) in arms.items():
            key, _, value = word.partition("=")
            by_key.setdefault(key, []).append((arm, value))
    panels = max(1, len(by_key))
    figure = Figure(figsize=(max(4.5 * panels, 0.8 * len(arms)), 3.6), layout="constrained")
    for axes, key in zip(
        figure.subplots(1, panels, squeeze=False, sharey=True)[0], by_key or [""], strict=True
    ):
        axes.set_ylabel("mean Dice, pooled")
        axes.grid(axis="y", alpha=0.3)
        if key:
            _curve(axes, table, key, by_key[key])
        else:
            _marks(axes, table, range(len(arms)), list(arms), line="none")
            axes.set_xticks(range(len(arms)), list(arms), rotation=30, ha="right")
            axes.set_xlim(-0.5, len(arms) - 0.5)
    figure.axes[0].legend(frameon=False, fontsize="small")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    return stream.getvalue()


def _curve(axes: Any, table: Table, key: str, points: Sequence[tuple[str, str]]) -> None:
    """Means along the values of a key, at their places if they are numbers."""
    axes.set_xlabel(key)
    try:
        places = [float(value) for _, value in points]
    except ValueError:
        places = [float(i) for i in range(len(points))]
        axes.set_xticks(places, [value for _, value in points])
    order = sorted(range(len(points)), key=places.__getitem__)
    _marks(axes, table, [places[i] for i in order], [points[i][0] for i in order], line="-")


def _marks(
    axes: Any, table: Table, places: Sequence[float], arms: Sequence[str], *, line: str
) -> None:
    """A dot for each seed, a diamond for the mean."""
    spreads = [table.rows[arm].get(_MEASURE) for arm in arms]
    known = [(x, s) for x, s in zip(places, spreads, strict=True) if s is not None and s.values]
    dots = [(x, value) for x, spread in known for value in spread.values.values()]
    axes.plot(
        [x for x, _ in known], [s.mean for _, s in known],
        color=_MEAN, marker="D", linestyle=line, label="mean over the seeds",
    )  # fmt: skip
    axes.plot(
        [x for x, _ in dots], [y for _, y in dots],
        color=_DOT, marker="o", markersize=4, linestyle="none", label="a seed",
    )  # fmt: skip
