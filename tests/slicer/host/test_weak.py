"""A callback that keeps nothing alive."""

from __future__ import annotations

import gc
import weakref

import pytest
import standin

pytestmark = pytest.mark.gui


def test_a_timer_calls_its_owner_and_does_not_keep_it(app):
    from SPADLib.host import one_shot_timer

    class Owner:
        def __init__(self):
            self.called = 0
            self.timer = one_shot_timer(0, self.on_time)

        def on_time(self):
            self.called += 1

    owner = Owner()
    owner.timer.start()
    standin.process_events(0.02)
    assert owner.called == 1
    owner.timer.start()
    gone = weakref.ref(owner)
    gc.disable()
    try:
        del owner
        assert gone() is None  # at once: there is no cycle for a collector to find
    finally:
        gc.enable()
    standin.process_events(0.02)
