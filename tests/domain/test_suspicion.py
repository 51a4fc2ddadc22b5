"""Suspicion before verdict: when it begins, when it ends, and when it is told."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import suspicion
from monitor.domain.availability import Availability, Status
from monitor.domain.probe import Reason
from monitor.domain.suspicion import APART, LASTS, Suspicion

UP, DOWN = Availability(status=Status.UP), Availability(status=Status.DOWN)
REFUSED, TIMEOUT, OK = Reason.REFUSED, Reason.TIMEOUT, Reason.OK


def bad(before: Suspicion, at: float, *, reason: Reason = TIMEOUT, ended_at: float | None = None) -> Suspicion:
    """A bad answer without a verdict."""
    return suspicion.after_check(before, UP, reason, good=False, at=at, watch_ended_at=ended_at)


def good(before: Suspicion, at: float) -> Suspicion:
    """A good answer."""
    return suspicion.after_check(before, UP, OK, good=True, at=at, watch_ended_at=None)


def test_the_first_bad_answer_begins_it_and_the_newest_is_its_reason() -> None:
    found = bad(bad(suspicion.NONE, 5), 6, reason=REFUSED)
    assert (found.since, found.reason, found.told) == (5, REFUSED, False)


def test_the_end_of_the_watch_begins_it_if_the_check_confirms_it() -> None:
    assert bad(suspicion.NONE, 5, ended_at=4.9).since == 4.9
    assert suspicion.after_check(suspicion.NONE, UP, OK, good=True, at=5, watch_ended_at=4.9).since is None


@pytest.mark.parametrize("told", [False, True])
def test_a_good_answer_ends_it_and_so_does_a_verdict(told: bool) -> None:
    suspect = Suspicion(since=5, reason=TIMEOUT, told=told, told_at=5.3)
    down = suspicion.after_check(suspect, DOWN, TIMEOUT, good=False, at=6, watch_ended_at=None)
    assert good(suspect, 6) == down == Suspicion(told_at=5.3)


def test_it_is_told_once_it_has_lasted_and_never_twice() -> None:
    suspect = bad(suspicion.NONE, 5)
    assert suspect.is_due_at == 5 + LASTS
    told = suspicion.tell(suspect, at=5.4)
    assert (told.told, told.is_due_at) == (True, None)
    assert bad(told, 6).told
    assert suspicion.NONE.is_due_at is None


def test_the_next_one_waits_until_the_last_telling_is_ten_seconds_ago() -> None:
    again = bad(good(suspicion.tell(bad(suspicion.NONE, 5), at=5.3), 6), 7)
    assert again.is_due_at == 5.3 + APART
    assert bad(good(again, 8), 20).is_due_at == 20 + LASTS


@given(st.lists(st.tuples(st.floats(0.01, 3), st.sampled_from(["bad", "good", "down"])), max_size=80))
def test_a_server_is_told_of_at_most_once_in_ten_seconds(steps: list[tuple[float, str]]) -> None:
    state, at = suspicion.NONE, 0.0
    tellings: list[float] = []
    for delay, what in steps:
        at += delay
        due = state.is_due_at
        if due is not None and at >= due:
            state = suspicion.tell(state, at=at)
            tellings.append(at)
        after = DOWN if what == "down" else UP
        state = suspicion.after_check(state, after, TIMEOUT, good=what == "good", at=at, watch_ended_at=None)
        assert (state.since is not None) is (what == "bad")
        assert not state.told or state.since is not None
    assert all(later - earlier >= APART for earlier, later in itertools.pairwise(tellings))
