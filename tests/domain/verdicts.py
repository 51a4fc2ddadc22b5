"""One server's answers one after the other, so that tests read as stories."""

from collections.abc import Iterable
from datetime import timedelta

from monitor.domain import evaluation
from monitor.domain.availability import Availability
from monitor.domain.probe import Listing, ProbeResult, Reason
from monitor.domain.server import Policy

POLICY = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)


class Clock:
    """Monotonic time that goes on by one second with each look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def tick(self) -> float:
        """Return the next second."""
        self.now += 1
        return self.now


class Story:
    """What is believed of one server while its answers come in."""

    def __init__(self, policy: Policy = POLICY, *, clock: Clock | None = None) -> None:
        self.policy = policy
        self.clock = clock or Clock()
        self.state = Availability()

    def probe(self, reason: Reason, detail: str = "") -> Availability:
        """Take in the answer of one more probe."""
        result = ProbeResult(reason=reason, detail=detail)
        self.state = evaluation.evaluate(self.state, result, self.policy, at=self.clock.tick())
        return self.state

    def listing(self, reason: Reason, detail: str = "") -> Availability:
        """Take in the answer of one more listing."""
        listing = Listing(reason=reason, detail=detail)
        self.state = evaluation.evaluate_listing(self.state, listing, at=self.clock.tick())
        return self.state


def after(answers: Iterable[Reason]) -> Availability:
    """Return what is believed after these answers."""
    story = Story()
    for reason in answers:
        story.probe(reason)
    return story.state
