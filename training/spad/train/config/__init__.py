"""The configuration of a run: its sections with their limits, read from TOML and checked."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.config.sections import (
        Augmentation,
        Config,
        ConfigError,
        Loss,
        Optimiser,
        Perturbation,
        load_config,
    )

__getattr__, __all__ = lazily(__name__)
