"""Flap damping: when a server flaps, when it is done, and how little is told of one that comes and goes."""

import random
from datetime import timedelta

import pytest

from monitor.domain import evaluation, flap, schedule
from monitor.domain.availability import Availability, Status
from monitor.domain.flap import CALM, Flap
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.server import Policy

INTERVAL = timedelta(seconds=15)
POLICY = Policy(interval=INTERVAL, timeout=timedelta(seconds=5), rise=2, fall=3)
UP, DOWN, FLAPPING, CALMED = "up", "down", "flapping", "calmed"


def changed(*times: float) -> Flap:
    """A server whose verdict changed at these times, its answers with it."""
    state = CALM
    for number, at in enumerate(times):
        state = flap.after_answer(state, good=number % 2 == 1, interval=INTERVAL, at=at)
        state = flap.after_change(state, interval=INTERVAL, at=at)
    return state


@pytest.mark.parametrize(
    ("times", "since"),
    [
        ((), None),
        ((0, 1, 2, 3), None),
        ((0, 1, 2, 3, 4), 4),
        ((0, 75, 150, 225, 300), 300),
        ((0, 76, 152, 228, 301), None),
        ((0, 76, 152, 228, 301, 302), 302),
        ((0, 1, 2, 3, 4, 100), 4),
    ],
)
def test_five_changes_within_twenty_intervals_are_flapping(times: tuple[float, ...], since: float | None) -> None:
    assert changed(*times).since == since


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((0, 1, 2, 3, 4), "5 changes in 4 s"),
        ((0, 1, 2, 3, 119), "5 changes in 119 s"),
        ((0, 75, 150, 225, 240), "5 changes in 4 min"),
        ((), "It comes and goes."),
    ],
)
def test_the_facts_of_a_bout_say_how_often_within_what_time(times: tuple[float, ...], words: str) -> None:
    assert flap.facts(changed(*times)) == words


def test_a_server_that_flaps_is_down_for_that_reason_whatever_it_answers_and_for_the_true_one_after_it() -> None:
    state, at = Availability(), 0.0
    told: list[tuple[Reason | None, str]] = []

    def answer(reason: Reason, times: int) -> None:
        nonlocal state, at
        for _ in range(times):
            at += 1
            state = evaluation.evaluate(state, ProbeResult(reason=reason, detail="nobody"), POLICY, at=at)
            if state.status is Status.DOWN and (not told or told[-1] != (state.reason, state.detail)):
                told.append((state.reason, state.detail))

    answer(Reason.OK, 1)
    for _ in range(3):
        answer(Reason.REFUSED, POLICY.fall)
        answer(Reason.OK, POLICY.rise)
    assert state.flapping
    for _ in range(5):
        answer(Reason.REFUSED, POLICY.fall + 1)
        answer(Reason.OK, POLICY.rise)
    assert told == [(Reason.REFUSED, "nobody"), (Reason.FLAPPING, "5 changes in 10 s")]
    answer(Reason.RESET, 60 + 2)
    assert not state.flapping
    assert told[2:] == [(Reason.RESET, "nobody")]
    # A credential that cannot be opened is no matter of coming and going.
    answer(Reason.CREDENTIAL, 1)
    assert state.reason is Reason.CREDENTIAL


@pytest.mark.parametrize("good", [True, False])
def test_a_bout_ends_when_the_answers_were_alike_for_four_intervals(good: bool) -> None:
    state = flap.after_answer(changed(0, 1, 2, 3, 4), good=good, interval=INTERVAL, at=10)
    began = state.steady_since
    assert flap.after_answer(state, good=good, interval=INTERVAL, at=began + 59).since == 4
    ended = flap.after_answer(state, good=good, interval=INTERVAL, at=began + 60)
    assert (ended.since, ended.ended_at) == (None, began + 60)
    other = flap.after_answer(state, good=not good, interval=INTERVAL, at=began + 60)
    assert (other.since, other.steady_since) == (4, began + 60)


def test_the_change_that_ends_a_bout_does_not_count_and_the_next_one_begins_a_longer_bout() -> None:
    state = changed(0, 1, 2, 3, 4)
    quiets = []
    at = 5.0
    for _ in range(5):
        quiets.append(state.quiet)
        state = flap.after_answer(state, good=False, interval=INTERVAL, at=at)
        state = flap.after_answer(state, good=True, interval=INTERVAL, at=at)
        at += state.quiet * 15
        state = flap.after_answer(state, good=True, interval=INTERVAL, at=at)
        assert flap.after_change(state, interval=INTERVAL, at=at) is state
        for _ in range(5):
            at += 1
            state = flap.after_change(state, interval=INTERVAL, at=at)
        assert state.since is not None
    assert quiets == [4, 8, 16, 20, 20]


def test_after_twenty_quiet_intervals_a_bout_is_short_again() -> None:
    state = flap.after_answer(changed(0, 1, 2, 3, 4), good=True, interval=INTERVAL, at=5)
    state = flap.after_answer(state, good=True, interval=INTERVAL, at=65)
    assert state.since is None
    for at in range(366, 371):
        state = flap.after_change(state, interval=INTERVAL, at=at)
    assert (state.since, state.quiet) == (370, 4)


class Life:
    """One server watched in virtual time, by the rules for verdicts and for when to look."""

    def __init__(self, *, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.state = Availability()
        self.told: list[tuple[float, str]] = []

    def watch(self, *, until: float, half_period: float) -> None:
        """Probe on until a time, with the server changing every `half_period` seconds between good and dead."""
        while self.now < until:
            good = self.now // half_period % 2 == 0
            self.probe(ProbeResult(reason=Reason.OK if good else Reason.REFUSED))

    def probe(self, result: ProbeResult) -> None:
        """Take in one answer, note what is told, and go on to the next."""
        before, self.state = self.state, evaluation.evaluate(self.state, result, POLICY, at=self.now)
        if before.status is not self.state.status:
            self.told.append((self.now, UP if self.state.available else DOWN))
        if before.flapping is not self.state.flapping:
            self.told.append((self.now, FLAPPING if self.state.flapping else CALMED))
        jitter = self.chance.uniform(-1, 1)
        self.now += schedule.delay_after(self.state, POLICY, at=self.now, jitter=jitter)
        self.now += self.chance.uniform(0.001, 0.05)

    def count(self, what: str) -> int:
        """How often something was told."""
        return len([each for _, each in self.told if each == what])


@pytest.mark.parametrize("half_period", [0.5, 1.0, 2.5, 5.0, 7.0])
@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_of_flapping_tell_little_and_the_truth_comes_out_when_they_end(
    half_period: float, seed: int
) -> None:
    life = Life(seed=seed)
    life.watch(until=600, half_period=half_period)
    assert life.count(UP) + life.count(DOWN) <= 10
    assert life.count(FLAPPING) <= 1
    stopped = life.now
    while life.now < stopped + 20 * 15 + 30:
        life.probe(ProbeResult(reason=Reason.OK))
    assert life.state.status is Status.UP
    assert not life.state.flapping
    assert life.count(FLAPPING) == life.count(CALMED)


def test_one_that_flaps_at_one_hertz_before_every_probe_is_told_to_flap_once() -> None:
    # The worst case: every answer is what it takes to change the verdict.
    life = Life(seed=1)
    while life.now < 600:
        for _ in range(POLICY.rise):
            life.probe(ProbeResult(reason=Reason.OK))
        for _ in range(POLICY.fall):
            life.probe(ProbeResult(reason=Reason.REFUSED))
        life.now = float(round(life.now))
    assert [what for _, what in life.told] == [UP, DOWN, UP, DOWN, UP, DOWN, FLAPPING]


def test_one_that_comes_back_for_longer_than_the_first_bout_is_caught_by_the_next() -> None:
    life = Life(seed=1)
    while life.now < 3600:
        end = life.now + 70
        while life.now < end:
            life.probe(ProbeResult(reason=Reason.OK))
        for _ in range(POLICY.fall):
            life.probe(ProbeResult(reason=Reason.REFUSED))
    assert life.count(UP) + life.count(DOWN) <= 10
    assert life.count(FLAPPING) == 2


def test_our_own_faults_do_not_interrupt_a_quiet_time() -> None:
    state = Availability(status=Status.DOWN, flap=changed(0, 1, 2, 3, 4))
    good = ProbeResult(reason=Reason.OK)
    state = evaluation.evaluate(state, good, POLICY, at=10)
    state = evaluation.evaluate(state, ProbeResult(reason=Reason.LOCAL), POLICY, at=30)
    state = evaluation.evaluate(state, good, POLICY, at=70)
    assert (state.status, state.flapping) == (Status.UP, False)


def test_a_server_that_dies_in_a_bout_is_down_at_once_and_done_flapping_when_that_lasts() -> None:
    state = Availability(status=Status.UP, reason=Reason.OK, flap=Flap(since=0.0, good=True, steady_since=0.0))
    bad = ProbeResult(reason=Reason.REFUSED)
    for at in (1, 2, 3):
        state = evaluation.evaluate(state, bad, POLICY, at=at)
    assert (state.status, state.flapping) == (Status.DOWN, True)
    state = evaluation.evaluate(state, bad, POLICY, at=61)
    assert (state.status, state.flapping) == (Status.DOWN, False)
