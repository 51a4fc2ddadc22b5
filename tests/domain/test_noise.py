"""What a server may have us do and tell: allowances, and a server that goes beyond them until it is quiet."""

from dataclasses import replace

import pytest

from monitor.domain import evaluation, noise
from monitor.domain.availability import Availability, Status
from monitor.domain.noise import CHANGES, MOST_QUIET, QUIET, WINDOW, Allowance, Noise
from monitor.domain.probe import Listing, ProbeResult, Reason
from tests.domain.verdicts import POLICY

BIGGEST = 10_000
MINUTE, HOUR = 60.0, 3600.0


def heard(state: Noise, said: int, changes: int, *, at: float) -> tuple[Noise, int]:
    """One answer with so many changes; return the state after it, and how many were told."""
    state = noise.after_answer(state, said, at=at)
    if not state.is_heard(at):
        return state, 0
    state = noise.after_changes(state, changes, at=at)
    return state, 0 if state.is_noisy else changes


def test_an_allowance_is_spent_and_grows_back_to_no_more_than_it_was() -> None:
    full = Allowance(most=10, each_second=0.5)
    assert full.available(1e9) == full.available(0) == 10
    spent = full.less(8, at=100)
    assert [spent.available(at) for at in (100, 102, 116, 1000)] == [2, 3, 10, 10]
    assert spent.less(5, at=100).available(100) == 0


def test_the_longest_list_is_told_whole_and_its_capabilities_too() -> None:
    state, told = heard(Noise(), 1, BIGGEST, at=1e6)
    assert told == BIGGEST
    state, told = heard(state, 2, BIGGEST, at=1e6 + MINUTE)
    assert (told, state.is_noisy) == (BIGGEST, False)


def test_300_models_pulled_anew_each_hour_are_no_noise() -> None:
    state = Noise()
    for hour in range(24 * 30):
        state, told = heard(state, hour, 300, at=hour * HOUR)
        assert told == 300


def test_what_changes_without_end_makes_a_bounded_number_of_events() -> None:
    state, total = Noise(), 0
    for listing in range(7 * 24 * 60):
        state, told = heard(state, listing, BIGGEST, at=listing * MINUTE)
        total += told
    assert (total, state.is_noisy) == (2 * BIGGEST, True)


@pytest.mark.parametrize("rest", [QUIET, QUIET + MINUTE, HOUR, MOST_QUIET])
def test_who_keeps_quiet_just_long_enough_each_time_gains_little(rest: float) -> None:
    state, total, at, said = Noise(), 0, 0.0, 0
    changed_at, week = 0.0, 7 * 24 * HOUR
    while at < week:
        if at - changed_at >= rest:
            said, changed_at = said + 1, at
        state, told = heard(state, said, 2 * BIGGEST if at == changed_at or state.is_noisy else 0, at=at)
        total += told
        at += MINUTE
    assert total < 6 * week


def test_a_bout_ends_when_the_same_was_said_for_long_enough_and_then_all_is_told() -> None:
    state = replace(Noise(), allowance=CHANGES.less(CHANGES.most, at=0))
    state, told = heard(state, 1, 100, at=10)
    assert (told, state.is_noisy) == (0, True)
    state, told = heard(state, 2, 100, at=20)
    for at in (80, 200, 20 + QUIET - 1):
        state, told = heard(state, 2, 100, at=at)
        assert (told, state.is_noisy) == (0, True)
    state, told = heard(state, 2, 100, at=20 + QUIET)
    assert (told, state.is_noisy) == (100, False)


def test_a_bout_soon_after_another_takes_twice_as_long_to_end_up_to_a_bound() -> None:
    state, at, waits = Noise(), 0.0, []
    for bout in range(8):
        state = noise.after_changes(noise.after_answer(state, 2 * bout, at=at), 3 * BIGGEST, at=at)
        assert state.is_noisy
        waits.append(state.quiet)
        at += state.quiet
        state = noise.after_changes(state, 0, at=at)
        assert not state.is_noisy
        at += MINUTE
    assert waits == [300, 600, 1200, 2400, 4800, 7200, 7200, 7200]
    later = noise.after_changes(state, 3 * BIGGEST, at=at + WINDOW)
    assert later.quiet == QUIET


def test_a_noisy_server_that_is_alive_is_degraded_and_says_why() -> None:
    up = Availability(status=Status.UP, reason=Reason.OK)
    noisy = evaluation.evaluate_noise(up, "It changes too much.", at=5)
    assert (noisy.status, noisy.reason, noisy.detail) == (Status.DEGRADED, Reason.NOISY, "It changes too much.")
    assert evaluation.evaluate(noisy, ProbeResult(reason=Reason.OK), POLICY, at=6).reason is Reason.NOISY
    failed = evaluation.evaluate_listing(noisy, Listing(reason=Reason.SERVER_ERROR, detail="500"), at=7)
    assert failed.reason is Reason.LIST_FAILED
    assert evaluation.evaluate_listing(failed, Listing(reason=Reason.OK), at=8).reason is Reason.NOISY
    quiet = evaluation.evaluate_noise(noisy, None, at=9)
    assert (quiet.status, quiet.reason) == (Status.UP, Reason.OK)


def test_noise_takes_no_server_up_or_down() -> None:
    for before in (Availability(), Availability(status=Status.DOWN, reason=Reason.REFUSED)):
        assert evaluation.evaluate_noise(before, "noise", at=5).status is before.status
