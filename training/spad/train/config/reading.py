"""Reading a configuration: TOML, ``key=value`` words, and what earlier versions have stored.

Values come from the defaults of the sections, then the preset, then the file, then the words. A run
that starts from a checkpoint has that one's network, input, noise schedule and sampling, unless the
file or the words speak of them: weights are worth little on images of another scale.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spad.checkpoint import PLAIN, from_json, installed, plain, read_card
from spad.train.config.config import Config, ConfigError
from spad.train.config.presets import KINDS, PRESETS
from spad.train.config.removed import without_removed

__all__ = ["load_config", "stored_config"]


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration.

    Parameters
    ----------
    path : path-like
        A TOML file.
    overrides : iterable of str
        Words like ``optimiser.steps=500``; values as TOML writes them, or bare text.

    Returns
    -------
    Config
        Paths in it are absolute.

    Raises
    ------
    ConfigError
        Not TOML, an unknown key (with the nearest known one), a removed one, a value out of its
        limits, a folder in ``$SPAD_DATA`` where that is not set.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of TOML, UTF-8, huge numbers, deep nesting
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for word in overrides:
        _override(given, word)
    given = without_removed(given, path.name)
    preset = given.get("preset", "default")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is unknown; choose among {', '.join(PRESETS)}")
    network = given.get("network")
    kind = network.get("kind") if isinstance(network, dict) else None
    below: dict[str, Any] = dict(PRESETS[preset])
    before = _of_init(given, below, path.parent)
    if given.get("method") == "unet":
        below.pop("loss", None)  # the presets say how a diffusion is trained
        if kind not in PLAIN:
            kind = before.get("network", {}).get("kind")
            kind = kind if kind in PLAIN else "unet"
            given = _merge(given, {"network": {"kind": kind}})
    values = _merge(_merge(_merge(below, KINDS.get(str(kind), {})), before), given)
    if given.get("init") and "perturbation" not in given:
        off = {"semantic": False, "boundary": False}  # fine-tuning starts at progress 1
        values = _merge(values, {"perturbation": off})
    try:
        config: Config = from_json(Config, values, path.name)
        data = plain(config.data)
        data["folders"] = [str(_data_folder(f, path.parent)) for f in config.data.folders]
        values = {**values, "data": data}
        if config.init and config.init not in installed():
            values["init"] = str((path.parent / config.init).resolve())
        if config.sam:
            values["sam"] = str((path.parent / config.sam).resolve())
        config = from_json(Config, values, path.name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return config


def _data_folder(folder: str, beside: Path) -> Path:
    """Find a case folder: beside the configuration, or in the folder of the data sets."""
    first, _, rest = folder.partition("/")
    if first != "$SPAD_DATA":
        return (beside / folder).resolve()
    if home := os.environ.get("SPAD_DATA"):
        return (Path(home) / rest).resolve()
    raise ValueError(
        f"data.folders: {folder!r} needs the environment variable SPAD_DATA, which is not "
        "set; set it to the folder that holds your data sets, or name the folder in the command: "
        f"data.folders='[\"/path/to/{rest or 'cases'}\"]'"
    )


def _of_init(given: Mapping[str, Any], below: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Sections of the checkpoint that a run starts from, those of which nobody speaks.

    The network as the run's method needs it; the sampling, which belongs to a network and a noise
    schedule, where those are the checkpoint's and no preset (`below`) has its own.
    """
    init = given.get("init")
    if not init or not isinstance(init, str):
        return {}
    try:
        card = plain(read_card(installed().get(init, folder / init)))
    except (OSError, ValueError):
        return {}  # which is said when the run opens it
    card["input"].pop("statistics")
    found = {name: card[name] for name in ("network", "input", "schedule") if name not in given}
    if {"network", "schedule"} <= found.keys() and "sampling" not in (*given, *below):
        found["sampling"] = card["sampling"]
    trained = {"unet": "unet", "spad": "cached"}.get(given.get("method", "spad"))
    if trained and "network" in found and found["network"]["kind"] in ("unet", "cached"):
        found["network"]["kind"] = trained
    return found


def stored_config(stored: Any, where: str, remedy: str = "") -> Config:
    """Take a configuration as a run has stored it (`Config.as_json`), of this or an older version.

    Parameters as of :func:`spad.train.config.removed.without_removed`.

    Raises
    ------
    ConfigError
        It uses an option that was removed.
    ValueError
        As of :func:`spad.checkpoint.schema.from_json`.
    """
    config: Config = from_json(Config, without_removed(stored, where, remedy), where)
    return config


def _override(values: dict[str, Any], word: str) -> None:
    """Put one ``a.b=value`` into the nested values."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise ConfigError(f"{word!r} is not of the form key=value, like optimiser.steps=500")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except (ValueError, RecursionError):
        value = text
    *sections, last = name.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{word!r}: {section!r} is no section")
    values[last] = value


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, those of ``above`` winning."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return out
