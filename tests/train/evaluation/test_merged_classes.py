"""Classes taken together for a score."""

from __future__ import annotations

import pytest

from spad.train.evaluation.merged_classes import merge_classes

CLASSES = ["background", "SRF", "IRF", "PED", "SHRM"]


def test_without_a_word_nothing_changes() -> None:
    names, table = merge_classes(CLASSES, ())
    assert names == CLASSES
    assert table[:5].tolist() == [0, 1, 2, 3, 4]


def test_classes_are_taken_together_at_the_first_one_s_place() -> None:
    names, table = merge_classes(CLASSES, ["fluid=SRF,PED", "rest=SHRM"])
    assert names == ["background", "fluid", "IRF", "rest"]
    assert table[:5].tolist() == [0, 1, 2, 1, 3]


@pytest.mark.parametrize(
    "word",
    ["fluid", "fluid=", "fluid=SRF,cyst", "IRF=SRF,IRF", "a=SRF b=SRF", "=SRF", "a=background"],
)
def test_what_does_not_fit_is_refused_with_the_classes_there_are(word: str) -> None:
    with pytest.raises(ValueError, match="SRF, IRF, PED, SHRM"):
        merge_classes(CLASSES, [word])
