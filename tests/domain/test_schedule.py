"""When a server is checked next: the delay rules as a table, bounds for any state, and the queue of what is due."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import schedule
from monitor.domain.availability import Availability, Status
from monitor.domain.probe import Listing, Reason
from monitor.domain.schedule import Schedule
from monitor.domain.server import Policy, ServerId

AT = 1000.0
UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN


def policy(interval: float = 15.0) -> Policy:
    """A policy of which only the interval matters here."""
    return Policy(interval=timedelta(seconds=interval), timeout=timedelta(seconds=5), rise=2, fall=3)


def since(seconds: float, **state: object) -> Availability:
    """A server whose status changed so many seconds ago."""
    return Availability(changed_at=AT - seconds, **state)  # type: ignore[arg-type]  # a table of any field


@pytest.mark.parametrize(
    ("availability", "interval", "delay"),
    [
        # Steady: the interval.
        (since(60, status=UP, good=5), 15, 15),
        (since(60, status=DEGRADED, good=5), 15, 15),
        (Availability(), 15, 15),
        # In transition: again at once after a refusal, else after a second, never beyond the interval.
        (since(60, status=UP, bad=1, suspect=Reason.REFUSED), 15, 0.1),
        (since(60, status=UP, bad=1, suspect=Reason.RESET), 15, 0.1),
        (since(60, status=UP, bad=1, suspect=Reason.TIMEOUT), 15, 1),
        (since(60, status=DEGRADED, bad=2, suspect=Reason.REFUSED), 15, 0.1),
        (Availability(bad=1, suspect=Reason.REFUSED), 15, 0.1),
        (Availability(bad=1, suspect=Reason.DNS), 15, 1),
        (since(900, status=DOWN, good=1), 15, 1),
        (since(60, status=UP, bad=1, suspect=Reason.TIMEOUT), 0.5, 0.5),
        # Down: every second for half a minute, then ever more rarely, up to the interval.
        (since(0, status=DOWN, bad=3, suspect=Reason.REFUSED), 15, 1),
        (since(30, status=DOWN, bad=30), 15, 1),
        (since(60, status=DOWN, bad=60), 15, 2),
        (since(300, status=DOWN, bad=90), 15, 10),
        (since(86_400, status=DOWN, bad=900), 15, 15),
        (since(86_400, status=DOWN, bad=900), 3600, 2880),
        (Availability(status=DOWN, bad=3), 15, 15),
        (since(0, status=DOWN, bad=3), 0.5, 0.5),
        # No asking mends these.
        *((since(0, status=DOWN, bad=3, reason=reason), 15, 15) for reason in sorted(schedule.STUBBORN)),
        (since(0, status=DOWN, bad=3, reason=Reason.SERVER_ERROR), 15, 1),
        (since(0, status=DOWN, good=1, reason=Reason.CREDENTIAL), 15, 1),
    ],
)
def test_each_state_has_its_delay(availability: Availability, interval: float, delay: float) -> None:
    assert schedule.delay_after(availability, policy(interval), at=AT, jitter=0) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("availability", "jitter", "delay"),
    [
        (since(60, status=UP, good=5), -1, 13.5),
        (since(60, status=UP, good=5), 1, 16.5),
        (since(86_400, status=DOWN, bad=900), 0.5, 15.75),
        (since(60, status=UP, bad=1, suspect=Reason.TIMEOUT), 1, 1),
        (since(60, status=DOWN, bad=60), 1, 2),
    ],
)
def test_only_a_regular_check_is_moved_by_the_jitter(availability: Availability, jitter: float, delay: float) -> None:
    assert schedule.delay_after(availability, policy(), at=AT, jitter=jitter) == pytest.approx(delay)


@pytest.mark.parametrize(("late", "delay"), [(0.0, 0.1), (0.02, 0.08), (0.05, 0.05), (7.0, 0.05)])
def test_a_late_fast_check_makes_the_next_one_sooner(late: float, delay: float) -> None:
    refused = Availability(status=Status.UP, bad=1, suspect=Reason.REFUSED)
    assert schedule.delay_after(refused, policy(), at=AT, jitter=0, late=late) == pytest.approx(delay)
    slow = Availability(status=Status.UP, bad=1, suspect=Reason.TIMEOUT)
    assert schedule.delay_after(slow, policy(), at=AT, jitter=0, late=late) == 1.0


@pytest.mark.parametrize(("asked", "delay"), [(-5, 15), (0, 15), (10, 15), (20, 20), (30, 30), (86_400, 30)])
def test_a_server_that_asks_for_patience_gets_two_intervals_at_the_most(asked: float, delay: float) -> None:
    busy = since(60, status=DEGRADED, reason=Reason.BUSY, good=1)
    answer = schedule.delay_after(busy, policy(), at=AT, jitter=0, retry_after=timedelta(seconds=asked))
    assert answer == pytest.approx(delay)


STATES = st.builds(
    Availability,
    status=st.sampled_from(Status),
    good=st.just(0),
    bad=st.integers(0, 9),
    suspect=st.sampled_from([None, *Reason]),
    changed_at=st.one_of(st.floats(0, 1e6), st.just(float("-inf"))),
) | st.builds(Availability, status=st.sampled_from(Status), good=st.integers(1, 9))


@settings(deadline=None)
@given(STATES, st.floats(0.1, 86_400), st.floats(0, 1e6), st.floats(-1, 1), st.none() | st.floats(-1e6, 1e6))
def test_a_delay_has_bounds_in_every_state(
    state: Availability, interval: float, at: float, jitter: float, retry_after: float | None
) -> None:
    asked = None if retry_after is None else timedelta(seconds=retry_after)
    delay = schedule.delay_after(state, policy(interval), at=at, jitter=jitter, retry_after=asked)
    assert delay >= 0.09
    assert delay <= interval * (1.1 if asked is None else 2) + 1e-5


@settings(deadline=None)
@given(st.uuids(), st.floats(0.1, 86_400))
def test_the_phase_lies_within_the_interval_and_stays_the_same(server_id: uuid.UUID, interval: float) -> None:
    every = timedelta(seconds=interval)
    phase = schedule.phase(ServerId(server_id), every)
    assert 0 <= phase < every.total_seconds()
    assert phase == schedule.phase(ServerId(server_id), every)


def test_the_phases_of_many_servers_are_spread_over_the_interval() -> None:
    phases = [schedule.phase(ServerId(uuid.uuid4()), timedelta(seconds=10)) for _ in range(1000)]
    tenths = [sum(int(phase) == tenth for phase in phases) for tenth in range(10)]
    assert min(tenths) > 30


def ids(count: int) -> list[ServerId]:
    """So many servers, in the order of their ids."""
    return [ServerId(uuid.UUID(int=number)) for number in range(count)]


def test_what_is_due_is_handed_out_once_and_the_oldest_first() -> None:
    agenda, (one, two, three) = Schedule(), ids(3)
    agenda.set(one, 30.0)
    agenda.set(two, 10.0)
    agenda.set(three, 20.0)
    assert agenda.due(9.9) == []
    assert agenda.due(20.0) == [(two, 10.0), (three, 20.0)]
    assert agenda.due(20.0) == []
    assert len(agenda) == 1
    assert agenda.due(99.0) == [(one, 30.0)]
    assert len(agenda) == 0


@pytest.mark.parametrize("again", [5.0, 10.0, 50.0])
def test_a_server_that_is_set_again_is_due_only_then(again: float) -> None:
    agenda, (one,) = Schedule(), ids(1)
    agenda.set(one, 10.0)
    agenda.set(one, again)
    assert agenda.due(again - 0.1) == []
    assert agenda.due(99.0) == [(one, again)]
    assert agenda.due(99.0) == []


def test_a_server_that_is_removed_is_never_due() -> None:
    agenda, (one, two) = Schedule(), ids(2)
    agenda.set(one, 10.0)
    agenda.set(two, 10.0)
    agenda.remove(one)
    agenda.remove(one)
    assert agenda.due(99.0) == [(two, 10.0)]
    assert (len(agenda), agenda.due(99.0)) == (0, [])


STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "remove", "due"]), st.sampled_from(ids(4)), st.integers(0, 20)), max_size=40
)


@settings(deadline=None)
@given(STEPS)
def test_the_queue_does_what_a_plain_table_would_do(steps: list[tuple[str, ServerId, int]]) -> None:
    agenda: Schedule = Schedule()
    table: dict[ServerId, float] = {}
    for step, server_id, time in steps:
        if step == "set":
            agenda.set(server_id, float(time))
            table[server_id] = float(time)
        elif step == "remove":
            agenda.remove(server_id)
            table.pop(server_id, None)
        else:
            ready = sorted((due, each) for each, due in table.items() if due <= time)
            assert agenda.due(float(time)) == [(each, due) for due, each in ready]
            table = {each: due for each, due in table.items() if due > time}
        assert len(agenda) == len(table)


def test_the_soonest_punctual_entry_is_that_of_a_server_that_is_still_due() -> None:
    agenda, one, two = Schedule(), ServerId(uuid.UUID(int=1)), ServerId(uuid.UUID(int=2))
    agenda.set(one, 5.0)
    assert agenda.soonest_punctual() is None
    agenda.set(one, 10.0, punctual=True)
    agenda.set(two, 20.0, punctual=True)
    assert agenda.soonest_punctual() == 10.0
    agenda.set(one, 15.0)
    assert agenda.soonest_punctual() == 20.0
    agenda.set(one, 30.0, punctual=True)
    agenda.remove(two)
    assert agenda.soonest_punctual() == 30.0
    assert [server_id for server_id, _ in agenda.due(30.0)] == [one]
    assert agenda.soonest_punctual() is None


@pytest.mark.parametrize(
    ("reason", "wanted", "refused_for", "delay"),
    [
        # It may heal by itself.
        (Reason.SERVER_ERROR, None, None, 10),
        (Reason.TIMEOUT, 90, None, 10),
        # Somebody has to change it: when it is due anyway.
        *((reason, None, None, None) for reason in sorted(schedule.STUBBORN)),
        # Asked for too often: ever more rarely, and not before it is wanted.
        (Reason.BUSY, None, None, 20),
        (Reason.BUSY, None, 5, 20),
        (Reason.BUSY, None, 40, 80),
        (Reason.BUSY, None, 9999, 300),
        (Reason.BUSY, 45, 5, 45),
        (Reason.BUSY, 3600, 5, 600),
        (Reason.BUSY, 1, 5, 20),
    ],
)
def test_a_list_that_failed_is_asked_for_again_by_why(
    reason: Reason, wanted: float | None, refused_for: float | None, delay: float | None
) -> None:
    listing = Listing(reason=reason, retry_after=None if wanted is None else timedelta(seconds=wanted))
    state = Availability(status=UP, list_refused_since=None if refused_for is None else AT - refused_for)
    assert schedule.list_delay_after(listing, state, interval=60, at=AT, jitter=1) == delay
    assert schedule.list_delay_after(Listing(reason=Reason.TIMEOUT), state, interval=3, at=AT, jitter=1) == 3
