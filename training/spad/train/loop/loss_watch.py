"""The loss, watched: kept on the device step by step, looked at now and then, with one wait.

A loss that is no number is named with its step. So is one that explodes: `_IN_A_ROW` steps, all
above `_TIMES` the median of up to the last `_RECENT` steps. Losses of lesions jump from batch to
batch, so a few high ones mean nothing; but while the last one is high, no state is saved. Between
two looks a clock tells where the time goes.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from spad.train.processes import ALONE, Group

__all__ = ["Clock", "Diverged", "Watch"]

_IN_A_ROW = 20  # steps
_TIMES = 20
_RECENT = 500  # steps
_ENOUGH = 100  # steps before which nothing is called high: the first losses fall fast
_NAMED = 8  # cases


class Diverged(ValueError):
    """The loss is no number any more, or exploded; the last good state is kept."""


class Watch:
    """What the steps since the last check have cost.

    Parameters
    ----------
    step : int
        Steps done.
    batch : int
        Samples of a step.
    cases_of : callable
        Sample numbers -> names of their cases.
    kept : str
        Where the last good state is, for messages.
    """

    def __init__(
        self, step: int, batch: int, cases_of: Callable[[Iterable[int]], list[str]], kept: str
    ) -> None:
        self._step, self._batch, self._cases_of, self._kept = step, batch, cases_of, kept
        self._names: tuple[str, ...] = ()
        self._rows: list[Tensor] = []
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._high: list[float] = []

    @property
    def calm(self) -> bool:
        """Whether the last loss that was looked at is no high one."""
        return not self._high

    def add(self, terms: dict[str, Tensor]) -> None:
        """Keep what one step has cost: scalars on the device, among them ``loss`` and ``norm``."""
        self._names = tuple(terms)
        self._rows.append(torch.stack([x.detach() for x in terms.values()]))

    def check(self, network: nn.Module, group: Group = ALONE) -> dict[str, float]:
        """Look at the steps since the last check; the host waits for the device here.

        Parameters
        ----------
        network : nn.Module
        group : Group
            Whose processes each know the terms of their part; the mean is the batch's.

        Returns
        -------
        dict of float
            Mean of each term over these steps.

        Raises
        ------
        Diverged
            At which step, and with which cases.
        """
        table = group.mean(torch.stack(self._rows))
        weights = torch.stack([w.detach().sum() for w in network.parameters()]).sum()
        values = torch.cat([table.flatten(), weights.float().view(1)]).cpu().numpy()
        rows = values[:-1].astype(np.float64).reshape(len(self._rows), -1)
        self._rows = []
        where = [self._names.index(name) for name in ("loss", "norm")]
        for loss, norm in rows[:, where]:
            self._step += 1
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._stop(self._step, f"the loss is {loss} and the gradient's norm {norm}")
            self._judge(loss)
        if not math.isfinite(values[-1]):
            self._stop(self._step, "the weights hold NaN or infinity")
        return dict(zip(self._names, rows.mean(0).tolist(), strict=True))

    def _judge(self, loss: float) -> None:
        """Take a loss among the recent ones, or count it as a high one."""
        usual = float(np.median(self._recent)) if len(self._recent) >= _ENOUGH else math.inf
        if loss <= _TIMES * usual:
            self._recent.append(loss)
            self._high = []
            return
        self._high.append(loss)
        if len(self._high) == _IN_A_ROW:
            self._stop(
                self._step - _IN_A_ROW + 1,
                f"the loss exploded: it was {min(self._high):.3g} or more for {_IN_A_ROW} steps "
                f"in a row, {_TIMES} times its recent median {usual:.3g} or more; it began",
            )

    def _stop(self, step: int, what: str) -> None:
        numbers = range((step - 1) * self._batch, step * self._batch)
        cases = self._cases_of(numbers)
        more = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
        raise Diverged(
            f"{what} at step {step}, in the batch of the cases {', '.join(cases[:_NAMED])}{more}; "
            f"{self._kept} keeps the last good state. Look at these cases, or train into another "
            "folder with a lower optimiser.learning_rate"
        )


class Clock:
    """Where the time between two looks at the loss goes."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin anew, after what was no training (a save, a validation)."""
        self._began, self._waited, self._steps = time.perf_counter(), 0.0, 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The next step's data are waited for."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began
        self._steps += 1

    def speed(self, batch: int) -> dict[str, float]:
        """Of the steps since the start; to be asked after the host has waited for the device."""
        spent = time.perf_counter() - self._began
        return {
            "speed/images per second": self._steps * batch / spent,
            "speed/share of time waiting for data": self._waited / spent,
        }
