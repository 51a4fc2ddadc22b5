"""The mass-failure guard: when it doubts the monitor, for how long, and what it makes of the end."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.mass_failure import MassFailure, Turn
from monitor.domain.probe import Reason
from monitor.domain.server import ServerId

INTERVAL, ROUND = 15.0, 21.5
REFUSED, DNS, LOCAL, OK = Reason.REFUSED, Reason.DNS, Reason.LOCAL, Reason.OK


def server(number: int) -> ServerId:
    """One of a fleet."""
    return ServerId(uuid.UUID(int=number))


def guard() -> MassFailure:
    """A guard with the default policy's times."""
    return MassFailure(interval=INTERVAL, round_time=ROUND)


def fail(tested: MassFailure, *numbers: int, reason: Reason = REFUSED, at: float = 0.0) -> None:
    """Have servers fail, each at a host of its own."""
    for number in numbers:
        tested.failed(server(number), reason, host=f"gpu-{number}", at=at)


@pytest.mark.parametrize(
    ("of", "failing", "isolated"),
    [
        (1, 1, False),
        (2, 2, False),
        (3, 2, False),
        (3, 3, True),
        (5, 2, False),
        (5, 3, True),
        (6, 3, True),
        (7, 3, False),
        (7, 4, True),
        (100, 49, False),
        (100, 50, True),
    ],
)
def test_half_of_the_fleet_and_three_at_least_are_a_mass_failure(of: int, failing: int, isolated: bool) -> None:
    tested = guard()
    fail(tested, *range(failing))
    assert tested.decide(of=of, at=0) is (Turn.ISOLATED if isolated else None)
    assert tested.holds(0) is isolated


def test_failures_count_together_only_within_one_round_of_checks() -> None:
    tested = guard()
    fail(tested, 1, 2, at=0)
    fail(tested, 3, at=ROUND - 1)
    assert tested.suspects(ROUND - 1)
    fail(tested, 4, at=ROUND)
    assert not tested.suspects(ROUND)
    assert tested.decide(of=4, at=ROUND) is None


def test_a_server_that_fails_again_is_no_new_failure() -> None:
    tested = guard()
    assert tested.failed(server(1), REFUSED, host="a", at=0)
    assert not tested.failed(server(1), DNS, host="a", at=1)
    assert not tested.suspects(1)


def test_what_most_servers_have_is_the_cause() -> None:
    tested = guard()
    fail(tested, 1, reason=DNS)
    fail(tested, 2, 3)
    tested.decide(of=3, at=7)
    assert tested.isolation is not None
    found = tested.isolation
    assert (found.since, found.cause, found.servers, found.of) == (7, REFUSED, 3, 3)


def test_it_is_over_as_soon_as_fewer_than_half_fail() -> None:
    tested = guard()
    fail(tested, 1, 2, 3, 4)
    tested.decide(of=6, at=0)
    tested.answered(server(1))
    assert tested.decide(of=6, at=1) is None
    tested.answered(server(2))
    assert tested.decide(of=6, at=2) is Turn.HEALED
    assert not tested.holds(2)
    # The two that still fail are nothing out of the ordinary.
    assert tested.decide(of=6, at=2) is None


def test_after_two_intervals_the_outage_was_real_and_is_no_news_any_more() -> None:
    tested = guard()
    fail(tested, 1, 2, 3)
    tested.decide(of=4, at=0)
    assert tested.holds(29.9)
    assert tested.decide(of=4, at=29.9) is None
    assert not tested.holds(30)
    assert tested.decide(of=4, at=30) is Turn.REAL
    assert tested.decide(of=4, at=30) is None
    assert not tested.suspects(30)


def test_our_own_faults_hold_no_verdict_for_longer_but_are_not_over_before_they_are() -> None:
    tested = guard()
    fail(tested, 1, 2, 3, reason=LOCAL)
    assert tested.decide(of=3, at=0) is Turn.ISOLATED
    assert tested.isolation is not None
    assert tested.isolation.cause is LOCAL
    assert tested.decide(of=3, at=3600) is None
    assert not tested.holds(3600)
    tested.answered(server(1))
    assert tested.decide(of=3, at=3601) is Turn.HEALED


@pytest.mark.parametrize(
    ("of", "names", "isolated"),
    [(20, 2, False), (20, 3, True), (60, 3, True), (61, 3, False), (200, 9, False), (200, 10, True)],
)
def test_names_that_cannot_be_looked_up_any_more_are_the_resolvers_fault(of: int, names: int, isolated: bool) -> None:
    tested = guard()
    fail(tested, *range(names), reason=DNS)
    assert tested.decide(of=of, at=0) is (Turn.ISOLATED if isolated else None)
    if isolated:
        # Servers that fail for another cause do not keep it going.
        fail(tested, *range(100, 109))
        for number in range(names):
            tested.answered(server(number))
        assert tested.decide(of=of, at=1) is Turn.HEALED


def test_one_name_of_many_servers_is_not_the_resolvers_fault() -> None:
    tested = guard()
    for number in range(5):
        tested.failed(server(number), DNS, host="gone.example", at=0)
    assert tested.decide(of=20, at=0) is None


def test_servers_that_are_not_watched_any_more_do_not_keep_it_going() -> None:
    tested = guard()
    fail(tested, 1, 2, 3)
    tested.decide(of=3, at=0)
    tested.keep(lambda each: each == server(1))
    assert tested.decide(of=1, at=1) is Turn.HEALED


def test_a_fleet_that_is_somebody_elses_leaves_nothing_behind() -> None:
    tested = guard()
    fail(tested, 1, 2, 3)
    tested.decide(of=3, at=0)
    tested.clear()
    assert not tested.holds(0)
    assert tested.decide(of=3, at=0) is None


STEP = st.tuples(st.integers(0, 7), st.sampled_from([OK, REFUSED, DNS, LOCAL]), st.floats(0.1, 12))


@given(st.integers(1, 8), st.lists(STEP, max_size=60))
@settings(deadline=None)
def test_whatever_happens_nothing_is_held_beyond_two_intervals_nor_in_a_small_fleet(
    of: int, steps: list[tuple[int, Reason, float]]
) -> None:
    tested = guard()
    at, isolated_at = 0.0, None
    failing: dict[int, float] = {}
    for number, reason, delay in steps:
        at += delay
        number %= of  # noqa: PLW2901  # a server that this fleet has
        if reason is OK:
            tested.answered(server(number))
            failing.pop(number, None)
        else:
            fail(tested, number, reason=reason, at=at)
            failing.setdefault(number, at)
        turn = tested.decide(of=of, at=at)
        if turn is Turn.ISOLATED:
            assert isolated_at is None
            assert len(failing) >= 3
            isolated_at = at
        elif turn is not None:
            assert isolated_at is not None
            assert turn is Turn.HEALED or at >= isolated_at + 2 * INTERVAL
            isolated_at = None
            failing = {} if turn is Turn.REAL else failing
        assert tested.holds(at) is (isolated_at is not None and at < isolated_at + 2 * INTERVAL)
        assert not (tested.holds(at) and of < 3)
