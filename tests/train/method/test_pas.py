"""PaS: the intensity of the noise and the number of targets fall as the paper says, and to 0."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spad.train.config import Perturbation
from spad.train.method.pas import EPOCHS, intensity, target_count


def paper(**more: Any) -> Perturbation:
    return Perturbation(curve="paper", **more)


@pytest.mark.parametrize(
    ("epoch", "sigma"),
    [(0, 1.0), (1, 1 / 1.1), (5, 1 / 1.5), (10, 0.5), (90, 0.1), (199, 1 / 20.9)],
)
def test_paper_intensity_is_sigma_0_over_1_plus_alpha_e(epoch: int, sigma: float) -> None:
    assert intensity(paper(), 0.0, epoch) == pytest.approx(sigma, rel=1e-12)
    assert intensity(paper(sigma_0=3), 0.0, epoch) == pytest.approx(3 * sigma, rel=1e-12)


def test_paper_intensity_falls_with_alpha() -> None:
    assert intensity(paper(alpha=0.5), 0.0, 2) == pytest.approx(0.5)


@pytest.mark.parametrize("epoch", [0, 3, 17])
def test_paper_intensity_is_one_for_a_whole_epoch(epoch: int) -> None:
    within = {intensity(paper(), p, epoch + part) for p in (0, 0.7) for part in (0, 0.5, 0.999)}
    assert len(within) == 1
    assert intensity(paper(), 0.0, epoch + 1) < within.pop()


def test_default_intensity_starts_at_sigma_0_and_ends_at_exactly_0() -> None:
    config = Perturbation(sigma_0=0.7)
    assert intensity(config, 0.0, 0) == pytest.approx(0.7, rel=1e-12)
    assert intensity(config, 1.0, 123) == 0.0


@given(st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_default_intensity_falls_and_never_below_0(alpha: float, sigma_0: float) -> None:
    config = Perturbation(alpha=alpha, sigma_0=sigma_0)
    values = [intensity(config, i / 50, 0) for i in range(51)]
    assert all(later < earlier for earlier, later in pairwise(values))
    assert values[-1] == 0


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_default_intensity_is_the_papers_curve_over_200_epochs_shifted_to_end_at_0(
    p: float,
) -> None:
    config = Perturbation(sigma_0=2, alpha=0.1)

    def fall(epoch: float) -> float:
        return 1 / (1 + 0.1 * epoch)

    expected = 2 * (fall(200 * p) - fall(200)) / (1 - fall(200))
    assert intensity(config, p, 0) == pytest.approx(expected, rel=1e-12)
    assert EPOCHS == 200


def test_default_curves_do_not_depend_on_the_number_of_epochs() -> None:
    config = Perturbation()
    assert len({intensity(config, 0.3, e) for e in (0, 5, 1000)}) == 1
    assert len({target_count(config, 0.3, e) for e in (0, 5, 1000)}) == 1


@pytest.mark.parametrize(
    ("epoch", "count"),
    # 3 / (1 + 0.05 e) + 1/2, rounded down: 3.5 3.36 3.0 2.9 2.5 2.0 1.96 1.5 .77
    [(0, 3), (1, 3), (4, 3), (5, 2), (10, 2), (20, 2), (21, 1), (40, 1), (199, 1)],
)
def test_k_e_is_worked_out_by_hand(epoch: int, count: int) -> None:
    assert target_count(paper(), 0.0, epoch) == count
    assert target_count(paper(), 0.0, epoch + 0.99) == count
    assert target_count(Perturbation(), epoch / 200, 0) == count  # `default` reads 200 p for e


def test_k_e_never_falls_below_k_min_and_starts_at_k_0() -> None:
    config = paper(targets_0=8, targets_min=4, gamma=1)
    assert [target_count(config, 0.0, e) for e in (0, 1, 2, 50)] == [8, 4, 4, 4]
    assert target_count(paper(targets_0=8, targets_min=0, gamma=1), 0.0, 50) == 0


@pytest.mark.parametrize("curve", ["default", "paper"])
def test_without_pas_intensity_and_k_0_are_constant(curve: Any) -> None:
    config = Perturbation(progressive=False, curve=curve, sigma_0=0.6, targets_0=5)
    moments = [(0.0, 0.0), (0.5, 40.0), (1.0, 199.0)]
    assert {intensity(config, p, e) for p, e in moments} == {0.6}
    assert {target_count(config, p, e) for p, e in moments} == {5}
