"""Which servers hold an idle connection: strikes, rest, back-off, and what the checks after an end mean."""

from datetime import timedelta

import pytest

from monitor.domain import watching
from monitor.domain.availability import Availability, Status
from monitor.domain.probe import Reason
from monitor.domain.server import Policy
from monitor.domain.watching import AFTER_SILENCE, HELD_WELL, LAST_RETRY, REST, SPREAD, Habit, Meaning

FRESH = Habit(not_before=0.0)
UP = Availability(status=Status.UP, reason=Reason.OK, good=5)


def after_ends(*lasted: float, habit: Habit = FRESH) -> Habit:
    """Return the habit after watches that lasted so long each, all while the server was healthy."""
    for seconds in lasted:
        habit = watching.after_end(habit, at=1000.0, lasted=seconds, chance=0.5)
    return habit


def test_three_ends_in_a_row_while_healthy_and_the_server_is_left_alone_for_an_hour() -> None:
    assert after_ends(60, 60).holds
    assert after_ends(60, 60).not_before <= 1000 + SPREAD
    learnt = after_ends(60, 60, 60)
    assert not learnt.holds
    assert 1000 + REST <= learnt.not_before <= 1000 + REST + SPREAD


def test_one_more_end_after_the_rest_is_enough_for_another_one() -> None:
    again = after_ends(60, habit=after_ends(60, 60, 60))
    assert not again.holds
    assert again.not_before >= 1000 + REST


def test_a_watch_held_for_an_hour_clears_the_strikes_before_it() -> None:
    assert after_ends(60, 60, HELD_WELL).strikes == 1
    assert after_ends(60, 60, 60, HELD_WELL, 60).holds


def test_silence_is_no_strike_and_keeps_those_from_before() -> None:
    struck = after_ends(60, 60)
    for chance in (0.0, 1.0):
        after = watching.after_silence(struck, at=1000.0, chance=chance)
        assert (after.strikes, after.holds) == (2, True)
        assert after.not_before == 1000 + AFTER_SILENCE * (1 + chance)


@pytest.mark.parametrize(("timeout", "within"), [(0.5, 0.5), (1.5, 1.5), (5, 1.5), (60, 18)])
def test_a_host_that_vanished_has_less_time_to_connect_but_more_the_more_its_server_has(
    timeout: float, within: float
) -> None:
    policy = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=timeout), rise=2, fall=3)
    assert watching.connect_within(policy, vanished=True) == timedelta(seconds=within)
    assert watching.connect_within(policy, vanished=False) is None


def test_a_server_that_speaks_on_its_own_is_left_alone_at_once() -> None:
    habit = watching.after_speech(at=1000.0)
    assert not habit.holds
    assert habit.not_before == 1000 + REST


def test_attempts_that_fail_come_ever_more_rarely_and_start_anew_after_a_success() -> None:
    habit, waits = FRESH, []
    for _ in range(20):
        habit = watching.after_failure(habit, at=1000.0, chance=0.0)
        waits.append(habit.not_before - 1000)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits == sorted(waits)
    assert waits[-1] == LAST_RETRY
    habit = watching.after_failure(watching.after_connect(habit), at=1000.0, chance=1.0)
    assert habit.not_before == 1002


def test_servers_that_come_at_once_are_spread_and_a_return_shortens_no_rest() -> None:
    assert watching.begin(at=10.0, chance=0.0).not_before == 10
    assert watching.begin(at=10.0, chance=1.0).not_before == 10 + SPREAD
    assert watching.after_return(FRESH, at=10.0, chance=1.0).not_before == 10 + SPREAD
    resting = after_ends(1, 1, 1)
    assert watching.after_return(resting, at=1010.0, chance=1.0) == resting


@pytest.mark.parametrize(
    ("availability", "hold", "begin"),
    [
        (UP, True, True),
        (Availability(status=Status.DEGRADED, good=1), True, True),
        (Availability(status=Status.UP, bad=1), True, False),
        (Availability(status=Status.DOWN, bad=3), False, False),
        (Availability(status=Status.DOWN, good=1), False, False),
        (Availability(), False, False),
    ],
)
def test_a_connection_is_held_to_what_is_available_and_begun_only_without_doubt(
    availability: Availability, hold: bool, begin: bool
) -> None:
    assert watching.may_hold(availability) is hold
    assert watching.may_begin(availability) is begin


@pytest.mark.parametrize(
    ("now", "meaning"),
    [
        (UP, Meaning.OPEN),
        (Availability(status=Status.UP, good=6), Meaning.HEALTHY),
        (Availability(status=Status.DEGRADED, good=6), Meaning.HEALTHY),
        (Availability(status=Status.UP, bad=1), Meaning.SICK),
        (Availability(status=Status.UP, good=1), Meaning.SICK),
        (Availability(status=Status.DOWN, bad=3), Meaning.SICK),
    ],
)
def test_the_checks_after_an_end_tell_what_it_meant(now: Availability, meaning: Meaning) -> None:
    assert watching.meaning(UP, now) is meaning
