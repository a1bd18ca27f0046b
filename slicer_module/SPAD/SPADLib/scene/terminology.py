"""Terminology codes of structures, where they exist: DICOM SEG and Slicer's own modules read them.

`Resources/SPAD.term.json` lists them: SNOMED CT where a code says what the structure is (DICOM
PS3.16, CID 7152 and 7155), our private scheme 99SPAD for the fluids and layers of OCT, which have
none that is as narrow as the model's class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["CONTEXT_FILE", "entry", "register"]

CONTEXT_FILE = Path(__file__).parents[2] / "Resources" / "SPAD.term.json"
_ANATOMY = "Anatomic codes - DICOM master list"
_PARTS = ("category", "type", "modifier")
_CODE = ("scheme", "value", "meaning")


def entry(name: str, terminology: Mapping[str, Any] | None = None) -> str:
    """The tag text by which Slicer knows what a segment is.

    Parameters
    ----------
    name : str
        Of the structure, such as "SRF" or "right lung".
    terminology : mapping, optional
        Codes that came with the model, which go first: ``{"category": {"scheme": "SCT", "value":
        "123037004", "meaning": "Anatomical Structure"}, "type": {...}, "modifier": {...}}``; a
        modifier is optional. Of another form, it is not used.

    Returns
    -------
    str
        Empty where no code is known.
    """
    found = _given(terminology) or _listed().get(" ".join(name.casefold().split()))
    if not found:
        return ""
    return "~".join((_context(), *found, _ANATOMY, "^^", "^^"))


def register() -> None:
    """Tell Slicer's terminology module of the codes, once, so that its selector lists them."""
    import slicer

    module = getattr(slicer.modules, "terminologies", None)
    if module is not None and not module.logic().IsTerminologyContextLoaded(_context()):
        module.logic().LoadTerminologyFromFile(str(CONTEXT_FILE))


def _given(terminology: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    codes = []
    for part in _PARTS:
        code = (terminology or {}).get(part)
        if code is None and part == "modifier":
            codes.append("^^")
            continue
        given = [code.get(key) for key in _CODE] if isinstance(code, Mapping) else []
        texts = [t for t in given if isinstance(t, str) and t and not set("~^|") & set(t)]
        if len(texts) != len(_CODE):
            return None
        codes.append("^".join(texts))
    return tuple(codes)


@lru_cache(maxsize=1)
def _context() -> str:
    return str(json.loads(CONTEXT_FILE.read_text("utf-8"))["SegmentationCategoryTypeContextName"])


@lru_cache(maxsize=1)
def _listed() -> Mapping[str, tuple[str, ...]]:
    """Codes (category, type, modifier) by the structure's name, in small letters."""
    out: dict[str, tuple[str, ...]] = {}
    listed = json.loads(CONTEXT_FILE.read_text("utf-8"))["SegmentationCodes"]["Category"]
    for category in listed:
        for kind in category["Type"]:
            name = kind["CodeMeaning"].casefold()
            out[name] = _code(category), _code(kind), "^^"
            for side in kind.get("Modifier", ()):
                both = _code(category), _code(kind), _code(side)
                out[f"{side['CodeMeaning'].casefold()} {name}"] = both
    return out


def _code(entry: Mapping[str, str]) -> str:
    return f"{entry['CodingSchemeDesignator']}^{entry['CodeValue']}^{entry['CodeMeaning']}"
