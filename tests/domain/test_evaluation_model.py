"""The state machine of verdicts against a slow model that keeps every answer and derives the verdict from them all."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.domain.availability import Status
from monitor.domain.probe import Reason
from monitor.domain.server import Policy
from tests.domain.verdict_model import Answer, Model, Verdict
from tests.domain.verdicts import Story

BAD = st.sampled_from([Reason.REFUSED, Reason.TIMEOUT, Reason.AUTH])
DETAILS = st.sampled_from(["one", "two"])


class Evaluation(RuleBasedStateMachine):
    """Any server's life, with any policy."""

    @initialize(rise=st.integers(1, 4), fall=st.integers(1, 4))
    def start(self, rise: int, fall: int) -> None:
        """Begin with a server that nothing is known of."""
        # An interval as short as the time between answers, so that there is much flapping in few answers.
        policy = Policy(interval=timedelta(seconds=1), timeout=timedelta(seconds=1), rise=rise, fall=fall)
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

    @rule(times=st.integers(1, 25))
    def answers_steadily(self, times: int) -> None:
        """Probes in a row are good."""
        for _ in range(times):
            self._take(listing=False, reason=Reason.OK)

    @rule(times=st.integers(1, 4))
    def comes_and_goes(self, times: int) -> None:
        """The server is there, and gone, for as long as a verdict takes."""
        for _ in range(times):
            for _ in range(self.story.policy.rise):
                self._take(listing=False, reason=Reason.OK)
            for _ in range(self.story.policy.fall):
                self._take(listing=False, reason=Reason.REFUSED)

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        """Nobody asks for a while."""
        self.story.clock.now += seconds

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
    def it_flaps_when_the_model_does(self) -> None:
        """A bout begins, and ends, when the whole history says so."""
        assert self.story.state.flapping is self.model.flapping
        assert self.story.state.flap.since == (self.model.bouts[-1].began if self.model.flapping else None)

    @invariant()
    def the_evidence_is_what_came_in_a_row(self) -> None:
        """The counters are the latest runs, and the verdict stands on them."""
        state = self.story.state
        assert state.good == self.model.run(good=True)
        assert state.bad == self.model.run(good=False)
        assert not (state.good and state.bad)
        if state.bad >= self.story.policy.fall:
            assert state.status is Status.DOWN
        if state.good >= self.story.policy.rise and not state.flapping:
            assert state.status in {Status.UP, Status.DEGRADED}


TestEvaluation = Evaluation.TestCase
TestEvaluation.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
