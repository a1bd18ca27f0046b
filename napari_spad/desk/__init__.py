"""What the tabs share: viewer, results, the run, the annotator, choosers, keys, framing."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.desk.annotators import AnnotatorField, annotator, hand_over, whose
    from napari_spad.desk.background import (
        Background,
        EngineError,
        FunctionWorker,
        GeneratorWorker,
        explain,
    )
    from napari_spad.desk.choosers import CheckpointCombo, LayerCombo
    from napari_spad.desk.desk import Desk, data_folder, other_data
    from napari_spad.desk.keys import UNDO_HERE, Escapes, Keys, typed
    from napari_spad.desk.question import Question
    from napari_spad.desk.result import Result, model_file, model_tag
    from napari_spad.desk.run import Edits, Finished, Request, segment_parts
    from napari_spad.desk.settings import setting
    from napari_spad.desk.tabs import Tabs
    from napari_spad.desk.widgets import (
        Fold,
        Number,
        Scrolled,
        form_layout,
        link,
        named,
        narrow,
        widen,
        worded,
    )

__getattr__, __all__ = lazily(__name__)
