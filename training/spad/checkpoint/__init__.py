"""What a model is on the disk: its card, its classes, its weights in a safetensors file.

``models/`` holds the shipped ones. A card is read without torch, and trusted in nothing.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.checkpoint.by_name import (
        cache_folder,
        installed,
        model_folders,
        model_path,
        shipped,
    )
    from spad.checkpoint.card import (
        NOTICE,
        Card,
        InputConfig,
        SamplingConfig,
        ScheduleConfig,
        joined_records,
    )
    from spad.checkpoint.elsewhere import AT_SERVER, AtServer, at_server, refuse_at_server
    from spad.checkpoint.labels import (
        IGNORE,
        MAX_CLASSES,
        LabelClass,
        label_classes,
        left_and_right,
        meant_by,
        named_like,
        own_class,
        plain_text,
        refuse_masked,
        same_name,
    )
    from spad.checkpoint.network_config import PLAIN, NetworkConfig
    from spad.checkpoint.safetensors_file import (
        load,
        load_origin,
        read_card,
        save,
        save_with_card,
        sha256,
    )
    from spad.checkpoint.safetensors_header import card_within
    from spad.checkpoint.schema import Checked, Within, from_json, plain, short

__getattr__, __all__ = lazily(__name__)
