"""A scale and where it comes from, in words and through JSON."""

from __future__ import annotations

import pytest

from spad.measuring import Length, Scale

DERIVED = "from the scan angle of a medium eye"


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (Scale.of((0.24, 0.0039, 0.0112)), "11.2 × 3.9 µm, B-scans 240 µm, in the file"),
        (
            Scale.of((0.24, 0.0039, 0.0112), "derived", DERIVED),
            f"11.2 × 3.9 µm, B-scans 240 µm, derived {DERIVED}",
        ),
        (
            Scale.of((None, 0.0039, 0.0112)).typed(bscan=0.12),
            "11.2 × 3.9 µm (in the file), B-scans 120 µm (typed)",
        ),
        (
            Scale.of((0.0039, 0.0112)),
            "11.2 × 3.9 µm (in the file), distance of the B-scans unknown",
        ),
        (
            Scale(row=Length(0.0039, "in the file")),
            "columns unknown × 3.9 µm (in the file), distance of the B-scans unknown",
        ),
        (
            Scale(bscan=Length(0.24, "typed")),
            "columns and rows unknown, B-scans 240 µm (typed)",
        ),
        (Scale(), "scale unknown: type it, to measure in mm"),
    ],
)
def test_words_and_json(scale: Scale, words: str) -> None:
    assert scale.words == words
    assert Scale.from_json(scale.as_json()) == scale


def test_what_is_no_length_is_unknown_or_refused() -> None:
    assert Scale.of((0.0, None, float("inf"))) == Scale()
    assert Scale.from_json({"row": {"mm": -1, "origin": "typed"}, "column": 3}) == Scale()
    assert Scale.from_json(None) == Scale()
    for odd in ("0.1", [0.1], {}, 10**400, 1e999, 1e300, float("nan")):
        assert Scale.of((0.1, odd, 0.2)) == Scale.of((0.1, None, 0.2))
        assert Scale.from_json({"row": {"mm": odd, "origin": "typed"}}) == Scale()
    assert Scale.of((1.0, 1.0)).typed(row=None).row == Length()
    with pytest.raises(ValueError, match="above 0, in mm"):
        Scale().typed(row=-3)
    with pytest.raises(ValueError, match="it is one of in the file"):
        Length(1.0, "guessed")
    with pytest.raises(ValueError, match="give both"):
        Length(None, "typed")
