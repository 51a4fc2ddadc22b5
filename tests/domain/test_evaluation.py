"""From evidence to verdict, as stories: each line is what the server answered and what is believed then."""

import pytest

from monitor.domain import evaluation
from monitor.domain.availability import Availability, Status
from monitor.domain.probe import Listing, ProbeResult, Reason
from monitor.domain.server import Policy
from tests.domain.verdicts import POLICY, Clock, Story, after

UNKNOWN, UP, DEGRADED, DOWN = Status.UNKNOWN, Status.UP, Status.DEGRADED, Status.DOWN
OK, BUSY, REFUSED, TIMEOUT, LOCAL = Reason.OK, Reason.BUSY, Reason.REFUSED, Reason.TIMEOUT, Reason.LOCAL


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        # The first verdict.
        ([OK], [UP]),
        ([BUSY], [DEGRADED]),
        ([REFUSED] * 3, [UNKNOWN, UNKNOWN, DOWN]),
        ([REFUSED, REFUSED, OK], [UNKNOWN, UNKNOWN, UP]),
        # Down only after three bad ones in a row, up again after two good ones in a row.
        ([OK, REFUSED, REFUSED, OK], [UP, UP, UP, UP]),
        ([OK, REFUSED, TIMEOUT, REFUSED], [UP, UP, UP, DOWN]),
        ([OK, REFUSED, REFUSED, OK, REFUSED, REFUSED], [UP] * 6),
        ([REFUSED] * 3 + [OK, OK], [UNKNOWN, UNKNOWN, DOWN, DOWN, UP]),
        ([REFUSED] * 3 + [OK, REFUSED, OK, OK], [UNKNOWN, UNKNOWN, DOWN, DOWN, DOWN, DOWN, UP]),
        ([REFUSED] * 3 + [OK, BUSY], [UNKNOWN, UNKNOWN, DOWN, DOWN, DEGRADED]),
        # Busy is alive.
        ([OK, BUSY, OK], [UP, DEGRADED, UP]),
        ([OK, REFUSED, REFUSED, BUSY, REFUSED, REFUSED], [UP, UP, UP] + [DEGRADED] * 3),
        # A fault of ours is no evidence, neither for nor against.
        ([LOCAL], [UNKNOWN]),
        ([OK] + [LOCAL] * 9, [UP] * 10),
        ([OK, REFUSED, LOCAL, REFUSED, LOCAL, REFUSED], [UP] * 5 + [DOWN]),
        ([REFUSED] * 3 + [OK, LOCAL, OK], [UNKNOWN, UNKNOWN, DOWN, DOWN, DOWN, UP]),
    ],
)
def test_a_verdict_needs_its_evidence_in_a_row(answers: list[Reason], statuses: list[Status]) -> None:
    story = Story()
    assert [story.probe(reason).status for reason in answers] == statuses


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in {OK, BUSY, LOCAL}])
def test_every_other_reason_counts_against_the_server(reason: Reason) -> None:
    assert after([OK, reason, reason, reason]).status is DOWN


@pytest.mark.parametrize("before", [[], [OK], [BUSY], [OK, REFUSED], [REFUSED] * 3, [REFUSED] * 3 + [OK]])
def test_a_credential_that_cannot_be_opened_needs_no_more_evidence(before: list[Reason]) -> None:
    state = after([*before, Reason.CREDENTIAL])
    assert (state.status, state.reason) == (DOWN, Reason.CREDENTIAL)
    assert not state.in_transition
    assert after([*before, Reason.CREDENTIAL, OK, OK]).status is UP


@pytest.mark.parametrize("previous", [Availability(), after([OK]), after([REFUSED] * 3), after([OK, REFUSED])])
def test_a_local_fault_changes_nothing_at_all(previous: Availability) -> None:
    result = ProbeResult(reason=LOCAL, detail="no file descriptors")
    assert evaluation.evaluate(previous, result, POLICY, at=99.0) is previous
    assert evaluation.evaluate_listing(previous, Listing(reason=LOCAL), at=99.0) is previous


def test_with_rise_and_fall_of_one_every_answer_is_a_verdict() -> None:
    story = Story(Policy(interval=POLICY.interval, timeout=POLICY.timeout, rise=1, fall=1))
    statuses = [story.probe(reason).status for reason in (REFUSED, OK, REFUSED, BUSY)]
    assert statuses == [DOWN, UP, DOWN, DEGRADED]


def test_reason_and_detail_belong_to_the_verdict_not_to_the_latest_answer() -> None:
    story = Story()
    story.probe(OK)
    state = story.probe(REFUSED, "connection refused")
    assert (state.status, state.reason, state.detail) == (UP, OK, "")
    story.probe(REFUSED, "connection refused")
    state = story.probe(TIMEOUT, "no answer")
    assert (state.status, state.reason, state.detail) == (DOWN, TIMEOUT, "no answer")
    state = story.probe(OK)
    assert (state.status, state.reason, state.detail) == (DOWN, TIMEOUT, "no answer")
    state = story.probe(OK)
    assert (state.status, state.reason, state.detail) == (UP, OK, "")


def test_two_causes_in_turn_make_no_noise() -> None:
    story = Story()
    settled = [story.probe(REFUSED, "refused") for _ in range(3)][-1]
    for _ in range(10):
        for reason in (TIMEOUT, REFUSED, TIMEOUT):
            state = story.probe(reason, "something else")
            assert (state.status, state.reason, state.detail) == (DOWN, settled.reason, settled.detail)
            assert state.changed_at == settled.changed_at


def test_a_new_cause_is_taken_over_once_it_was_seen_three_times_in_a_row() -> None:
    story = Story()
    went_down = [story.probe(REFUSED) for _ in range(3)][-1]
    reasons = [story.probe(TIMEOUT, "no answer").reason for _ in range(4)]
    assert reasons == [REFUSED, REFUSED, TIMEOUT, TIMEOUT]
    assert story.state.detail == "no answer"
    assert story.state.changed_at == went_down.changed_at


def test_a_good_answer_in_between_starts_the_count_of_a_new_cause_again() -> None:
    story = Story()
    for reason in [REFUSED] * 3 + [TIMEOUT, TIMEOUT, OK, TIMEOUT, TIMEOUT]:
        story.probe(reason)
    assert story.state.reason is REFUSED
    assert story.probe(TIMEOUT).reason is TIMEOUT


def test_the_time_of_a_change_is_that_of_the_status_and_of_nothing_else() -> None:
    story = Story(clock=Clock())
    assert story.probe(OK).changed_at == 1.0
    assert story.probe(REFUSED).changed_at == 1.0
    assert story.probe(OK).changed_at == 1.0
    assert story.probe(BUSY).changed_at == 4.0
    assert story.listing(Reason.SERVER_ERROR).changed_at == 4.0
    assert story.probe(OK).changed_at == 4.0
    assert story.listing(OK).changed_at == 7.0


@pytest.mark.parametrize(
    ("answers", "in_transition"),
    [
        ([], False),
        ([OK], False),
        ([OK, REFUSED], True),
        ([OK, REFUSED, OK], False),
        ([REFUSED], True),
        ([REFUSED] * 3, False),
        ([REFUSED] * 4, False),
        ([REFUSED] * 3 + [OK], True),
        ([REFUSED] * 3 + [OK, REFUSED], False),
        ([BUSY, REFUSED], True),
    ],
)
def test_in_transition_means_that_the_latest_answer_speaks_against_the_verdict(
    answers: list[Reason], in_transition: bool
) -> None:
    assert after(answers).in_transition is in_transition


def test_a_server_that_cannot_list_is_degraded_until_it_can() -> None:
    story = Story()
    story.probe(OK)
    state = story.listing(Reason.SERVER_ERROR, "500")
    assert (state.status, state.reason, state.detail) == (DEGRADED, Reason.LIST_FAILED, "server_error: 500")
    assert story.probe(OK) == story.listing(Reason.SERVER_ERROR, "500")
    assert (story.state.status, story.state.detail) == (DEGRADED, "server_error: 500")
    state = story.listing(OK)
    assert (state.status, state.reason, state.detail, state.list_failure) == (UP, OK, "", None)


@pytest.mark.parametrize("reason", [Reason.RESET, Reason.TIMEOUT])
def test_listings_without_an_answer_degrade_only_a_server_that_then_proves_alive(reason: Reason) -> None:
    alive, dying = Story(), Story()
    for story in (alive, dying):
        story.probe(OK)
        for _ in range(2):
            assert story.listing(reason, "gone").status is UP
    assert alive.probe(OK).reason is Reason.LIST_FAILED
    for _ in range(3):
        state = dying.probe(REFUSED)
        assert state.reason is not Reason.LIST_FAILED
    assert (state.status, state.list_failure) == (DOWN, None)


@pytest.mark.parametrize("reason", sorted(evaluation.UNREACHED))
def test_a_listing_that_had_no_connection_never_degrades_a_server_that_answers_after_it(reason: Reason) -> None:
    story = Story()
    story.probe(OK)
    for _ in range(3):
        story.listing(reason, "gone")
        assert story.probe(OK).status is UP
    story.listing(Reason.SERVER_ERROR, "500")
    assert story.listing(reason, "gone").detail == "server_error: 500"


@pytest.mark.parametrize("reason", sorted(evaluation.UNANSWERED))
@pytest.mark.parametrize("between", [[OK], [REFUSED, OK]])
def test_one_listing_without_an_answer_is_forgotten_with_a_good_one_or_a_bad_probe(
    reason: Reason, between: list[Reason]
) -> None:
    story = Story()
    story.probe(OK)
    for _ in range(3):
        story.listing(reason, "gone")
        for answer in between:
            story.probe(answer)
        if between == [OK]:
            story.listing(OK)
        assert story.probe(OK).status is UP


def test_a_second_cause_of_a_failed_listing_makes_no_noise() -> None:
    story = Story()
    story.probe(OK)
    state = story.listing(Reason.SERVER_ERROR, "500")
    assert story.listing(Reason.BAD_JSON, "not JSON") is state


def test_a_busy_server_stays_busy_and_its_failed_listing_shows_afterwards() -> None:
    story = Story()
    story.probe(BUSY, "503")
    for _ in range(2):
        state = story.listing(Reason.TIMEOUT, "no answer")
    assert (state.status, state.reason, state.detail) == (DEGRADED, BUSY, "503")
    state = story.probe(OK)
    assert (state.status, state.reason, state.detail) == (DEGRADED, Reason.LIST_FAILED, "timeout: no answer")
    state = story.probe(BUSY, "503")
    assert (state.status, state.reason, state.detail) == (DEGRADED, BUSY, "503")
    story.listing(OK)
    assert story.probe(OK).status is UP


@pytest.mark.parametrize("answers", [[], [REFUSED], [REFUSED] * 3, [REFUSED] * 3 + [OK]])
def test_a_listing_says_nothing_about_a_server_that_is_not_known_to_be_alive(answers: list[Reason]) -> None:
    previous = after(answers)
    assert evaluation.evaluate_listing(previous, Listing(reason=Reason.SERVER_ERROR), at=99.0) is previous
    assert evaluation.evaluate_listing(previous, Listing(reason=OK), at=99.0) is previous


def test_a_server_that_went_down_comes_back_without_its_old_listing_failure() -> None:
    story = Story()
    story.probe(OK)
    story.listing(Reason.SERVER_ERROR, "500")
    assert story.probe(REFUSED).list_failure == "server_error: 500"
    for reason in [REFUSED, REFUSED, OK, OK]:
        story.probe(reason)
    assert (story.state.status, story.state.list_failure) == (UP, None)


def test_the_detail_of_a_failed_listing_is_bounded() -> None:
    story = Story()
    story.probe(OK)
    assert len(story.listing(Reason.SERVER_ERROR, "x" * 500).detail) == 200


def test_lists_that_are_let_through_now_and_then_change_nothing() -> None:
    story = Story()
    story.probe(OK)
    since = story.state.changed_at
    for number in range(120):
        story.clock.now += 10
        story.listing(OK if number % 7 == 0 else BUSY, "429")
        story.probe(OK)
        assert (story.state.status, story.state.reason, story.state.changed_at) == (UP, OK, since)


def test_a_list_that_is_refused_for_long_degrades_once_and_the_next_good_one_mends_it() -> None:
    story = Story()
    story.probe(OK)
    began = story.clock.now
    statuses = []
    while story.clock.now - began <= 2 * evaluation.LIST_PATIENCE:
        statuses.append(story.listing(BUSY, "429").status)
        story.probe(OK)
        story.clock.now += 30
    assert statuses == sorted(statuses, key=[UP, DEGRADED].index)
    assert statuses.count(UP) == pytest.approx(evaluation.LIST_PATIENCE / 30, abs=2)
    assert (story.state.reason, story.state.detail) == (Reason.LIST_FAILED, "busy: 429")
    assert story.listing(OK).status is UP
    assert story.listing(BUSY, "429").status is UP


def test_a_list_that_is_refused_leaves_a_server_degraded_that_was_so() -> None:
    story = Story()
    story.probe(OK)
    story.listing(Reason.SERVER_ERROR, "500")
    state = story.listing(BUSY, "429")
    assert (state.status, state.detail) == (DEGRADED, "server_error: 500")


def test_the_patience_with_refused_lists_begins_anew_with_a_server_that_was_down() -> None:
    story = Story()
    story.probe(OK)
    story.listing(BUSY, "429")
    for reason in [REFUSED, REFUSED, REFUSED, OK, OK]:
        story.clock.now += evaluation.LIST_PATIENCE / 2
        story.probe(reason)
    assert story.listing(BUSY, "429").status is UP
