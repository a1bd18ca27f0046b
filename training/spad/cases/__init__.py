"""Case folders and what goes into them: export, corrected B-scans, pseudonyms, sidecars.

Also files that are replaced as a whole. Pixels come and go as arrays: no image file is opened.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.cases.atomic_files import (
        file_stem,
        half_written,
        json_bytes,
        make_writable,
        parsed_json,
        read_json,
        refuse_long_names,
        replaced,
        replaced_together,
        reserved_name,
        set_aside,
        write_bytes,
        write_json,
    )
    from spad.cases.bscan_layout import AXES, Layout
    from spad.cases.case_folder import (
        Case,
        CaseError,
        CaseFolder,
        case_spacing,
        is_length,
        label_names,
        open_folder,
    )
    from spad.cases.corrected_bscan import as_grey, bscan_case, image_pseudonym, known_bscans
    from spad.cases.file_errors import file_error, foreign, is_dangling, meant
    from spad.cases.locks import HELD, alone, take_lock
    from spad.cases.new_cases import NewCase, Written, describe, faults, write_cases
    from spad.cases.pixel_values import luminance, without_empty
    from spad.cases.pseudonyms import pseudonym
    from spad.cases.sidecars import (
        LARGEST_SEED,
        edited_pixels,
        pixel_digest,
        runs_of,
        sidecar,
        stack_sha256,
        without_paths,
    )
    from spad.cases.spelling import composed, same_patient

__getattr__, __all__ = lazily(__name__)
