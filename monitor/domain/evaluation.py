"""From evidence to verdict: a pure state machine that is handed the time.

Invariant: `status` leaves `down` only after `rise` good probes in a row, and becomes `down` only
after `fall` bad ones in a row; a first good probe ends `unknown` at once. A `local` fault says
nothing about the server, so it changes nothing. The reason and detail shown always belong to the
verdict shown: a server that is down for one cause takes over another one only after that has been
seen `fall` times in a row, so two alternating causes make no noise. A listing that failed degrades
a server only when something shows that the server is alive: the answer itself, or a good probe after it.
One that had no connection never does, since a good probe after it shows that this is over; one that had a
connection and no answer only if the next listing fares no better. A listing that was refused for being asked
too often changes nothing, unless that goes on for `LIST_PATIENCE`.
A server that flaps stays down for as long as it does (`flap`), however many good probes there are, and that is
the reason shown: the cause of its last failure would be said of a server that answers.
A credential that cannot be opened is no matter of evidence: it takes a server down at once.
"""

from dataclasses import replace

from monitor.domain import flap
from monitor.domain.availability import Availability, Status
from monitor.domain.probe import MAX_DETAIL, Listing, ProbeResult, Reason
from monitor.domain.server import Policy

ALIVE = frozenset({Reason.OK, Reason.BUSY})
# Known here, without asking the server: another probe would tell nothing new.
CERTAIN = frozenset({Reason.CREDENTIAL})
# Seconds for which a list may be refused because it is asked for too often (429) before that counts: a limit of a proxy
# lets some lists through and others not, and the server is well all the time.
LIST_PATIENCE = 600.0
# No connection came about, which is a matter of the server and not of its list: the next probe says what that means.
UNREACHED = frozenset({Reason.DNS, Reason.REFUSED, Reason.UNREACHABLE, Reason.CONNECT_TIMEOUT, Reason.TLS})
# A listing that failed for one of these may just as well be the first sign that the server is gone.
UNANSWERED = frozenset({Reason.TIMEOUT, Reason.RESET})


def evaluate(previous: Availability, result: ProbeResult, policy: Policy, *, at: float) -> Availability:
    """Return the availability after one more probe; `at` is monotonic seconds."""
    if result.reason is Reason.LOCAL:
        return previous
    good = result.reason in ALIVE
    restless = flap.after_answer(previous.flap, good=good, interval=policy.interval, at=at)
    noted = previous if restless is previous.flap else replace(previous, flap=restless)
    after = _after_good(noted, result, policy, at=at) if good else _after_bad(noted, result, policy, at=at)
    if Status.UNKNOWN in {previous.status, after.status} or previous.available is after.available:
        return _restless(after)
    return _restless(replace(after, flap=flap.after_change(after.flap, interval=policy.interval, at=at)))


def hold(previous: Availability, after: Availability) -> Availability:
    """Return the verdict from before a probe with the evidence from after it: what it says may be our own fault."""
    return replace(previous, good=after.good, bad=after.bad, suspect=after.suspect, suspect_count=after.suspect_count)


def pardon(held: Availability) -> Availability:
    """Return the verdict without the evidence against it, which turned out to be our own fault."""
    if held.status is Status.DOWN:
        return held
    return replace(pardon_listing(held), bad=0, suspect=None, suspect_count=0)


def pardon_listing(held: Availability) -> Availability:
    """Return the verdict without a listing that failed and has not shown yet, which was our own fault as well."""
    return replace(held, list_doubt=False, list_failure=held.list_failure if held.status is Status.DEGRADED else None)


def evaluate_listing(previous: Availability, listing: Listing, *, at: float) -> Availability:
    """Return the availability after a listing: a server that is alive but cannot list is `degraded`."""
    if listing.reason in UNREACHED | {Reason.LOCAL} or previous.status not in {Status.UP, Status.DEGRADED}:
        return previous
    refused_since = None
    if listing.reason is Reason.BUSY:
        refused_since = at if previous.list_refused_since is None else previous.list_refused_since
        if at - refused_since < LIST_PATIENCE:
            return _with_refusals(previous, refused_since)
    previous = _with_refusals(previous, refused_since)
    failure = None if listing.reason is Reason.OK else list_failure(listing)
    silent = listing.reason in UNANSWERED
    if silent and previous.list_failure is None and not previous.list_doubt:
        return replace(previous, list_doubt=True)
    previous = replace(previous, list_doubt=False) if previous.list_doubt else previous
    if (failure is None) == (previous.list_failure is None):
        return previous
    noted = replace(previous, list_failure=failure)
    if noted.reason is Reason.BUSY or silent:
        return noted
    return _alive(noted, Reason.OK, "", at=at)


def evaluate_noise(previous: Availability, noise: str | None, *, at: float) -> Availability:
    """Return the availability of a server that changes by more than is followed, as `noise` says, or no more."""
    if noise == previous.noise:
        return previous
    noted = replace(previous, noise=noise)
    if not noted.available or noted.reason is Reason.BUSY:
        return noted
    return _alive(noted, Reason.OK, "", at=at)


def list_failure(listing: Listing) -> str:
    """Return the detail of a verdict for a listing that failed."""
    return f"{listing.reason}: {listing.detail}"[:MAX_DETAIL]


def _with_refusals(previous: Availability, since: float | None) -> Availability:
    return previous if previous.list_refused_since == since else replace(previous, list_refused_since=since)


def _after_good(previous: Availability, result: ProbeResult, policy: Policy, *, at: float) -> Availability:
    counted = replace(previous, good=previous.good + 1, bad=0, suspect=None, suspect_count=0)
    if counted.status is Status.DOWN and (counted.good < policy.rise or counted.flapping):
        return counted
    return _alive(counted, result.reason, result.detail, at=at)


def _alive(counted: Availability, reason: Reason, detail: str, *, at: float) -> Availability:
    if reason is Reason.OK and counted.list_failure is not None:
        reason, detail = Reason.LIST_FAILED, counted.list_failure
    elif reason is Reason.OK and counted.noise is not None:
        reason, detail = Reason.NOISY, counted.noise
    status = Status.UP if reason is Reason.OK else Status.DEGRADED
    return _verdict(counted, status, reason, detail=detail, at=at)


def _after_bad(previous: Availability, result: ProbeResult, policy: Policy, *, at: float) -> Availability:
    seen = previous.suspect_count + 1 if previous.suspect is result.reason else 1
    counted = replace(
        previous,
        good=0,
        bad=previous.bad + 1,
        suspect=result.reason,
        suspect_count=seen,
        list_failure=None,
        list_doubt=False,
    )
    if previous.status is Status.DOWN:
        # What it flapped for is over with the bout, and no cause besides the newest one is left.
        is_over = previous.reason is Reason.FLAPPING and not previous.flapping
        is_news = is_over or (seen >= policy.fall and previous.reason is not Reason.FLAPPING)
        if previous.reason is result.reason or not (is_news or result.reason in CERTAIN):
            return counted
        return replace(counted, reason=result.reason, detail=result.detail)
    if counted.bad < policy.fall and result.reason not in CERTAIN:
        # A listing that failed without an answer just before was part of the same trouble.
        shown = previous.status is Status.DEGRADED
        return replace(counted, list_failure=previous.list_failure if shown else None)
    return _verdict(replace(counted, list_refused_since=None), Status.DOWN, result.reason, detail=result.detail, at=at)


def _restless(after: Availability) -> Availability:
    """Return the verdict with its reason and detail as they are shown of a server that flaps and is down."""
    if not after.flapping or after.status is not Status.DOWN or after.reason in CERTAIN | {Reason.FLAPPING}:
        return after
    return replace(after, reason=Reason.FLAPPING, detail=flap.facts(after.flap))


def _verdict(counted: Availability, status: Status, reason: Reason, *, detail: str, at: float) -> Availability:
    if counted.status is status and counted.reason is reason:
        return counted
    changed_at = counted.changed_at if counted.status is status else at
    return replace(counted, status=status, reason=reason, detail=detail, changed_at=changed_at)
