"""A slow, obvious model of verdicts: it keeps every answer and derives the verdict from them all."""

from dataclasses import dataclass, replace
from itertools import pairwise

from monitor.domain import flap
from monitor.domain.availability import Status
from monitor.domain.probe import Reason
from monitor.domain.server import Policy

ALIVE = {Reason.OK, Reason.BUSY}
UNREACHED, UNANSWERED = {Reason.REFUSED}, {Reason.TIMEOUT}
Shown = tuple[Status, Reason | None, str, str | None]


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


@dataclass(kw_only=True)
class Bout:
    """A time during which the server flapped."""

    began: float
    quiet: float
    ended: float | None = None


class Model:
    """Says what every prefix of a history leads to, looking only at the answers."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.history: list[Answer] = []
        self.bouts: list[Bout] = []
        self._verdicts = [Verdict()]
        self._changes: list[float] = []
        self._interval = policy.interval.total_seconds()

    def add(self, answer: Answer) -> None:
        """Remember one more answer; one that is our own fault never was."""
        if answer.reason is not Reason.LOCAL:
            self.history.append(answer)
            if not answer.listing and self.flapping and self._steady_for() >= self.bouts[-1].quiet:
                self.bouts[-1].ended = answer.at
            self._verdicts.append(self._derive())
            self._note_change(answer.at)
            self._call_restless()

    @property
    def flapping(self) -> bool:
        """Whether a bout has begun and not ended."""
        return bool(self.bouts) and self.bouts[-1].ended is None

    def _steady_for(self) -> float:
        probes = [answer for answer in self.history if not answer.listing]
        alike = probes[-1].reason in ALIVE
        since = next(
            (later.at for earlier, later in reversed(list(pairwise(probes))) if (earlier.reason in ALIVE) is not alike),
            probes[0].at,
        )
        return probes[-1].at - since

    def _note_change(self, at: float) -> None:
        before, after = (verdict.status for verdict in self._verdicts[-2:])
        released = bool(self.bouts) and self.bouts[-1].ended == at
        if Status.UNKNOWN in {before, after} or released or (before is Status.DOWN) is (after is Status.DOWN):
            return
        self._changes.append(at)
        window = flap.WINDOW * self._interval
        if not self.flapping and len([each for each in self._changes if at - each <= window]) >= flap.CHANGES:
            last = self.bouts[-1] if self.bouts else None
            again = last is not None and last.ended is not None and at - last.ended <= window
            quiet = min(window, 2 * last.quiet) if last and again else flap.QUIET * self._interval
            self.bouts.append(Bout(began=at, quiet=quiet))

    def _call_restless(self) -> None:
        """Say of a server that flaps and is down how restless it was when that began."""
        verdict = self._verdicts[-1]
        if self.flapping and verdict.status is Status.DOWN and verdict.reason is not Reason.FLAPPING:
            newest = self._changes[-flap.CHANGES :]
            # As short as a test's life is, it is told in seconds.
            detail = f"{flap.CHANGES} changes in {newest[-1] - newest[0]:.0f} s"
            self._verdicts[-1] = replace(verdict, reason=Reason.FLAPPING, detail=detail)

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
        if before.status not in {Status.UP, Status.DEGRADED} or latest.reason in UNREACHED:
            return _unchanged(before)
        if latest.reason in UNANSWERED and before.list_failure is None and not self._listing_before_had_no_answer():
            return _unchanged(before)
        failure = None
        if latest.reason is not Reason.OK:
            failure = before.list_failure or f"{latest.reason}: {latest.detail}"
        if failure == before.list_failure or before.reason is Reason.BUSY or latest.reason in UNANSWERED:
            return before.status, before.reason, before.detail, failure
        return _alive(Reason.OK, "", failure)

    def _listing_before_had_no_answer(self) -> bool:
        """Return what the last listing of a server that was alive came to, forgotten with the first bad probe."""
        for answer, before in reversed(list(zip(self.history[:-1], self._verdicts, strict=False))):
            if not answer.listing and answer.reason not in ALIVE:
                return False
            counts = answer.listing and before.status in {Status.UP, Status.DEGRADED}
            if counts and answer.reason not in UNREACHED:
                return answer.reason in UNANSWERED
        return False

    def _after_probe(self, latest: Answer, before: Verdict) -> Shown:
        if latest.reason in ALIVE:
            too_early = self.run(good=True) < self.policy.rise or self.flapping
            if before.status is Status.DOWN and too_early:
                return _unchanged(before)
            return _alive(latest.reason, latest.detail, before.list_failure)
        if self.run(good=False) < self.policy.fall and before.status is not Status.DOWN:
            kept = before.list_failure if before.status is Status.DEGRADED else None
            return before.status, before.reason, before.detail, kept
        last = [answer.reason for answer in self.history if not answer.listing][-self.policy.fall :]
        same_cause = len(last) == self.policy.fall and set(last) == {latest.reason}
        if before.reason is Reason.FLAPPING:
            same_cause = not self.flapping
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
