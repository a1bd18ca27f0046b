"""What ``spad tune`` tells: how far it is, its tables, and why it chose what it chose."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence

from spad.train.tune.choice import Book, Limits, Standing
from spad.train.tune.measurements import Scan, Summary
from spad.train.tune.settings import GRIDS, Setting

__all__ = ["Progress", "say", "table", "verdict"]

_COLUMNS = {
    "Dice, pooled": "dice",
    "per image": "dice_per_image",
    "HD95": "hd95",
    "ECE": "ece",
    "class-wise": "ece_classwise",
    "ECE, contours": "ece_band",
    "class-wise, contours": "ece_band_classwise",
    "diversity": "diversity",
    "GED²": "energy",
    "s": "seconds",
}


def table(
    book: Book, rows: Mapping[Setting, str], scans: Sequence[Scan], temperature: float
) -> str:
    """The settings that were measured on all of some images, as Markdown.

    Parameters
    ----------
    book : Book
    rows : mapping of Setting to str
        What to call the grid of each.
    scans : sequence of Scan
    temperature : float
        That is not worth a word.
    """
    lines = ["| steps | grid | passes | " + " | ".join(_COLUMNS) + " |"]
    lines.append("|---" * (len(_COLUMNS) + 3) + "|")
    for setting, grid in sorted(rows.items(), key=lambda row: row[0].passes):
        if all(book.known(setting, scan) for scan in scans):
            found = book.summary(setting, scans)
            cells = [_cell(getattr(found, name)) for name in _COLUMNS.values()]
            name = _name(setting, grid, temperature)
            head = f"| {len(setting.times)} | {name} | {setting.passes} | "
            lines.append(head + " | ".join(cells) + " |")
    return "\n".join(lines)


def _name(setting: Setting, grid: str, temperature: float) -> str:
    times = "" if grid in GRIDS else f" {', '.join(map(str, setting.times))}"
    if setting.coherence_px:
        times += f", coherent {setting.coherence_px} px"
    warm = setting.temperature != temperature
    return f"{grid}{times}" + (f", temperature {setting.temperature:g}" if warm else "")


def verdict(
    use: Setting,
    fits: bool,
    at: Standing,
    limits: Limits,
    temperature: float,
    before: Summary,
    after: Summary,
    where: str,
) -> str:
    """Why a setting was chosen, and what it is worth.

    Parameters
    ----------
    use : Setting
    fits : bool
        Whether it is within both limits.
    at : Standing
        On the images of the choice.
    limits : Limits
    temperature : float
        Of the card, before one was fitted.
    before, after : Summary
        With that temperature and with its own, on the images ``where`` speaks of.
    where : str
    """
    lines = [] if fits else [
        f"No setting keeps Dice within {100 * limits.dice:g} points of the best and "
        f"{limits.diversity:.0%} of the whole chain's diversity. This is the cheapest of those "
        "that keep the diversity and are within these points of the best of them."
    ]  # fmt: skip
    coherent = f"coherent over {use.coherence_px} px, " if use.coherence_px else ""
    lines += [
        f"Chosen: {len(use.times)} steps at t = {_brief(use.times)}, {coherent}temperature "
        f"{use.temperature:g}; {100 * max(at.lost, 0):.2f} points of Dice below the best, "
        f"{at.spread:.0%} of the whole chain's diversity, on the images of the choice.",
        f"{where}: pooled mean Dice {after.dice:.4f}, diversity "
        f"{after.diversity:.4f}, GED² {after.energy:.4f}; ECE {before.ece:.4f} at temperature "
        f"{temperature:g}, {after.ece:.4f} at {use.temperature:g}; class-wise along "
        f"contours {before.ece_band_classwise:.4f}, {after.ece_band_classwise:.4f}.",
    ]
    return "\n".join(lines)


def _brief(times: Sequence[int]) -> str:
    shown = list(map(str, times))
    return ", ".join(shown if len(shown) <= 10 else [*shown[:2], "...", shown[-1]])


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}" if value > 1 else f"{value:.4f}"


class Progress:
    """A line on stderr: how far, and how long it may still take, judged by passes."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.done, self.began = 0, time.monotonic()

    def tick(self, setting: Setting) -> None:
        """Count one measurement, and show it."""
        self.done += setting.passes
        left = (time.monotonic() - self.began) * (self.total / max(1, self.done) - 1)
        print(
            f"\r{self.what}: {self.done}/{self.total} passes, {_duration(left)} left   ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        """Leave the line, if there was one."""
        if self.done:
            print(file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"spad: {text}", file=sys.stderr, flush=True)
