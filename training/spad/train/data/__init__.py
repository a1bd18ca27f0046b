"""From a case folder to training samples: files, class values, checks, caches, augmentation."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.data import image_files
    from spad.train.data.cache import Cache
    from spad.train.data.cases import check, limit_cases, read_image, read_labels, split_validation
    from spad.train.data.class_mapping import (
        IGNORED,
        class_table,
        judged_classes,
        model_mapping,
        parse_mapping,
    )
    from spad.train.data.image_files import SUFFIXES, read_json, write_bytes, write_json
    from spad.train.data.inspection import Facts, Inspector, shown_classes
    from spad.train.data.phantoms import (
        VALIDATION_SEEDS,
        PhantomCase,
        endless,
        phantom_case,
        phantom_cases,
        phantom_table,
    )
    from spad.train.data.png_cases import faults, write_folder
    from spad.train.data.samples import Batch, Samples, batches

__getattr__, __all__ = lazily(__name__)
