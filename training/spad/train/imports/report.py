"""What an import found: patients, images, sizes, splits, pixels per class, and what is doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spad.cases import NewCase
from spad.checkpoint import IGNORE

__all__ = ["Report", "listed"]

_SIZES = 6


@dataclass(slots=True)
class Report:
    """A tally of cases, filled while they are checked.

    Parameters
    ----------
    names : mapping of int to str
        Value -> name of each class.
    splits : sequence of str
        The splits, printed in this order also if empty.
    said : list of str
        Decisions that a reader should know.
    warnings : list of str
        What a reader should look at.
    """

    names: Mapping[int, str]
    splits: Sequence[str]
    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)
    patients: dict[str, set[str]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    shown: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, case: NewCase) -> None:
        """Count a case."""
        split = str(case.split)
        self.images[split] += 1
        self.patients.setdefault(split, set()).add(case.patient or case.name)
        self.sizes[case.labels.shape] += 1
        found = np.bincount(case.labels.ravel(), minlength=256)
        self.pixels += found
        self.shown += found > 0

    def steps(self, epochs: int, batch: int) -> int:
        """Updates that show the training split `epochs` times."""
        return -(-self.images["train"] * epochs // batch)

    def text(self) -> str:
        """Give the report as lines to print."""
        sizes = [f"{h} x {w} ({n})" for (h, w), n in self.sizes.most_common(_SIZES)]
        if len(self.sizes) > _SIZES:
            sizes.append(f"{len(self.sizes) - _SIZES} other sizes")
        everyone = set().union(*self.patients.values())
        lines = [
            f"images    {self.images.total()} of {len(everyone)} patients",
            f"sizes     {', '.join(sizes)} (rows x columns)",
        ]
        for split in self.splits:
            people = len(self.patients.get(split, ()))
            lines.append(f"{split:<9} {self.images[split]} images of {people} patients")
        width = max(map(len, [*self.names.values(), "ignore"]))
        lines.append(f"{'value':>5}  {'class':<{width}} {'pixels':>13} {'share':>8} {'images':>8}")
        total = self.pixels.sum()
        rows = [*self.names.items(), *([(IGNORE, "ignore")] if self.pixels[IGNORE] else [])]
        for value, name in rows:
            lines.append(
                f"{value:>5}  {name:<{width}} {self.pixels[value]:>13} "
                f"{self.pixels[value] / total:>8.3%} {self.shown[value]:>8}"
            )
        lines += [*self.said, *(f"warning: {text}" for text in self.warnings)]
        return "\n".join(lines)


def listed(items: Iterable[str], limit: int = 10) -> str:
    """Name a few of many: "a, b, c and 7 more"."""
    every = list(items)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more
