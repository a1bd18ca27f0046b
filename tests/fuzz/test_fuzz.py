"""A few hundred changed files of each kind; `make fuzz N=10000` tries as many as one likes.

A case ends in a result, or in a ValueError or OSError that names a file and says what to do; within
20 s and 2 GB.
"""

from __future__ import annotations

import importlib.util
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from kinds import KINDS
from mutators import mutated
from runner import run

from spad.checkpoint import InputConfig
from spad.inference import normalise

NEEDS = {
    "images": ("PIL", "tifffile"),
    "case_folders": ("PIL", "tifffile", "napari"),
    "readers": ("napari", "nibabel", "pydicom", "defusedxml", "PIL"),
    "states": ("napari",),
    "imports": ("PIL",),
    "writers": ("napari", "nibabel", "nrrd"),
    "slicer": ("slicer",),
    "lines": ("napari", "eyepy"),
    "sidecars": ("PIL",),
    "exports": ("PIL", "napari", "nibabel", "nrrd"),
    "kept": ("napari",),
    "e2e": ("napari", "eyepy"),
    "public_sets": ("PIL", "SimpleITK"),
}
CASES = {"checkpoints": 30, "case_folders": 50, "imports": 50, "writers": 50, "autosaves": 50}
CASES |= {"e2e": 60, "public_sets": 12}


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_give_a_result_or_a_sentence(kind: str) -> None:
    missing = [p for p in NEEDS.get(kind, ()) if importlib.util.find_spec(p) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: pip install -e '.[dev]'")
    found = run(kind, CASES.get(kind, 120), seconds=60)  # of a machine that others use, too
    assert not found.faults, "\n".join(f"case {n}: {text}" for n, text in found.faults[:3])
    # Some are read, and some refused: else the changes would be too small, or too large.
    assert found.results
    assert found.results < found.cases or kind in ("states", "writers")


@given(
    arrays_of.arrays(
        st.sampled_from((np.float64, np.float32, np.int64, np.uint32, np.int16)), (3, 5)
    ).filter(lambda a: np.isfinite(a).all())
)
@settings(max_examples=50, deadline=None)
def test_finite_numbers_of_every_size_are_normalised(image: np.ndarray) -> None:
    out = normalise(image, InputConfig(low_percentile=0, high_percentile=100))
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1


def test_a_seed_makes_the_same_changes() -> None:
    data = bytes(range(256)) * 4
    first, again = (mutated(data, Random("x"), [data]) for _ in range(2))
    assert first == again


def test_hangs_crashes_and_leaks_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    def bad(folder: object) -> object:
        def case(rng: Random) -> bool:
            case.count += 1
            if case.count == 2:
                raise KeyError("leak")
            if case.count == 4:
                os.kill(os.getpid(), 11)
            if case.count == 3 and not os.path.exists(f"{folder}/slow"):
                open(f"{folder}/slow", "w").close()
                time.sleep(60)
            return True

        case.count = 0
        return case

    monkeypatch.setitem(KINDS, "bad", bad)
    found = run("bad", 6, seconds=0.5)
    said = [text.splitlines()[-1] for _, text in found.faults]
    assert [n for n, _ in found.faults] == [1, 2, 4]
    assert "KeyError" in said[0]
    assert "hangs" in said[1]
    assert "KeyError" in said[2]
