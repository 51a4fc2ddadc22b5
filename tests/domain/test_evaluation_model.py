"""The state machine of verdicts against a slow model that keeps every answer and derives the verdict from them all."""

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.domain.availability import Status
from monitor.domain.probe import Reason
from monitor.domain.server import Policy
from tests.domain.verdicts import Story

ALIVE = {Reason.OK, Reason.BUSY}
UNANSWERED = {Reason.REFUSED, Reason.TIMEOUT}
BAD = st.sampled_from([Reason.REFUSED, Reason.TIMEOUT, Reason.AUTH])
Shown = tuple[Status, Reason | None, str, str | None]
DETAILS = st.sampled_from(["one", "two"])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of the server's life, a listing's or a probe's, and when it came."""

    listing: bool
    reason: Reason
    detail: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be shown after a history, and the listing failure that is remembered."""

    status: Status = Status.UNKNOWN
    reason: Reason | None = None
    detail: str = ""
    list_failure: str | None = None
    changed_at: float = float("-inf")


class Model:
    """Says what every prefix of a history leads to, looking only at the answers."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.history: list[Answer] = []
        self._verdicts = [Verdict()]

    def add(self, answer: Answer) -> None:
        """Remember one more answer; one that is our own fault never was."""
        if answer.reason is not Reason.LOCAL:
            self.history.append(answer)
            self._verdicts.append(self._derive())

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole history."""
        return self._verdicts[-1]

    def run(self, *, good: bool) -> int:
        """Return how many of the latest probes in a row were good, or bad."""
        length = 0
        for answer in reversed(self.history):
            if answer.listing:
                continue
            if (answer.reason in ALIVE) is not good:
                break
            length += 1
        return length

    def _derive(self) -> Verdict:
        latest, before = self.history[-1], self._verdicts[-1]
        shown = self._after_listing if latest.listing else self._after_probe
        status, reason, detail, failure = shown(latest, before)
        if (status, reason) == (before.status, before.reason):
            detail = before.detail
        changed_at = before.changed_at if status is before.status else latest.at
        return Verdict(status=status, reason=reason, detail=detail, list_failure=failure, changed_at=changed_at)

    def _after_listing(self, latest: Answer, before: Verdict) -> Shown:
        if before.status not in {Status.UP, Status.DEGRADED}:
            return _unchanged(before)
        failure = None
        if latest.reason is not Reason.OK:
            failure = before.list_failure or f"{latest.reason}: {latest.detail}"
        if failure == before.list_failure or before.reason is Reason.BUSY or latest.reason in UNANSWERED:
            return before.status, before.reason, before.detail, failure
        return _alive(Reason.OK, "", failure)

    def _after_probe(self, latest: Answer, before: Verdict) -> Shown:
        if latest.reason in ALIVE:
            if before.status is Status.DOWN and self.run(good=True) < self.policy.rise:
                return _unchanged(before)
            return _alive(latest.reason, latest.detail, before.list_failure)
        if self.run(good=False) < self.policy.fall and before.status is not Status.DOWN:
            kept = before.list_failure if before.status is Status.DEGRADED else None
            return before.status, before.reason, before.detail, kept
        last = [answer.reason for answer in self.history if not answer.listing][-self.policy.fall :]
        same_cause = len(last) == self.policy.fall and set(last) == {latest.reason}
        if before.status is Status.DOWN and not same_cause:
            return _unchanged(before)
        return Status.DOWN, latest.reason, latest.detail, None


def _unchanged(before: Verdict) -> Shown:
    return before.status, before.reason, before.detail, before.list_failure


def _alive(reason: Reason, detail: str, failure: str | None) -> Shown:
    if reason is Reason.BUSY:
        return Status.DEGRADED, reason, detail, failure
    if failure is not None:
        return Status.DEGRADED, Reason.LIST_FAILED, failure, failure
    return Status.UP, Reason.OK, detail, None


class Evaluation(RuleBasedStateMachine):
    """Any server's life, with any policy."""

    @initialize(rise=st.integers(1, 4), fall=st.integers(1, 4))
    def start(self, rise: int, fall: int) -> None:
        """Begin with a server that nothing is known of."""
        policy = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=rise, fall=fall)
        self.story = Story(policy)
        self.model = Model(policy)

    def _take(self, *, listing: bool, reason: Reason, detail: str = "") -> None:
        before = self.story.state
        if listing:
            self.story.listing(reason, detail)
        else:
            self.story.probe(reason, detail)
        self.model.add(Answer(listing=listing, reason=reason, detail=detail, at=self.story.clock.now))
        if reason is Reason.LOCAL:
            assert self.story.state is before

    @rule()
    def answers(self) -> None:
        """The server answers as it should."""
        self._take(listing=False, reason=Reason.OK)

    @rule(detail=DETAILS)
    def is_busy(self, detail: str) -> None:
        """The server says that it has too much to do."""
        self._take(listing=False, reason=Reason.BUSY, detail=detail)

    @rule(reason=BAD, detail=DETAILS, times=st.integers(1, 5))
    def fails(self, reason: Reason, detail: str, times: int) -> None:
        """Probes in a row fail for the same cause."""
        for _ in range(times):
            self._take(listing=False, reason=reason, detail=detail)

    @rule(listing=st.booleans())
    def we_fail(self, listing: bool) -> None:
        """The fault is our own."""
        self._take(listing=listing, reason=Reason.LOCAL, detail="no descriptors")

    @rule()
    def lists(self) -> None:
        """The server lists its models."""
        self._take(listing=True, reason=Reason.OK)

    @rule(reason=BAD, detail=DETAILS)
    def cannot_list(self, reason: Reason, detail: str) -> None:
        """The server cannot list its models."""
        self._take(listing=True, reason=reason, detail=detail)

    @invariant()
    def the_verdict_is_the_models(self) -> None:
        """What is shown is what the whole history says."""
        state, verdict = self.story.state, self.model.verdict
        shown = Verdict(
            status=state.status,
            reason=state.reason,
            detail=state.detail,
            list_failure=state.list_failure,
            changed_at=state.changed_at,
        )
        assert shown == verdict

    @invariant()
    def the_evidence_is_what_came_in_a_row(self) -> None:
        """The counters are the latest runs, and the verdict stands on them."""
        state = self.story.state
        assert state.good == self.model.run(good=True)
        assert state.bad == self.model.run(good=False)
        assert not (state.good and state.bad)
        if state.bad >= self.story.policy.fall:
            assert state.status is Status.DOWN
        if state.good >= self.story.policy.rise:
            assert state.status in {Status.UP, Status.DEGRADED}


TestEvaluation = Evaluation.TestCase
TestEvaluation.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
