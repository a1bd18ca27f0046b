"""NumPy in, a Segmentation out: a model run on images, by any host, within any memory.

An image becomes slices, slices are letterboxed and run in batches of chains, results are stored.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.inference import hosts
    from spad.inference.hosts import (
        Engine,
        ServerError,
        explain,
        forget_models,
        is_out_of_memory,
        open_model,
    )
    from spad.inference.letterbox import frame_of, normalise
    from spad.inference.request import refuse_sampling
    from spad.inference.segmentation import (
        AnySegmenter,
        Segmentation,
        Step,
        drained,
        room_for,
    )
    from spad.inference.segmenter import Segmenter
    from spad.inference.stack import BScans, Stack, checked_bscans, checked_spacing, order_of

__getattr__, __all__ = lazily(__name__)
