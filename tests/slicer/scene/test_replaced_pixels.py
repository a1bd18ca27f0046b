"""A volume whose pixels were replaced after it was segmented: no model goes on with the old labels.

The words are napari's.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle
from fakes import paint
from scene import add_volume

from spad.cases import Layout
from spad.inference.stack import BadSlice, Stack
from SPADLib.desk.run import _ByBscan
from SPADLib.learn.training_set import add
from SPADLib.scene import open_image, open_source

pytestmark = pytest.mark.gui
REPLACED = "the pixels of “OCT” were replaced since “OCT fake” was made of them"


def negative(volume):
    """Other pixels in place, as a filter of another module, or a script, leaves them."""
    slicer.util.updateVolumeFromArray(volume, 255 - slicer.util.arrayFromVolume(volume))


@pytest.fixture
def painted(panel, panel_volume, panel_result):
    paint(panel_result, 0, slice(0, 3), slice(0, 3), 2)
    settle(panel)
    return panel_result


@pytest.mark.parametrize("name", ["resample", "carry", "learn", "fill"])
def test_nothing_is_sampled_or_learnt_from_other_pixels(
    panel, panel_volume, painted, panel_worker, name
):
    panel.review.review.mark(0, "accepted")
    panel.review.review.mark(2, "accepted")
    before = painted.labels().copy()
    negative(panel_volume)
    getattr(panel.ui, f"{name}Button").click()
    settle(panel)
    assert REPLACED in said(panel)
    assert "segment the volume anew" in said(panel)
    assert np.array_equal(painted.labels(), before)
    assert panel_worker.plans == []


def test_one_pixel_of_the_last_bscan_is_enough_and_what_comes_back_is_known_again(
    panel, panel_volume, painted
):
    array = slicer.util.arrayFromVolume(panel_volume)
    array[3, 5, 5] ^= 1  # in place, and nobody is told
    with pytest.raises(ValueError, match=REPLACED):
        open_image(painted)
    assert open_image(painted, to_show=True).stack[3, 5, 5] == array[3, 5, 5]
    array[3, 5, 5] ^= 1
    assert open_image(painted).depth == 4


def test_no_case_is_made_of_other_pixels_and_old_labels(panel_volume, painted, tmp_path):
    negative(panel_volume)
    with pytest.raises(ValueError, match=REPLACED):
        next(add(painted, [0], tmp_path / "set", annotated=["SRF"], own_patients=False))
    assert not (tmp_path / "set").exists()


def test_a_run_goes_into_a_new_segmentation_alone(panel, panel_volume, painted):
    negative(panel_volume)
    settle(panel)
    assert REPLACED in said(panel)  # at once, where Slicer is told of it
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    settle(panel)
    assert REPLACED in said(panel)
    assert "choose “a new segmentation”" in said(panel)
    panel.ui.intoCombo.setCurrentIndex(0)
    panel.ui.segmentButton.click()
    settle(panel)
    new = panel.desk.result
    assert new is not painted
    assert open_image(new).depth == 4
    assert (new.labels()[1, :10] == 1).all()


def test_a_run_during_which_it_happens_says_so(panel, panel_volume):
    panel.ui.segmentButton.click()
    standin.process_events(0)
    assert panel.runs.busy
    negative(panel_volume)
    settle(panel)
    assert "The pixels of “OCT” were replaced meanwhile; this is of those before." in said(panel)


def test_a_bscan_that_was_left_empty_for_its_nan_counts_as_the_engine_has_it(scene):
    image = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    image[1, 2, 3] = np.nan
    source = open_source(add_volume(image), Layout(mirrored=True))
    stack = Stack(_ByBscan(source.stack), rgb=False)
    for z in (0, 2, 3):
        stack.read(z)
    with pytest.raises(BadSlice):
        stack.read(1)
    run = {"bscans": [0, 4], "image_sha256": stack.sha256()}
    assert source.shows([run])
    slicer.util.arrayFromVolume(source.volume)[3, 0, 0] += 1
    assert not source.shows([run])


def test_pixels_of_another_number_are_told_in_words(panel, panel_volume, panel_result):
    """As *Crop volume* leaves them, in place."""
    panel.ui.segmentButton.click()
    standin.process_events(0)
    slicer.util.updateVolumeFromArray(panel_volume, np.zeros((2, 24, 32), np.uint8))
    settle(panel)
    assert "“OCT fake” and its volume, uncertainty or proposal are not of one size" in said(panel)
    assert "segment the volume again" in said(panel)
    assert not panel.ui.nextButton.isEnabled()
    panel.ui.segmentButton.click()
    settle(panel)
    assert panel.desk.result.depth == 2


def test_the_last_run_on_each_bscan_counts(panel_volume, painted):
    """One that was sampled anew, with pixels of its own, is not held to what it was before."""
    array = slicer.util.arrayFromVolume(panel_volume)
    source = open_source(panel_volume, painted.layout)
    was = [dict(run) for run in painted.provenance]
    array[1] = 7
    one = {"bscans": [1, 1], "image_sha256": hashlib.sha256(array[1].tobytes()).hexdigest()}
    assert not source.shows(was)
    assert not source.shows([*was, one])  # the others were noted together with it
    digests = b"".join(hashlib.sha256(plane.tobytes()).digest() for plane in array[2:])
    rest = {"bscans": [2, 2], "image_sha256": hashlib.sha256(digests).hexdigest()}
    first = {"bscans": [0, 1], "image_sha256": hashlib.sha256(array[0].tobytes()).hexdigest()}
    assert source.shows([*was, one, rest, first])
    assert not source.shows([*was, one, rest, {**first, "image_sha256": "0"}])
    assert source.shows([{}, {"bscans": "all"}, {"bscans": [0, 4], "image_sha256": None}])
