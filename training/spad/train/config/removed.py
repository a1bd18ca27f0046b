"""Options that were tried, brought nothing and were taken out, so that who used one is told.

docs/results.md keeps what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from spad.train.config.config import ConfigError

__all__ = ["without_removed"]


class _Removed(NamedTuple):
    """``neutral``: whether, in its section, a value asks for nothing that is gone."""

    neutral: Callable[[Any, Mapping[str, Any]], bool]
    finding: str = ""
    told_in: str = ""
    remedy: str = ""


def _off(value: Any, _: Mapping[str, Any]) -> bool:
    return isinstance(value, (bool, int, float)) and not value


def _any(_: Any, __: Mapping[str, Any]) -> bool:
    """Only says how much of another option, which is asked for or not."""
    return True


REMOVED: dict[str, dict[str, _Removed]] = {
    "perturbation": {
        "band": _Removed(
            lambda value, _: value == "fixed",
            "a band that narrows where a structure is thin did not raise Dice, not even theirs",
            "Past the paper",
            "remove the key, or lower perturbation.radius",
        ),
        "adapt": _Removed(
            _off,
            "sparing small structures did not raise Dice",
            "Past the paper",
            "remove the key, or lower perturbation.sigma_0",
        ),
        "adapt_area": _Removed(_any),
    },
    "loss": {
        "at_visited": _Removed(
            # Recycling does so itself, for the share that was measured.
            lambda value, loss: value == 0.75 if loss.get("recycled") else _off(value, loss),
            "by itself, weight on the visited times cost Dice in four of four pairs of runs",
            "Training for few steps",
            "remove the key; loss.recycled above 0 lets 0.75 of the samples take the chain's jumps",
        ),
        "distilled": _Removed(
            _off,
            "distilling a longer chain was no better than not to",
            "Training for few steps",
            "remove the key; loss.recycled is what helped",
        ),
        "teacher_steps": _Removed(_any),
    },
}


def without_removed(values: Any, where: str, remedy: str = "") -> Any:
    """Leave out removed options that are off; of the others say so.

    Parameters
    ----------
    values : mapping
        A configuration's, as parsed from TOML or stored; what is no mapping is given back.
    where : str
        The file, for the message.
    remedy : str, optional
        What to do, where the key cannot be removed.

    Raises
    ------
    ConfigError
        An option that was removed is used; the message says why it was, and the remedy.
    """
    if not isinstance(values, Mapping):
        return values
    kept = dict(values)
    for section, gone in REMOVED.items():
        given = values.get(section)
        if not isinstance(given, Mapping):
            continue
        for key in (key for key in given if key in gone):
            one = gone[key]
            if not one.neutral(given[key], given):
                raise ConfigError(
                    f"{where}: {section}.{key} = {given[key]!r} asks for what was removed from "
                    f'SPAD, since {one.finding} (docs/results.md, "{one.told_in}"); '
                    f"{remedy or one.remedy}"
                )
        kept[section] = {key: value for key, value in given.items() if key not in gone}
    return kept
