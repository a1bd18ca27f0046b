"""The module's own self-tests on slicer-core, its sample data, and a large volume."""

from __future__ import annotations

import os
import subprocess
import sys
import types
import unittest
from pathlib import Path

import pytest
import slicer

HERE = Path(__file__).parent


@pytest.fixture
def module(scene):
    pytest.importorskip("PySide6", reason="the stand-in for Slicer's Qt is made of PySide6")
    import standin

    application = standin.install(scene)
    import SPAD

    yield SPAD, application
    standin.remove()


def test_the_self_tests_of_the_module_pass(module):
    """As `slicer_add_python_unittest` and the button “Reload and Test” run them."""
    from SPADLib.install import SlicerHost, missing

    source, _ = module
    suite = unittest.TestLoader().loadTestsFromTestCase(source.SPADTest)
    assert suite.countTestCases() >= 5
    lacking = missing(SlicerHost())
    outcome = unittest.TextTestRunner(verbosity=0).run(suite)
    assert outcome.wasSuccessful(), outcome.failures + outcome.errors
    assert len(outcome.skipped) == (suite.countTestCases() if lacking else 0), outcome.skipped
    assert not lacking
    source.SPADTest().runTest()


def test_the_script_of_the_test_class_finds_it(module):
    import importlib.util

    path = HERE.parents[1] / "slicer_module" / "SPAD" / "Testing" / "Python" / "SPADModuleTest.py"
    spec = importlib.util.spec_from_file_location("SPADModuleTest", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert unittest.TestLoader().loadTestsFromModule(loaded).countTestCases() >= 5


def test_the_phantom_is_offered_as_sample_data_and_made_when_asked(scene, monkeypatch):
    from SPADLib.read.phantom_sample import register_sample

    registered = {}

    def take(**named):
        registered.update(named)

    logic = types.SimpleNamespace(registerCustomSampleDataSource=take)
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    before = scene.GetNumberOfNodes()
    register_sample()
    assert scene.GetNumberOfNodes() == before
    assert set(registered) <= {  # what Slicer 5.10 to 5.13 take; another name raises at each start
        *("category", "sampleName", "uris", "fileNames", "nodeNames", "customDownloader"),
        *("thumbnailFileName", "loadFileType", "loadFiles", "loadFileProperties", "checksums"),
    }
    lengths = {len(registered[k]) for k in ("uris", "fileNames", "nodeNames")}
    assert lengths == {1}  # as Slicer asks for
    assert Path(registered["thumbnailFileName"]).is_file()
    volume, reference = registered["customDownloader"](None)
    assert slicer.util.arrayFromVolume(volume).shape == (19, 496, 768)
    inner = reference.GetSegmentation()
    assert [inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs()][:2] == ["SRF", "IRF"]
    # Before the engine is installed the window says what to do.
    said = []
    monkeypatch.setattr(slicer.util, "errorDisplay", said.append, raising=False)
    monkeypatch.setitem(sys.modules, "spad.phantom", None)
    before = scene.GetNumberOfNodes()
    assert registered["customDownloader"](None) == []
    assert scene.GetNumberOfNodes() == before
    assert "not installed yet" in said[0]
    assert "press Install" in said[0]


_LARGE = """
import resource, sys
sys.path[:0] = {path!r}
import numpy as np
from scene import add_volume, new_scene
new_scene()
from pathlib import Path
from SPADLib.batch import segment
from SPADLib.scores.live_scores import LiveScores
from SPADLib.scores.reference_on_grid import Reference
from SPADLib.correct.review_records import Review
options = dict(device="cpu", samples=1, steps=1)
segment(add_volume(np.eye(64, dtype=np.int16)[None]), "oct-phantom", **options)  # warm
image = np.zeros((100, 512, 512), np.int16)
image += (np.sin(np.arange(512) / 40) * 500 + 600).astype(np.int16)[:, None]
volume = add_volume(image, spacing=(0.1, 0.004, 0.011))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
result = segment(volume, "oct-phantom", **options)
reference = add_volume(np.array(result.layout.volume(result.labels())), spacing=(0.1, 0.004, 0.011),
                       kind="vtkMRMLLabelMapVolumeNode", name="truth")
comparison = LiveScores(result, Reference.of(reference, result))
assert all(r.word or r.dice == 1 for r in comparison.rows() if r.value)
list(Review(result).judge())
result.take_back([result.put(50, np.ones((512, 512), np.uint8))])
print((peak() - before) / (100 * 512 * 512))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units")
def test_a_large_volume_is_segmented_and_compared_in_bounded_memory():
    """512 × 512 × 100 by the real engine: peak memory, in bytes a pixel of the volume.

    Nodes, the comparison's copies and what is made in passing are a byte each, the engine's results
    four. A float64 copy, or one map a structure, would be found.
    """
    module = HERE.parents[1] / "slicer_module" / "SPAD"
    ran = subprocess.run(
        [sys.executable, "-c", _LARGE.format(path=[str(HERE), str(module)])],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert float(ran.stdout.split()[-1]) < 16
