"""Noise schedule of the label diffusion: beta, alpha, alpha_bar.

The cosine schedule of CCDM (Zbinden et al., ICCV 2023, section 3), made to obey
``alpha_bar_t = alpha_1 * ... * alpha_t`` exactly. Tables are float64 and kept as logarithms, so
that both ``alpha_bar`` and ``1 - alpha_bar`` (and the same of any jump from s to t) keep full
precision.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spad.chain.launches import sent

__all__ = ["Jump", "NoiseSchedule", "cosine_schedule"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Jump:
    """What the posterior needs of a jump from t down to s < t; each of shape (B, 1, 1, 1).

    ``kept`` is alpha_bar_t / alpha_bar_s, the chance that a label survives from s to t; ``lost``
    is ``1 - kept``. The names ending in ``_lost`` are ``1 - alpha_bar``.
    """

    alpha_bar_s: Tensor
    alpha_bar_s_lost: Tensor
    alpha_bar_t: Tensor
    alpha_bar_t_lost: Tensor
    kept: Tensor
    lost: Tensor

    def of(self, number: int) -> Jump:
        """One of the B jumps."""
        return Jump(*(getattr(self, f.name)[number : number + 1] for f in fields(self)))


class NoiseSchedule:
    """Tables of a noise schedule for t = 0..T (method, Eq. 2).

    Parameters
    ----------
    betas : array of float64, shape (T,)
        beta_1..beta_T, each in (0, 1).

    Raises
    ------
    ValueError
        No betas, or one outside (0, 1).
    """

    def __init__(self, betas: ArrayLike) -> None:
        beta = np.asarray(betas, dtype=np.float64)
        if beta.ndim != 1 or beta.size == 0 or not np.all((beta > 0) & (beta < 1)):
            raise ValueError("a noise schedule needs at least one beta, each inside (0, 1)")
        self.betas: Float64 = beta
        self._log_alpha_bar: Float64 = np.concatenate([[0.0], np.cumsum(np.log1p(-beta))])

    @property
    def steps(self) -> int:
        """T, the number of noising steps."""
        return int(self.betas.size)

    @property
    def alpha_bar(self) -> Float64:
        """The chance that a label has survived until t, float64, shape (T + 1,); 1 at t = 0."""
        return np.exp(self._log_alpha_bar)

    @property
    def log_snr(self) -> Float64:
        """Logarithm of alpha_bar / (1 - alpha_bar) at t = 1..T, float64, shape (T,)."""
        log_alpha_bar = self._log_alpha_bar[1:]
        return log_alpha_bar - np.log(-np.expm1(log_alpha_bar))

    def forgets(self, t: int) -> bool:
        """Whether x_t says nothing of x_0 to speak of: alpha_bar_t is below 1e-6."""
        return bool(self._log_alpha_bar[t] < np.log(1e-6))

    def jump(
        self,
        t: ArrayLike,
        s: ArrayLike,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Jump:
        """Coefficients of the jumps from times ``t`` to times ``s``.

        Parameters
        ----------
        t, s : array of int, shape (B,)
            1 <= t <= T and 0 <= s < t.
        device : torch.device
        dtype : torch.dtype

        Returns
        -------
        Jump

        Raises
        ------
        ValueError
            A time out of range, or an s that is not before its t.
        """
        t, s = np.broadcast_arrays(np.atleast_1d(np.asarray(t)), np.asarray(s))
        if t.min() < 1 or t.max() > self.steps or s.min() < 0 or np.any(s >= t):
            raise ValueError(
                f"a jump from t={t.tolist()} to s={s.tolist()} needs 0 <= s < t <= {self.steps}"
            )
        log_t, log_s = self._log_alpha_bar[t], self._log_alpha_bar[s]
        table = np.stack(
            [
                np.exp(log_s),
                -np.expm1(log_s),
                np.exp(log_t),
                -np.expm1(log_t),
                np.exp(log_t - log_s),
                -np.expm1(log_t - log_s),
            ]
        )
        on_device = sent(torch.from_numpy(table).to(dtype), device)
        return Jump(*on_device.view(6, -1, 1, 1, 1))


def cosine_schedule(
    steps: int = 250, offset: float = 0.008, beta_max: float = 0.999
) -> NoiseSchedule:
    """Cosine schedule: alpha_bar_t follows cos^2, each beta at most ``beta_max`` (method, Eq. 1).

    Parameters
    ----------
    steps : int
        T.
    offset : float
        s of Nichol and Dhariwal (2021, equation 17), keeps beta_1 away from 0.
    beta_max : float

    Returns
    -------
    NoiseSchedule
    """
    u = (np.arange(steps + 1) / steps + offset) / (1 + offset) * np.pi / 2
    f = np.cos(u) ** 2
    return NoiseSchedule(np.minimum(1 - f[1:] / f[:-1], beta_max))
