"""The mass-failure guard: what it takes for evidence, when it doubts the monitor, for how long, and how that ends."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.mass_failure import GRACE, SILENT, MassFailure, Silence, Turn
from monitor.domain.probe import Reason
from monitor.domain.server import ServerId

INTERVAL, HOLD = 15.0, 30.0
TIMEOUT, DNS, LOCAL, OK = Reason.TIMEOUT, Reason.DNS, Reason.LOCAL, Reason.OK


def server(number: int) -> ServerId:
    """One of a fleet."""
    return ServerId(uuid.UUID(int=number))


def silent(
    tested: MassFailure, *numbers: int, reason: Reason = TIMEOUT, began: float = 0.0, is_here: bool = False
) -> None:
    """Have servers be silent, each at a host of its own."""
    for number in numbers:
        tested.silent(server(number), Silence(reason, f"gpu-{number}", is_here), began=began)


def isolated(of: int = 4, *, reason: Reason = TIMEOUT) -> MassFailure:
    """A guard that has taken the monitor to be isolated at 10, by all servers."""
    tested = MassFailure(interval=INTERVAL)
    silent(tested, *range(of), reason=reason, began=1)
    assert tested.decide(of=of, at=10 - GRACE) is None
    assert tested.decide(of=of, at=10) is Turn.ISOLATED
    return tested


@pytest.mark.parametrize(("silents", "doubts"), [(1, False), (2, False), (3, True), (50, True)])
def test_three_silent_servers_at_least_and_nothing_that_answers_are_a_mass_failure(silents: int, doubts: bool) -> None:
    tested = MassFailure(interval=INTERVAL)
    silent(tested, *range(silents), began=1)
    assert tested.holds(TIMEOUT, of=100, at=1) is doubts
    assert tested.decide(of=100, at=1) is None
    assert tested.decide(of=100, at=1 + GRACE) is (Turn.ISOLATED if doubts else None)


def test_one_answer_from_elsewhere_is_the_end_of_all_doubt() -> None:
    tested = MassFailure(interval=INTERVAL)
    silent(tested, *range(50), began=1)
    tested.decide(of=100, at=1)
    tested.heard(server(99), is_here=False, at=1.1)
    assert not tested.holds(TIMEOUT, of=100, at=1.1)
    assert tested.is_calm
    # The half second begins anew with the next silences.
    silent(tested, 1, 2, 3, began=2)
    assert tested.decide(of=100, at=2 + GRACE / 2) is None


def test_a_question_from_before_the_newest_answer_says_nothing_about_the_way() -> None:
    tested = MassFailure(interval=INTERVAL)
    tested.heard(server(99), is_here=False, at=5)
    silent(tested, 1, 2, 3, began=5)
    assert tested.is_calm
    silent(tested, 1, 2, 3, began=5.001)
    assert tested.holds(TIMEOUT, of=4, at=10)


@pytest.mark.parametrize("reason", sorted(set(Reason) - SILENT))
def test_whatever_a_server_sends_back_is_never_held(reason: Reason) -> None:
    assert not isolated().holds(reason, of=4, at=11)


def test_an_answer_from_this_very_machine_proves_nothing_about_the_way_out() -> None:
    tested = isolated()
    tested.heard(server(99), is_here=True, at=11)
    assert tested.holds(TIMEOUT, of=5, at=11)
    assert tested.decide(of=5, at=11) is None


def test_among_servers_of_this_machine_an_answer_counts() -> None:
    tested = MassFailure(interval=INTERVAL)
    silent(tested, 1, 2, 3, began=1, is_here=True)
    tested.heard(server(4), is_here=True, at=2)
    assert tested.is_calm


def test_what_most_servers_have_is_the_cause() -> None:
    tested = MassFailure(interval=INTERVAL)
    silent(tested, 1, reason=DNS, began=1)
    silent(tested, 2, 3, began=1)
    tested.decide(of=3, at=7)
    tested.decide(of=3, at=8)
    found = tested.isolation
    assert found is not None
    assert (found.since, found.until, found.cause, found.servers, found.of) == (8, 8 + HOLD, TIMEOUT, 3, 3)


def test_it_is_over_as_soon_as_something_answers() -> None:
    tested = isolated()
    assert tested.decide(of=4, at=11) is None
    tested.heard(server(1), is_here=False, at=12)
    assert tested.decide(of=4, at=12) is Turn.HEALED
    assert not tested.holds(TIMEOUT, of=4, at=12)
    assert tested.decide(of=4, at=13) is None


def test_after_two_intervals_the_outage_was_real_and_is_no_news_until_something_answers() -> None:
    tested = isolated()
    assert tested.holds(TIMEOUT, of=4, at=39.9)
    assert tested.decide(of=4, at=39.9) is None
    assert not tested.holds(TIMEOUT, of=4, at=40)
    assert tested.decide(of=4, at=40) is Turn.REAL
    silent(tested, 5, 6, 7, began=41)
    assert not tested.holds(TIMEOUT, of=3, at=42)
    assert tested.decide(of=3, at=43) is None
    tested.heard(server(8), is_here=False, at=44)
    silent(tested, 5, 6, 7, began=45)
    assert tested.holds(TIMEOUT, of=3, at=45)


def test_what_was_real_stays_so_when_only_this_machine_answers() -> None:
    tested = isolated()
    assert tested.decide(of=4, at=40) is Turn.REAL
    tested.heard(server(9), is_here=True, at=41)
    silent(tested, 5, 6, 7, began=42)
    assert not tested.holds(TIMEOUT, of=3, at=43)


def test_our_own_faults_hold_no_verdict_for_longer_but_are_not_over_before_they_are() -> None:
    tested = isolated(reason=LOCAL)
    assert tested.isolation is not None
    assert tested.isolation.cause is LOCAL
    assert tested.decide(of=4, at=3600) is None
    assert not tested.holds(TIMEOUT, of=4, at=3600)
    tested.heard(server(1), is_here=False, at=3601)
    assert tested.decide(of=4, at=3601) is Turn.HEALED


@pytest.mark.parametrize(
    ("of", "names", "doubts"),
    [(20, 2, False), (20, 3, True), (60, 3, True), (61, 3, False), (200, 9, False), (200, 10, True)],
)
def test_names_that_cannot_be_looked_up_any_more_are_the_resolvers_fault(of: int, names: int, doubts: bool) -> None:
    tested = MassFailure(interval=INTERVAL)
    silent(tested, *range(names), reason=DNS, began=1)
    # What is reached by its address, or over a connection that stands, knows nothing of the resolver.
    tested.heard(server(99), is_here=False, at=2)
    assert tested.holds(DNS, of=of, at=2) is doubts
    assert not tested.holds(TIMEOUT, of=of, at=2)
    tested.decide(of=of, at=2)
    assert tested.decide(of=of, at=3) is (Turn.ISOLATED if doubts else None)
    if doubts:
        assert tested.isolation is not None
        assert (tested.isolation.cause, tested.isolation.of_names) == (DNS, True)
        tested.looked_up(4)
        assert tested.decide(of=of, at=4) is Turn.HEALED


def test_a_name_that_is_found_shows_that_the_resolver_works() -> None:
    tested = MassFailure(interval=INTERVAL)
    tested.looked_up(1)
    tested.heard(server(99), is_here=False, at=1)
    silent(tested, 1, 2, 3, reason=DNS, began=0.5)
    assert not tested.holds(DNS, of=20, at=6)


def test_one_name_of_many_servers_is_not_the_resolvers_fault() -> None:
    tested = MassFailure(interval=INTERVAL)
    for number in range(5):
        tested.silent(server(number), Silence(DNS, "gone.example", is_here=False), began=1)
    tested.heard(server(9), is_here=False, at=2)
    assert not tested.holds(DNS, of=20, at=3)


def test_servers_that_are_down_or_not_watched_any_more_do_not_keep_it_going() -> None:
    tested = isolated()
    tested.forget(server(0))
    tested.keep(lambda each: each == server(1))
    assert tested.decide(of=1, at=11) is Turn.HEALED


STEP = st.tuples(st.integers(0, 7), st.sampled_from([OK, TIMEOUT, DNS, LOCAL]), st.floats(0.1, 12))


@given(st.integers(1, 8), st.lists(STEP, max_size=60))
@settings(deadline=None)
def test_whatever_happens_nothing_is_held_beyond_two_intervals_nor_in_a_small_fleet(
    of: int, steps: list[tuple[int, Reason, float]]
) -> None:
    tested = MassFailure(interval=INTERVAL)
    at, isolated_at = 0.0, None
    for number, reason, delay in steps:
        at += delay
        number %= of  # noqa: PLW2901  # a server that this fleet has
        if reason is OK:
            tested.heard(server(number), is_here=False, at=at)
        else:
            silent(tested, number, reason=reason, began=at - 0.05)
        turn = tested.decide(of=of, at=at)
        if turn is Turn.ISOLATED:
            assert isolated_at is None
            isolated_at = at
        elif turn is not None:
            assert isolated_at is not None
            assert turn is Turn.HEALED or at >= isolated_at + HOLD
            isolated_at = None
        held = tested.holds(TIMEOUT, of=of, at=at)
        assert not (held and (of < 3 or reason is OK))
        assert not held or isolated_at is None or at < isolated_at + HOLD
