"""What history answers for a window: sums that add up to it, slots, letters, percentiles, and the present."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import history, latency, timeline, uptime
from monitor.domain.availability import Status
from monitor.domain.history import HOUR, Page
from monitor.domain.latency import Counts
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS, Run
from monitor.domain.uptime import SLOTS, Present, Window
from tests.domain.test_history import START, runs

ID = ServerId(uuid.UUID(int=1))
NOW = START + HOUR + 7.3


def page(start: int, *known: Run, milliseconds: float = 2.0) -> Page:
    """Five minutes with one good check."""
    counts = Counts([latency.bucket(milliseconds)])
    return history.page(ID, start, runs=list(known), good=1, bad=0, latencies=counts)


def cells(pages: list[Page]) -> list[tuple[int, int, bytes]]:
    """What `slot_medians` needs of pages."""
    return [(each.start, each.span, each.medians) for each in pages]


@given(runs(), st.sampled_from(Window), st.floats(min_value=0, max_value=5000))
def test_the_slots_of_a_window_add_up_to_it_and_the_letters_are_the_worst_of_each(
    known: list[Run], window: Window, later: float
) -> None:
    now = START + later
    slots = uptime.slots([], known, window=window, now=now)
    assert len(slots) == SLOTS
    for slot, after in zip(slots, [*(each.start for each in slots[1:]), now], strict=True):
        # What is known of the future, which these timelines may hold, is in the last slot.
        whole = max(after - slot.start, slot.up + slot.degraded + slot.down)
        assert slot.up + slot.degraded + slot.down + slot.unknown == pytest.approx(whole, abs=0.11)
    letters = uptime.letters(known, first=slots[0].start, width=window.slot)
    worst = ["d" if slot.down else "g" if slot.degraded else "u" if slot.up else "n" for slot in slots]
    assert letters == "".join(worst)


@given(runs())
def test_known_and_unknown_time_make_up_the_window(known: list[Run]) -> None:
    found = uptime.summary([], known, window=Window.HOUR, now=START + HOUR)
    up, degraded, down = timeline.totals(known, START * TICKS, (START + HOUR) * TICKS)
    assert found.unknown_seconds * TICKS + up + degraded + down == pytest.approx(HOUR * TICKS)
    assert found.uptime == ((up + degraded) / (up + degraded + down) if known else None)


def test_checks_and_latencies_count_where_the_middle_of_their_page_is() -> None:
    pages = [page(START - 300, milliseconds=100.0), page(START), page(START + 300), page(START + 600)]
    found = uptime.summary(pages, [], window=Window.HOUR, now=NOW)
    assert found.checks == 3
    assert found.p50_ms == pytest.approx(2.0, rel=0.05)
    assert found.p99_ms == pytest.approx(2.0, rel=0.05)


def test_the_present_goes_on_where_the_pages_end() -> None:
    at = START * TICKS
    pages = [page(START, (at, at + 3000, 0))]
    present = Present(status=Status.DOWN, since=START, until=START + 400)
    assert uptime.runs(pages, present) == [(at, at + 3000, 0), (at + 3000, at + 4000, 2)]
    nobody_knows = Present(status=Status.UNKNOWN, since=START, until=START + 400)
    assert uptime.runs(pages, nobody_knows) == uptime.runs(pages, None) == [(at, at + 3000, 0)]


def test_each_slot_has_the_worst_median_of_the_pages_it_touches() -> None:
    pages = [page(START, milliseconds=2.0), page(START + 300, milliseconds=50.0)]
    medians = uptime.slot_medians(cells(pages), first=START - 600, width=450)
    told = [latency.milliseconds(median) for median in medians[:4]]
    assert told == [
        None,
        pytest.approx(2.0, rel=0.05),
        pytest.approx(50.0, rel=0.05),
        None,
    ]
    hour = history.rolled_up(pages, HOUR)
    assert uptime.slot_medians(cells(hour), first=START - 600, width=450) == medians


def test_slots_stand_still_while_time_goes_on() -> None:
    first = uptime.starts(Window.DAY, NOW)
    assert first == uptime.starts(Window.DAY, NOW + 1)
    assert all(start % Window.DAY.slot == 0 for start in first)
    assert first[-1] <= NOW < first[-1] + Window.DAY.slot
