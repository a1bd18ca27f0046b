"""From a case folder to training samples: files, class values, checks, caches, augmentation."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.data.cache import Cache
    from spad.train.data.case_checks import check
    from spad.train.data.cases import limit_cases, read_image, read_labels, split_validation
    from spad.train.data.class_mapping import (
        IGNORED,
        class_table,
        judged_classes,
        misplaced_background,
        model_mapping,
        named_members,
        parse_mapping,
    )
    from spad.train.data.folder_writing import target_problems, whole_folder, write_folder
    from spad.train.data.inspection import Facts, Inspector, shown_classes
    from spad.train.data.phantoms import (
        VALIDATION_SEEDS,
        PhantomCase,
        endless,
        phantom_case,
        phantom_cases,
        phantom_table,
    )
    from spad.train.data.samples import PHANTOM_EPOCH, Samples, batches, epoch_length

__getattr__, __all__ = lazily(__name__)
