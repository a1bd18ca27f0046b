"""Files in: Heidelberg, DICOM, NIfTI, folders of B-scans; and the phantom sample.

napari calls `reader`, which loads the file of a format only when such a file is opened.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.read.folder import folder_stack
    from napari_spad.read.phantom_sample import phantom_stack

__getattr__, __all__ = lazily(__name__)
