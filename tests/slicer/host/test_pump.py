"""The timer that pulls a generator: its end comes once and always, whatever happens."""

from __future__ import annotations

import pytest
import standin

pytestmark = pytest.mark.gui


@pytest.fixture
def pump_of(scene):
    standin.install(scene)
    from SPADLib.host.pump import Pump

    def make(on_event=lambda event: None):
        ends: list[BaseException | None] = []
        return Pump(on_event, ends.append), ends

    yield make
    standin.remove()


def counting(closed):
    try:
        yield from range(100)
    finally:
        closed.append(True)


def test_a_generator_is_pulled_to_its_end_while_events_are_handled(pump_of):
    seen = []
    pump, ends = pump_of(seen.append)
    pump.start(iter([1, 2, 3]))
    assert pump.busy
    assert seen == []  # nothing happens before the event loop has its turn
    standin.process_events(0.1)
    assert seen == [1, 2, 3]
    assert ends == [None]
    assert not pump.busy


def test_a_cancelled_generator_is_closed_and_gives_no_more(pump_of):
    seen, closed = [], []
    pump, ends = pump_of(seen.append)
    pump.start(counting(closed))
    standin.process_events()
    pump.cancel("because")
    assert closed == [True]
    assert str(ends[0]) == "because"
    count = len(seen)
    standin.process_events(0.05)
    assert len(seen) == count
    pump.cancel()
    assert len(ends) == 1


def test_a_generator_may_be_cancelled_by_what_its_event_causes(pump_of):
    seen, closed = [], []

    def on_event(event):
        seen.append(event)
        pump.cancel()
        assert pump.busy  # its step has not returned yet

    pump, ends = pump_of(on_event)
    pump.start(counting(closed))
    standin.process_events(0.05)
    assert seen == [0]
    assert closed == [True]
    assert len(ends) == 1


def test_events_that_are_handled_within_a_step_pull_no_other(pump_of):
    """A dialog within a step runs the event loop anew."""
    seen = []

    def on_event(event):
        seen.append(event)
        standin.process_events(0.02)

    pump, ends = pump_of(on_event)
    pump.start(iter(range(3)))
    standin.process_events(0.3)
    assert seen == [0, 1, 2]
    assert ends == [None]


@pytest.mark.parametrize("where", ["generator", "event"])
def test_an_error_ends_it_and_is_handed_over(pump_of, where):
    def broken():
        yield 1
        raise ValueError("broken")

    def on_event(event):
        if where == "event":
            raise ValueError("broken")

    pump, ends = pump_of(on_event)
    pump.start(broken())
    standin.process_events(0.05)
    assert [str(e) for e in ends] == ["broken"]
    pump.start(iter([1]) if where == "generator" else iter([]))
    standin.process_events(0.05)
    assert ends[1:] == [None]


def test_two_at_once_are_refused(pump_of):
    pump, _ = pump_of()
    pump.start(iter([1]))
    with pytest.raises(RuntimeError, match="wait for it, or cancel it"):
        pump.start(iter([2]))
    pump.cancel()


def test_a_generator_without_news_is_asked_again_after_a_while(pump_of):
    seen, pulled = [], []

    def waiting():
        for _ in range(1000):
            pulled.append(1)
            yield None
        yield 1

    pump, _ = pump_of(seen.append)
    pump.start(waiting())
    standin.process_events(0.3)
    assert 2 <= len(pulled) <= 12
    assert seen == []
    pump.cancel()
    pump.start(iter([1, None, 2]))
    standin.process_events(0.2)
    assert seen == [1, 2]
