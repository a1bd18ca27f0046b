"""The arms of an ablation and the values of a sweep: a name, and the settings that it replaces.

`ARMS` holds Tables 1 and 3 of SPAD (arXiv 2603.07889), and what we add: other networks, and what
works against leakage (docs/method.md, section 5). An arm is a row of the table and a line here;
`GROUPS` names several at once, `ADDED` those that no table of the paper has. A sweep is Fig. 6 (a),
(b) with `perturbation.alpha` and `perturbation.anchors`.
"""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence

from spad.train.config import KINDS, ConfigError

__all__ = ["ADDED", "ARMS", "GROUPS", "Arms", "choose_arms", "slug", "sweep_arms"]

Arms = dict[str, tuple[str, ...]]
"""Name of each arm, in the table's order: words for `spad.train.config.load_config`."""


def _switches(scd: bool, bcd: bool, pas: bool, *more: str) -> tuple[str, ...]:
    names = {"semantic": scd, "boundary": bcd, "progressive": pas}
    return (*(f"perturbation.{k}={str(v).lower()}" for k, v in names.items()), *more)


def _against_leakage(*, ends: bool, clean: float, decoys: bool) -> tuple[str, ...]:
    return _switches(
        True, True, True,
        f'perturbation.curve={"default" if ends else "paper"}',
        f"perturbation.clean={clean}",
        f"perturbation.decoys={str(decoys).lower()}",
    )  # fmt: skip


def _compared(kind: str) -> tuple[str, ...]:
    """The paper's configuration of a network, whatever the file says of another's."""
    shape = KINDS.get(kind, {}).get("network", {})
    return ("method=unet", f"network.kind={kind}", *(f"network.{k}={v}" for k, v in shape.items()))


_NARROW: Arms = {
    # Each with about a quarter of its width, so that a CPU takes minutes for a run.
    "unet": ("network.widths=[16,32,48,80,96]",),
    "Swin-Unet": ("network.widths=[24,48,96,192]",),
    "TransUnet": ("network.widths=[16,64,128,256,192]", "network.blocks=4"),
    "MSA": ("network.widths=[192,64]", "network.blocks=4"),
    "D-LKA": ("network.widths=[24,48,96,192]", "network.blocks=1"),
    "DSC-AMP": ("network.widths=[16,32,48,80,96]",),
    "CCDM": ("network.widths=[16,16,32,32,64,64]", "network.time_width=64"),
    "SPAD+CCDM": ("network.widths=[16,16,32,32,64,64]", "network.time_width=64"),
    "cached": ("network.widths=[16,32,48,80,96]", "network.denoiser_widths=[24,48,64]"),
    "SPAD-cached": ("network.widths=[16,32,48,80,96]", "network.denoiser_widths=[24,48,64]"),
    "DynUNet": ("network.widths=[16,32,64,128,128]",),
}


ARMS: Arms = {
    # SPAD, Table 3. Without PaS the intensity stays sigma_0 and the number of targets K_0.
    "baseline": _switches(False, False, False),
    "ScD+PaS": _switches(True, False, True),
    "BcD+PaS": _switches(False, True, True),
    "ScD+BcD": _switches(True, True, False),
    "SPAD": _switches(True, True, True),
    # The bar: the condition encoder alone, same data, augmentation and steps.
    "unet": ("method=unet",),
    # nnU-Net's 2-D network, and CCDM, whose network reads image and noisy label map together.
    "DynUNet": ("method=unet", "network.kind=dynunet"),
    "CCDM": _switches(False, False, False, "network.kind=concat"),
    "SPAD+CCDM": _switches(True, True, True, "network.kind=concat"),
    # The paper's curve and nothing against leakage, then each part by itself, then all.
    "paper": _against_leakage(ends=False, clean=0.0, decoys=False),
    "+ends-at-0": _against_leakage(ends=True, clean=0.0, decoys=False),
    "+clean": _against_leakage(ends=False, clean=0.25, decoys=False),
    "+decoys": _against_leakage(ends=False, clean=0.0, decoys=True),
    "+all": _against_leakage(ends=True, clean=0.25, decoys=True),
    # SPAD, Table 1: the systems that it is compared with; then it and its baseline on our network.
    "Swin-Unet": _compared("swin-unet"),
    "TransUnet": _compared("trans-unet"),
    "MSA": _compared("msa"),
    "D-LKA": _compared("d-lka"),
    "DSC-AMP": _compared("dsc-amp"),
    "cached": _switches(False, False, False, "network.kind=cached"),
    "SPAD-cached": _switches(True, True, True, "network.kind=cached"),
}
ARMS |= {f"{name}-narrow": (*ARMS[name], *words) for name, words in _NARROW.items()}
GROUPS: dict[str, tuple[str, ...]] = {
    "table3": ("baseline", "ScD+PaS", "BcD+PaS", "ScD+BcD", "SPAD"),
    "table1": tuple(_NARROW),
    "table1-narrow": tuple(f"{name}-narrow" for name in _NARROW),
    "leakage": ("baseline", "paper", "+ends-at-0", "+clean", "+decoys", "+all"),
}
_OURS = ("cached", "SPAD-cached", "DynUNet")
ADDED = {*_OURS, *(f"{n}-narrow" for n in _OURS), "+ends-at-0", "+clean", "+decoys", "+all"}
"""Arms that stand in no table of the paper, below a line of ours."""


def choose_arms(names: Sequence[str], own: Sequence[str] = ()) -> Arms:
    """Arms by their names, or those of groups, and a person's own.

    Parameters
    ----------
    names : sequence of str
        Of `ARMS` and `GROUPS`; an arm named twice counts once.
    own : sequence of str
        Like ``"strong: loss.dice=0.5 loss.cross_entropy=0.5"``.

    Raises
    ------
    ConfigError
        An unknown name (with the nearest known one), a name given to two arms, or no arm.
    """
    chosen: Arms = {}
    for name in names:
        if name not in ARMS and name not in GROUPS:
            known = {one.casefold(): one for one in (*ARMS, *GROUPS)}
            near = difflib.get_close_matches(name.casefold(), known, 1, cutoff=0)[0]
            raise ConfigError(
                f"there is no arm {name!r}; did you mean {known[near]}? There are "
                f'{", ".join((*ARMS, *GROUPS))}, and your own with --arm "NAME: key=value ..."'
            )
        for one in GROUPS.get(name, (name,)):
            chosen[one] = ARMS[one]
    for text in own:
        name, colon, words = (part.strip() for part in text.partition(":"))
        try:
            overrides = tuple(shlex.split(words))
        except ValueError as error:
            raise ConfigError(f"{text!r}: {error}; close it") from None
        if not (name and colon and overrides) or "=" in name:
            raise ConfigError(f'{text!r} is no arm; write "NAME: key=value key=value"')
        if name in ARMS or name in chosen:
            raise ConfigError(f"there is an arm {name!r} already; give yours another name")
        chosen[name] = overrides
    if not chosen:
        raise ConfigError(f"no arm is chosen; name some of {', '.join((*ARMS, *GROUPS))}")
    _check_slugs(chosen)
    return chosen


def sweep_arms(words: Iterable[str], *, grid: bool = False) -> tuple[tuple[str, ...], Arms]:
    """Settings of every trial, and the arms of a sweep.

    Parameters
    ----------
    words : iterable of str
        ``key=value`` for every trial, ``key=v1,v2,...`` to be swept. Values are TOML: a comma in
        brackets or quotes separates nothing.
    grid : bool, optional
        All combinations, instead of each key by itself around the configuration.

    Raises
    ------
    ConfigError
        Not of this form, an empty or repeated value, a key given twice, or nothing to sweep.
    """
    fixed: list[str] = []
    axes: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = (part.strip() for part in word.partition("="))
        values = _split(text) or [""]  # ``init=`` empties a setting
        if not (key and equals and (len(values) == 1 or all(values))):
            raise ConfigError(f"{word!r} is not of the form key=value or key=v1,v2,...")
        if key in axes or any(key == one.partition("=")[0] for one in fixed):
            raise ConfigError(f"{key} is given twice; give all its values in one word")
        if len(values) == 1:
            fixed.append(word)
        else:
            axes[key] = [f"{key}={value}" for value in values]
    if not axes:
        raise ConfigError(
            "there is nothing to sweep; give a key several values, like "
            "perturbation.alpha=0.05,0.1,0.2"
        )
    if grid:
        arms: Arms = {" ".join(point): point for point in itertools.product(*axes.values())}
        repeated = len(arms) < len(list(itertools.product(*axes.values())))
    else:
        arms = {one: (one,) for values in axes.values() for one in values}
        repeated = len(arms) < sum(map(len, axes.values()))
    if repeated:
        raise ConfigError("a value is given twice; give each once")
    _check_slugs(arms)
    return tuple(fixed), arms


def _split(text: str) -> list[str]:
    """Split at commas that leave a TOML value, or bare text, on either side."""
    parts, rest = [], ""
    for piece in text.split(","):
        rest = f"{rest},{piece}" if rest else piece
        opened = rest.strip().startswith(("[", "{", '"', "'"))
        try:
            tomllib.loads(f"x = {rest}")
        except tomllib.TOMLDecodeError:
            if opened:
                continue  # the comma stood inside
        parts.append(rest.strip())
        rest = ""
    return [*parts, rest.strip()] if rest else parts


def slug(name: str) -> str:
    """Name of an arm's folder: letters, digits and ``_ . + = -``."""
    return re.sub(r"[^\w.+=-]+", "-", name).strip("-.")


def _check_slugs(arms: Mapping[str, object]) -> None:
    folders: dict[str, str] = {}
    for name in arms:
        folder = slug(name).casefold()  # some file systems know no case
        if not folder:
            raise ConfigError(f"the name {name!r} has no letter or digit; give another")
        if folder in folders:
            raise ConfigError(
                f"the arms {folders[folder]!r} and {name!r} would share a folder; rename one"
            )
        folders[folder] = name
