"""Watching the loss: NaN and explosions stop a run and are named, jumps do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch

from spad.train.loop.loss_watch import Diverged, Watch

NETWORK = torch.nn.Linear(2, 2)


def watch(step: int = 0) -> Watch:
    def cases_of(numbers: Iterable[int]) -> list[str]:
        return [f"case{n}" for n in numbers]

    return Watch(step, 3, cases_of, "latest.pt")


def feed(one: Watch, losses: Sequence[float], norm: float = 1.0) -> dict[str, float]:
    for loss in losses:
        one.add({"loss": torch.tensor(loss), "norm": torch.tensor(norm)})
    return one.check(NETWORK)


def usual(count: int, seed: int = 0) -> list[float]:
    """Losses as lesions give them: most small, one in ten up to thirty times as high."""
    rng = np.random.default_rng(seed)
    return list(
        0.1 * rng.lognormal(sigma=0.5, size=count) * rng.choice([1, 30], count, p=[0.9, 0.1])
    )


def test_the_means_are_of_the_steps_since_the_last_check() -> None:
    one = watch()
    assert feed(one, [1.0, 2.0, 6.0]) == {"loss": 3.0, "norm": 1.0}
    assert feed(one, [8.0])["loss"] == 8.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_first_step_that_is_no_number_is_named_with_its_cases(value: float) -> None:
    one = watch(step=40)
    feed(one, [1.0] * 5)
    with pytest.raises(Diverged, match=r"at step 47, .* cases case138, case139, case140; latest"):
        feed(one, [1.0, value, value, 1.0])


def test_a_norm_or_a_weight_that_is_no_number_stops_too() -> None:
    with pytest.raises(Diverged, match="norm inf at step 1"):
        feed(watch(), [1.0], norm=float("inf"))
    broken = torch.nn.Linear(2, 2)
    broken.weight.data[0, 0] = torch.nan
    one = watch()
    one.add({"loss": torch.tensor(1.0), "norm": torch.tensor(1.0)})
    with pytest.raises(Diverged, match="weights hold NaN"):
        one.check(broken)


def test_an_explosion_is_named_where_it_began() -> None:
    one = watch()
    feed(one, usual(300))
    assert one.calm
    feed(one, [1e4] * 10)
    assert not one.calm  # no state is saved meanwhile
    with pytest.raises(Diverged, match=r"loss exploded: .* began at step 301, .* case900, "):
        feed(one, [1e4] * 10)


@pytest.mark.parametrize("seed", range(5))
def test_losses_that_jump_are_no_explosion(seed: int) -> None:
    one = watch()
    for _ in range(100):
        feed(one, usual(20, seed))
        seed += 1000


def test_nineteen_high_losses_are_no_explosion_and_do_not_become_usual() -> None:
    one = watch()
    feed(one, [0.1] * 200)
    for _ in range(40):
        feed(one, [5.0] * 19)
        feed(one, [0.1])
        assert one.calm
    with pytest.raises(Diverged):
        feed(one, [5.0] * 20)


def test_the_first_steps_are_never_called_high() -> None:
    one = watch()
    feed(one, [0.01] * 50 + [50.0] * 49)
    assert one.calm
