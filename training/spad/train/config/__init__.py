"""The configuration of a run: its sections with their limits, read from TOML and checked."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.config.config import Config, ConfigError
    from spad.train.config.presets import KINDS
    from spad.train.config.reading import load_config, stored_config
    from spad.train.config.removed import without_removed
    from spad.train.config.sections import Augmentation, Data, Loss, Optimiser, Perturbation

__getattr__, __all__ = lazily(__name__)
