"""Plots of many numbers: two readers against each other, volumes over visits. By Matplotlib."""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spad.checkpoint import NOTICE, LabelClass
from spad.measuring.bland_altman import Agreement
from spad.measuring.page import A4, draw_table, new_figure, number
from spad.measuring.visits import Visit, change, in_order, visit_remarks

__all__ = ["agreement_plot", "visits_page", "visits_plot"]

_CIRCLES = {"total": "-", "6 mm": "--", "3 mm": "-.", "1 mm": ":"}
_MOST_VISITS, _MOST_ROWS, _MOST_PLOTS = 8, 24, 12  # on the page; the CSV file has all


def agreement_plot(
    agreed: Mapping[str, Agreement],
    unit: str,
    *,
    title: str = "",
    readers: tuple[str, str] = ("the reference", "here"),
    kind: str = "png",
) -> bytes:
    """Draw Bland-Altman plots, one a structure: differences over means, bias, limits of agreement.

    Parameters
    ----------
    agreed : mapping of str to Agreement
        By structure, as `limits_of_agreement` gives it.
    unit : str
        Of their numbers.
    title : str
    readers : (str, str)
        What the first and the second of each pair are.
    kind : {"png", "pdf"}

    Returns
    -------
    bytes
        A file of that kind.

    Raises
    ------
    ImportError
        Matplotlib is missing.
    ValueError
        There is nothing to draw.
    """
    if not agreed:
        raise ValueError(
            "no structure has two pairs of numbers; limits of agreement need at least 2"
        )
    across, down = _grid(len(agreed))
    figure = new_figure((4.2 * across, 3.1 * down + 0.5), layout="constrained")
    figure.suptitle(title or f"{readers[1]} less {readers[0]}", fontsize=10)
    figure.supxlabel(NOTICE, fontsize=6.5)
    for n, (name, one) in enumerate(agreed.items()):
        axes = figure.add_subplot(down, across, n + 1)
        axes.scatter(one.means, one.differences, s=14, color="0.2", alpha=0.7, linewidths=0)
        for value, style, words in (
            (one.upper, "--", "+1.96 SD"), (one.bias, "-", "mean"), (one.lower, "--", "−1.96 SD"),
        ):  # fmt: skip
            axes.axhline(value, color="#0072b2", ls=style, lw=1)
            axes.annotate(
                f"{words} {value:+.3g}", (1, value), (-2, 2), ("axes fraction", "data"),
                "offset points", ha="right", fontsize=6.5, color="#0072b2",
            )  # fmt: skip
        axes.axhline(0, color="0.8", lw=0.8, zorder=0)
        axes.set_title(f"{name} (n = {len(one.means)})", fontsize=8, loc="left")
        axes.set_xlabel(f"mean of both [{unit}]", fontsize=7)
        axes.set_ylabel(f"{readers[1]} − {readers[0]} [{unit}]", fontsize=7)
        axes.tick_params(labelsize=6.5)
        axes.margins(0.1, 0.2)
    return _as_file(figure, kind)


def visits_plot(visits: Sequence[Visit], classes: Sequence[LabelClass]) -> bytes:
    """Draw volumes over visits, one plot a structure, as a PNG.

    Parameters
    ----------
    visits : sequence of Visit
        See `in_order` for what is raised.
    classes : sequence of LabelClass
        Their colours.

    Raises
    ------
    ImportError
        Matplotlib is missing.
    ValueError
        The visits cannot be compared, or none has a volume.
    """
    ordered = in_order(visits)
    names = _with_volume(ordered)
    across, down = _grid(len(names))
    figure = new_figure((3.4 * across, 2.1 * down), layout="constrained")
    for n, name in enumerate(names):
        _course(figure.add_subplot(down, across, n + 1), ordered, name, classes, legend=n == 0)
    return _as_file(figure, "png")


def visits_page(
    visits: Sequence[Visit], classes: Sequence[LabelClass], *, title: str, kind: str = "pdf"
) -> bytes:
    """Draw the visits of an eye on one page: plots, the table, each visit's scale and remarks.

    Parameters
    ----------
    visits, classes
        As for `visits_plot`, which raises the same.
    title : str
        Nothing is added that names a patient.
    kind : {"pdf", "png"}

    Returns
    -------
    bytes
        One page.
    """
    ordered = in_order(visits)
    names = _with_volume(ordered)
    figure = new_figure(A4)
    figure.text(0.06, 0.955, title, fontsize=14, weight="bold")
    told = f"Volumes over {len(ordered)} visits, in nL"
    if any(m.low_nl is not None for v in ordered for m in v.rows):
        told += "; bands: the samples' range"
    figure.text(0.06, 0.935, told, fontsize=8)
    across, down = _grid(len(names))
    gap, room = 0.06, 0.9 / max(across, 2)
    high = min(0.16, 0.5 / down - gap)
    for n, name in enumerate(names):
        left, top = 0.1 + room * (n % across), 0.9 - (n // across) * (high + gap)
        axes = figure.add_axes((left, top - high, room - 0.08, high))
        _course(axes, ordered, name, classes, legend=n == 0)
    _page_table(figure, 0.89 - down * (high + gap), ordered, names)
    scales = {v.scale.words for v in ordered}
    said = [f"{v.label}: {v.scale.words}" for v in ordered] if len(scales) > 1 else [*scales]
    said += visit_remarks(ordered)
    said += dict.fromkeys(remark for v in ordered for remark in v.remarks)
    figure.text(
        0.06, 0.045, "\n".join(f"• {one}" for one in said), fontsize=6.5, va="bottom", wrap=True
    )
    figure.text(0.06, 0.02, NOTICE, fontsize=8, weight="bold")
    return _as_file(figure, kind, title)


def _grid(plots: int) -> tuple[int, int]:
    """How many plots stand side by side, and how many below each other."""
    across = min(plots, 2 if plots <= 6 else 3)
    return across, -(-plots // across)


def _with_volume(visits: Sequence[Visit]) -> list[str]:
    """Structures that some visit has, or all where none was seen: as many as are drawn."""
    known = {m.structure: 0.0 for v in visits for m in v.rows if m.volume_nl is not None}
    if not known:
        raise ValueError(
            "none of these visits has a volume: the distance of the B-scans is not known; type it"
        )
    for visit in visits:
        for m in visit.rows:
            known[m.structure] = max(known.get(m.structure, 0.0), m.volume_nl or 0.0)
    seen = [name for name, largest in known.items() if largest]
    return (seen or list(known))[:_MOST_PLOTS]


def _course(
    axes: Any, visits: Sequence[Visit], name: str, classes: Sequence[LabelClass], *, legend: bool
) -> None:
    """Volumes of a structure over the visits, in all and within the circles."""
    colour = next((np.array(c.color) / 255 for c in classes if c.name == name), "0.2")
    dated = all(v.date for v in visits)
    at: list[Any] = [
        datetime.date.fromisoformat(v.date) if dated else n for n, v in enumerate(visits, 1)
    ]
    for region, style in _CIRCLES.items():
        found = [v.at(name, region) for v in visits]
        if all(m is None for m in found):
            continue
        values = [np.nan if m is None or m.volume_nl is None else m.volume_nl for m in found]
        words = region.replace("total", "all")
        axes.plot(at, values, style, color=colour, marker="o", ms=3, lw=1.2, label=words)
        ranges = [(m.low_nl, m.high_nl) for m in found if m is not None]
        if region == "total" and len(ranges) == len(at) and all(None not in r for r in ranges):
            low, high = zip(*ranges, strict=True)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
    axes.set_title(name, fontsize=8, loc="left")
    axes.set_ylabel("nL", fontsize=7)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1e-3))
    axes.set_xticks(at, [v.label[:14] for v in visits], fontsize=6.5, rotation=20, ha="right")
    axes.tick_params(labelsize=6.5)
    axes.margins(x=0.08)
    if legend and len(axes.lines) > 1:
        axes.legend(fontsize=6, frameon=False)


def _page_table(figure: Any, top: float, visits: Sequence[Visit], names: Sequence[str]) -> None:
    shown = visits if len(visits) <= _MOST_VISITS else (visits[0], *visits[1 - _MOST_VISITS :])
    regions = [r for r in _CIRCLES if any(m.region == r for v in visits for m in v.rows)]
    if len(names) * len(regions) > _MOST_ROWS:
        regions = regions[:1]
    body = []
    for name in names:
        for region in regions:
            found = [v.at(name, region) for v in shown]
            more = None if found[-1] is None else change(found[-1], visits[0])
            body.append([
                name, region, *(number(None if m is None else m.volume_nl) for m in found),
                "–" if more is None else f"{more:+.3g}" if more else "0",
            ])  # fmt: skip
    head = ["structure", "within", *(v.label[:12] for v in shown), "last − first"]
    line = min(0.0145, (top - 0.16) / (len(body) + 3))
    draw_table(figure, top, line, head, body, [1.2, 0.8, *[1.0] * len(shown), 1.1])


def _as_file(figure: Any, kind: str, title: str = "") -> bytes:
    out = io.BytesIO()
    more: dict[str, Any] = {"dpi": 110}
    if kind == "pdf":
        more = {"metadata": {"Title": title, "Creator": "SPAD", "CreationDate": None}}
    figure.savefig(out, format=kind, **more)
    return out.getvalue()
