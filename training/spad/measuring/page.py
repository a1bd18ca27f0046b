"""One page to file: where it is, what it looks like, how much it is, and what that rests on."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import without_empty
from spad.checkpoint import NOTICE, LabelClass
from spad.measuring.caveats import remarks
from spad.measuring.measures import LiveMeasures, Measurement
from spad.measuring.scale import Scale

__all__ = ["A4", "draw_table", "new_figure", "number", "page_pdf"]

A4 = (8.27, 11.69)
_TABLES, _FOOT = 0.455, 0.11  # where the tables begin and end, as shares of the page
_SIDE = {"S": "superior", "N": "nasal", "I": "inferior", "T": "temporal", "L": "left", "R": "right"}


def page_pdf(
    image: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[LabelClass],
    live: LiveMeasures,
    scale: Scale,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    worst: Sequence[int] | None = None,
    layers: Mapping[str, Mapping[str, float | None]] | None = None,
    noted: Sequence[str] = (),
) -> bytes:
    """Draw the report of a stack on one page.

    Parameters
    ----------
    image, labels : array, shape (Z, H, W) or (H, W)
        The image in greys, and the class values that were measured.
    classes : sequence of LabelClass
    live : LiveMeasures
        Of the labels, placed about the fovea where there is one.
    scale : Scale
        With its origin, which is printed.
    title : str
        What was measured: a pseudonym, an eye, a date. Nothing is added that names a patient.
    facts : mapping of str to str, optional
        More lines for the head: ``{"Model": ..., "Edited by hand": "2 of 25 B-scans"}``.
    worst : sequence of int, optional
        B-scans to show beside the central one, from 0, those to be doubted most first. By default
        the two with the largest area of a structure.
    layers : mapping of str to mapping of str to float or None, optional
        Mean thickness between lines in µm, by layer and region: "total" and ETDRS fields are shown.
    noted : sequence of str
        What a reader has to know besides.

    Returns
    -------
    bytes
        A PDF of one page.

    Raises
    ------
    ImportError
        Matplotlib is missing.
    ValueError
        The image and the labels have different shapes.
    """
    figure = drawn(
        image, labels, classes, live, scale, title=title, facts=facts, worst=worst,
        layers=layers, noted=noted,
    )  # fmt: skip
    out = io.BytesIO()
    said = {"Title": title, "Creator": "SPAD", "CreationDate": None}
    figure.savefig(out, format="pdf", metadata=said)
    return out.getvalue()


def new_figure(size: tuple[float, float], **more: Any) -> Any:
    """Make an empty Matplotlib figure of a size in inches; where Matplotlib is missing, say so."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"plots and pages need the package matplotlib ({error}). Install it and try again:  "
            f'{sys.executable} -m pip install "napari-spad[report]"'
        ) from None
    return Figure(figsize=size, **more)


def drawn(
    image: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[LabelClass],
    live: LiveMeasures,
    scale: Scale,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    worst: Sequence[int] | None = None,
    layers: Mapping[str, Mapping[str, float | None]] | None = None,
    noted: Sequence[str] = (),
) -> Any:
    """The page of `page_pdf` as a Matplotlib figure."""
    if image.shape != labels.shape:
        raise ValueError(
            f"the image has shape {image.shape}, the labels {labels.shape}; give both of one stack"
        )
    images, maps = (a.reshape(live.shape) for a in (image, labels))
    structures = [c for c in classes if c.value]
    rows = live.rows()
    figure = new_figure(A4)
    _head(figure, title, scale, facts or {})
    _from_above(figure, live, structures)
    centre = live.shape[0] // 2
    if live.grid is not None:  # which may lie on the scan's very edge
        centre = min(max(round(live.grid.fovea[0]), 0), live.shape[0] - 1)
    told = "doubtful" if worst is not None else "largest area"
    shown = [(z, told) for z in (_fullest(rows) if worst is None else worst) if z != centre][:2]
    for place, (z, why) in enumerate([(centre, "central"), *shown]):
        axes = figure.add_axes((0.52, 0.745 - 0.135 * place, 0.42, 0.113))
        _bscan(axes, images[z], maps[z], structures, live.spacing_mm)
        axes.set_title(f"B-scan {z + 1} of {live.shape[0]}, {why}", fontsize=7, loc="left", pad=2)
    _tables(figure, rows, live, layers or {})
    notes = [*remarks(live, scale), *noted]
    notes.append("B-scans and columns are numbered from 1")
    notes.append("volume = area × distance of the B-scans: nothing is guessed between them")
    if any(m.low_nl is not None for m in rows):
        notes.append("(a–b): lowest and highest volume among the model's samples")
    figure.text(
        0.06, 0.045, "\n".join(f"• {one}" for one in notes), fontsize=6.5, va="bottom", wrap=True
    )
    figure.text(0.06, 0.02, NOTICE, fontsize=8, weight="bold")
    return figure


def _head(figure: Any, title: str, scale: Scale, facts: Mapping[str, str]) -> None:
    figure.text(0.06, 0.955, title, fontsize=14, weight="bold")
    lines = [f"Scale (column × row): {scale.words}", *(f"{k}: {v}" for k, v in facts.items())]
    figure.text(0.06, 0.945, "\n".join(lines), fontsize=8, va="top", linespacing=1.5)


def _from_above(figure: Any, live: LiveMeasures, structures: Sequence[LabelClass]) -> None:
    """Heights of all structures, each in its colour, with the grid."""
    deep, _, width = live.shape
    axes = figure.add_axes((0.1, 0.51, 0.37, 0.348))
    between, _, column = live.spacing_mm
    paper = np.ones((deep, width, 3))
    heights = {c.value: np.nan_to_num(live.heights_um(c.value)) for c in structures}
    for one in sorted(
        structures, key=lambda c: -int((heights[c.value] > 0).sum())
    ):  # small ones on top
        height = heights[one.value]
        top = float(height.max())
        if top > 0:
            strength = np.clip(0.25 + 0.75 * height / top, 0, 1) * (height > 0)
            paper += strength[..., None] * (np.array(one.color) / 255 - paper)
    seen = np.isfinite(live.heights_um(structures[0].value))
    paper[~seen] = 0.85
    upward = "lower" if live.grid is None or live.grid.first == "inferior" else "upper"
    axes.imshow(paper, origin=upward, aspect="auto", interpolation="nearest")
    if live.grid is not None and between is not None:
        for line in live.grid.lines():
            axes.plot(line[:, 1], line[:, 0], color="black", lw=0.6)
        axes.plot(live.grid.fovea[1], live.grid.fovea[0], "+", color="black")
        for name, (z, x) in live.grid.middles().items():
            axes.text(
                x, z, name, fontsize=5.5, ha="center", va="center", color="0.35", clip_on=True
            )
    if between is not None:
        axes.set_box_aspect(min(1.3, max(0.3, deep * between / (width * column))))
    axes.set_anchor("N")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(*((-0.5, deep - 0.5) if upward == "lower" else (deep - 0.5, -0.5)))
    axes.set_xlabel("column", fontsize=7)
    axes.set_ylabel("B-scan", fontsize=7)
    axes.tick_params(labelsize=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda at, _: f"{at + 1:.0f}")
    axes.set_title("From above: each structure, darker where it is higher", fontsize=7, loc="left")
    for n, one in enumerate(structures):
        axes.annotate(
            f"■ {one.name[:14]}", (0, 0), (62 * (n % 4) - 20, -34 - 10 * (n // 4)), "axes fraction",
            textcoords="offset points", annotation_clip=False,
            color=np.array(one.color) / 255, fontsize=7,
        )  # fmt: skip


def _bscan(
    axes: Any,
    image: NDArray[Any],
    labels: NDArray[Any],
    structures: Sequence[LabelClass],
    spacing_mm: tuple[float | None, float, float],
) -> None:
    image = without_empty(image)
    low, high = np.percentile(image, (1, 99.5))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
    for one in structures:
        inside = labels == one.value
        if inside.any() and not inside.all():
            axes.contour(inside, [0.5], colors=[np.array(one.color) / 255], linewidths=0.7)
    height, width = image.shape
    bar = 1.0 if width * spacing_mm[2] > 2 else 0.2
    at = height * 0.93
    axes.plot([width * 0.03, width * 0.03 + bar / spacing_mm[2]], [at, at], color="white", lw=1.5)
    axes.text(width * 0.03, at - height * 0.03, f"{bar:g} mm", color="white", fontsize=5.5)
    axes.set_axis_off()


def _fullest(rows: Sequence[Measurement]) -> list[int]:
    """B-scans with the largest areas, the largest first."""
    found = [(m.largest_area_mm2, m.largest_area_bscan) for m in rows if m.region == "total"]
    ordered = [z for _, z in sorted(found, reverse=True, key=lambda f: f[0]) if z is not None]
    return list(dict.fromkeys(ordered))


def _tables(
    figure: Any,
    rows: Sequence[Measurement],
    live: LiveMeasures,
    layers: Mapping[str, Mapping[str, float | None]],
) -> None:
    fields = live.grid.fields if live.grid is not None else ()
    empty = {m.structure for m in rows if m.region == "total" and not m.bscans}
    body = [
        [
            m.structure, m.region, _volume(m),
            f"{m.largest_area_mm2:.3g}", _at(m.largest_area_bscan),
            f"{m.largest_height_um:.0f}", _at(m.largest_height_bscan),
            "–" if m.mean_height_um is None else f"{m.mean_height_um:.1f}",
            "" if m.parts is None else str(m.parts), f"{m.share_of_bscans:.0%}", f"{m.scanned:.0%}",
        ]
        for m in rows
        if m.region == "total" or not (m.region in fields or m.structure in empty)
    ]  # fmt: skip
    head = [
        "structure", "region", "volume [nL]", "largest\narea [mm²]", "in\nB-scan",
        "largest\nheight [µm]", "in\nB-scan", "mean\nheight [µm]", "parts", "B-scans\ntouched",
        "region\nscanned",
    ]  # fmt: skip
    widths = [1.2, 0.9, 2.2, 1.1, 0.8, 1.1, 0.8, 1.1, 0.7, 0.9, 0.9]
    by = {(m.structure, m.region): m for m in rows}
    volumes = [
        [n, *(number(by[n, f].volume_nl) for f in fields)]
        for n in dict.fromkeys(m.structure for m in rows)
        if fields and n not in empty
    ]
    more = len(layers) + 3 if layers else 0
    line = min(0.0145, (_TABLES - _FOOT) / (len(body) + len(volumes) + 5 + more))
    under = draw_table(figure, _TABLES, line, head, body, widths)
    if volumes:
        sides = ", ".join(f"{k} {v}" for k, v in _SIDE.items() if any(f[0] == k for f in fields))
        told = f"Volume [nL] by ETDRS field: {sides}, C1 the central 1 mm"
        figure.text(0.06, under - 1.4 * line, told, fontsize=7)
        fair = [1.2, *[1.0] * len(fields)]
        under = draw_table(figure, under - 1.7 * line, line, ["structure", *fields], volumes, fair)
    if layers:
        figure.text(0.06, under - 1.4 * line, "Mean thickness between two lines [µm]", fontsize=7)
        thick = [
            [layer, *(number(means.get(f)) for f in ("total", *fields))]
            for layer, means in layers.items()
        ]
        fair = [2.4, *[1.0] * (1 + len(fields))]
        draw_table(figure, under - 1.7 * line, line, ["layer", "all", *fields], thick, fair)


def draw_table(
    figure: Any,
    top: float,
    line: float,
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    widths: Sequence[float],
) -> float:
    """Draw a table; where it ends."""
    tall = 2 if any("\n" in h for h in head) else 1
    height = line * (len(body) + tall)
    axes = figure.add_axes((0.06, top - height, 0.88, height))
    axes.set_axis_off()
    share = [w / sum(widths) for w in widths]
    cells = axes.table(
        cellText=body, colLabels=head, colWidths=share, cellLoc="right", bbox=(0, 0, 1, 1)
    )
    cells.auto_set_font_size(False)
    cells.set_fontsize(min(6.5, 450 * line))
    for (r, c), cell in cells.get_celld().items():
        cell.set_height((tall if r == 0 else 1) / (len(body) + tall))
        cell.set_linewidth(0.3)
        if r == 0:
            cell.set_facecolor("0.92")
        if c == 0:
            cell.set_text_props(ha="left")
    return top - height


def _volume(one: Measurement) -> str:
    text = number(one.volume_nl)
    if one.low_nl is not None and one.high_nl is not None:
        text += f" ({number(one.low_nl)}–{number(one.high_nl)})"
    return text


def number(value: float | None) -> str:
    """Three digits; a dash of None."""
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _at(bscan: int | None) -> str:
    return "–" if bscan is None else str(bscan + 1)
