"""The choice of a sampling: like compared with like, the cheapest that loses nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spad.cases import Case
from spad.train.tune.choice import (
    Limits,
    Standing,
    choose,
    fit_temperature,
    halves,
    learn_times,
    some,
    standing,
    worth,
)
from spad.train.tune.measurements import Scan, Summary
from spad.train.tune.settings import Setting

LIMITS = Limits()
NONE = dict.fromkeys(Summary.__dataclass_fields__, math.nan)


def setting(*times: int) -> Setting:
    return Setting(times, samples=8, temperature=1.0)


ONE, TWO, THREE, WHOLE = setting(9), setting(9, 4), setting(9, 6, 3), setting(*range(9, 0, -1))
EQUAL = dict.fromkeys((ONE, TWO, THREE, WHOLE), 0.5)  # GED²


def scan(name: str, patient: str = "") -> Scan:
    case = Case(name, name, name, patient or name, None, None, Path("set"))
    return Scan((case,), name)


class Numbers:
    """Dice and diversity of settings by image."""

    def __init__(self, of: dict[Setting, dict[str, tuple[float, float]]]) -> None:
        self.of = of

    def known(self, setting: Setting, scan: Scan) -> bool:
        return scan.sha256 in self.of.get(setting, {})

    def summary(self, setting: Setting, scans: list[Scan]) -> Summary:
        dice, diversity = np.mean([self.of[setting][s.sha256] for s in scans], axis=0)
        return Summary(**{**NONE, "images": len(scans), "dice": dice, "diversity": diversity})


def test_at_pure_noise_the_chains_share_the_denoiser_s_pass_or_the_encoder_s_answer() -> None:
    assert [s.passes for s in (ONE, TWO, THREE)] == [0, 8, 16]
    assert [replace(s, first="denoiser").passes for s in (ONE, TWO, THREE)] == [1, 9, 17]


def test_a_setting_is_compared_on_the_images_that_both_have() -> None:
    a, b = scan("a"), scan("b")
    # b is an easy image that the whole chain did not see: it must not count for the short one.
    book = Numbers(
        {TWO: {"a": (0.70, 0.2), "b": (0.99, 0.0)}, WHOLE: {"a": (0.72, 0.3)}, ONE: {"b": (1, 0)}}
    )
    at = standing(book, TWO, [ONE, TWO, WHOLE], WHOLE, [a, b])
    assert at.lost == pytest.approx(0.02)
    assert at.spread == pytest.approx(2 / 3)
    assert standing(book, WHOLE, [TWO, WHOLE], WHOLE, [a, b]) == Standing(0.0, 1.0)
    assert math.isnan(standing(book, ONE, [ONE], WHOLE, [a, b]).spread)
    assert not standing(book, ONE, [ONE], WHOLE, [a, b]).fits(LIMITS)


def test_a_chain_without_diversity_asks_for_none() -> None:
    book = Numbers({ONE: {"a": (0.7, 0.0)}, WHOLE: {"a": (0.7, 0.0)}})
    assert standing(book, ONE, [WHOLE], WHOLE, [scan("a")]).fits(LIMITS)


def test_the_cheapest_within_the_limits_is_chosen_and_the_limits_hold() -> None:
    at = {
        ONE: Standing(0.0, 0.0),  # no diversity
        TWO: Standing(0.0031, 0.9),  # too much Dice lost
        THREE: Standing(0.003, 0.5),  # just within both
        WHOLE: Standing(0.001, 1.0),
    }
    assert choose(at, EQUAL, LIMITS) == (THREE, True)
    other = setting(9, 5, 2)  # of equal price, and its samples nearer to the annotations
    assert choose({**at, other: Standing(0.002, 0.9)}, {**EQUAL, other: 0.4}, LIMITS)[0] == other
    assert choose({**at, other: Standing(0.0, 1.0)}, {**EQUAL, other: 0.6}, LIMITS)[0] == THREE


def test_speckle_is_no_diversity() -> None:
    speckled = Standing(0.0, 2.5)
    assert not speckled.fits(LIMITS)
    assert Standing(0.0, 1.9).fits(LIMITS)
    assert choose({TWO: speckled, THREE: Standing(0.0, 1.0)}, EQUAL, LIMITS) == (THREE, True)


def test_where_nothing_is_within_both_limits_chains_that_differ_come_first() -> None:
    at = {
        ONE: Standing(0.0, 0.0),  # the best Dice, and no ensemble
        TWO: Standing(0.010, 0.6),
        THREE: Standing(0.006, 0.9),
        WHOLE: Standing(0.004, 1.0),
    }
    assert choose(at, EQUAL, LIMITS) == (THREE, False)
    at = {ONE: Standing(0.0, 0.0), TWO: Standing(0.1, 0.3)}
    assert choose(at, EQUAL, LIMITS) == (ONE, False)


def test_both_limits_come_first_then_samples_like_the_annotations() -> None:
    values = [
        worth(Standing(0.05, 0.1), LIMITS, 0.1),
        worth(Standing(0.05, 1.0), LIMITS, 0.9),
        worth(Standing(0.001, 0.1), LIMITS, 0.1),
        worth(Standing(0.001, 0.4), LIMITS, 0.9),
        worth(Standing(0.001, 0.6), LIMITS, 0.9),
        worth(Standing(0.002, 1.9), LIMITS, 0.8),
    ]
    assert values == sorted(values)


def test_the_search_finds_the_times_worth_most_and_leaves_the_first() -> None:
    asked = []

    def value(times: tuple[int, ...]) -> tuple[int, float, float]:
        asked.append(times)
        return 1, -abs(times[1] - 70) - abs(times[2] - 20), 0.0

    found = learn_times(value, [(100, 67, 33), (100, 10, 1)], range(10, 100, 10))
    assert found == (100, 70, 20)
    assert {times[0] for times in asked} == {100}
    assert all(len(set(times)) == 3 and list(times) == sorted(times)[::-1] for times in asked)


def test_the_search_keeps_a_start_that_is_best() -> None:
    assert learn_times(lambda t: (int(t == (9, 4)), 0.0, 0.0), [(9, 4), (9, 1)], [1, 2, 3]) == (
        9,
        4,
    )


def test_the_temperature_is_the_one_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 4))

    def log_p(temperature: float) -> np.ndarray:
        z = logits / temperature
        return z - np.log(np.exp(z).sum(1, keepdims=True))

    labels = (np.exp(log_p(1.7)).cumsum(1) < rng.uniform(size=(20_000, 1))).sum(1)
    found = fit_temperature(lambda t: -log_p(t)[np.arange(20_000), labels].mean())
    assert found == pytest.approx(1.7, rel=0.06)


def test_no_patient_is_in_both_halves_and_one_patient_is_in_each() -> None:
    scans = [scan(f"{p}{i}", p) for p in "abc" for i in range(2)]
    one, two = halves(scans)
    assert {s.patient for s in one} == {"a", "c"}
    assert {s.patient for s in two} == {"b"}
    assert len(one) + len(two) == 6
    assert halves(scans[:2]) == (scans[:2], scans[:2])


def test_some_images_are_spread_over_all() -> None:
    scans = [scan(str(i)) for i in range(10)]
    assert [s.sha256 for s in some(scans, 4)] == ["0", "2", "5", "7"]
    assert some(scans, 20) == scans
