"""No warnings while work lasts, and afterwards those that there were, with threads that overlap."""

import threading
import warnings

import numpy as np
import PIL.Image

from spad.pictures.pillow_files import opened
from spad.quiet import unwarned


def overlap(first, second):
    """Enter `first`, enter `second` in another thread, leave the first, then the second."""
    inside, leave = threading.Event(), threading.Event()

    def other():
        with second:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with first:
        thread.start()
        assert inside.wait(10)
        warnings.warn("not heard", stacklevel=1)
    leave.set()
    thread.join()


def test_threads_that_overlap_leave_the_filter_as_it_was(recwarn):
    warnings.simplefilter("always")
    before = list(warnings.filters)
    overlap(unwarned, unwarned)
    assert warnings.filters == before
    assert not recwarn.list
    warnings.warn("heard", stacklevel=1)
    assert [str(one.message) for one in recwarn.list] == ["heard"]


def test_pictures_open_in_two_threads_leave_warnings_on(tmp_path, recwarn):
    path = tmp_path / "a.png"
    PIL.Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    before = list(warnings.filters)
    overlap(opened(path), opened(path))
    assert warnings.filters == before
