"""How much a server may have us do and tell: allowances that grow back, and what becomes of one that goes beyond.

Each change of a model is an event, which everybody reads and keeps. A server whose models change by more than its
allowance is noisy: no change more of these is told, nor looked into, until it has said the same for a while; then
the whole truth is, at once. Pure, handed the time in monotonic seconds.

Invariant: between two listings that are told while an allowance is spent lies at least the quiet time, which doubles
for each bout within some hours. So for as long as it goes on, a server makes no more than about three events a second,
whatever it says and however often; and what it says in the end is on record at the latest `MOST_QUIET` after it came
to rest.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be spent: at most `most` at once, and `each_second` grows back."""

    most: float
    each_second: float
    left: float = float("inf")
    at: float = 0.0

    def available(self, at: float) -> float:
        """Return what is left at a time."""
        return min(self.most, self.left + (at - self.at) * self.each_second)

    def less(self, spent: float, *, at: float) -> "Allowance":
        """Return the allowance after some of it was spent, or all of it."""
        return replace(self, left=max(0.0, self.available(at) - spent), at=at)


# The longest list that is read, 10,000 models, is told whole, and again when each one's capabilities are learnt. Then
# one a second: a busy server that loads and unloads a model every few seconds needs half of that.
CHANGES = Allowance(most=20_000, each_second=1.0)
# `/api/show` of a server that lists no capabilities: a common server is read at once, 10,000 models in four hours.
# Each may bring a change, so it is less than one a second.
SHOWS = Allowance(most=500, each_second=0.8)
# Listings ahead of their time because the version is another one: an upgrade, and the way back, at once.
NEW_VERSIONS = Allowance(most=3, each_second=1 / 600)
QUIET = 300.0
MOST_QUIET = 7_200.0
# A bout that begins so soon after the last one takes twice as long to end.
WINDOW = 21_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How restless one thing is that a server tells, its list or what it has in memory.

    `said` is a fingerprint of what it told last, and has told since `same_since`. `since` is None unless it is noisy;
    a bout ends after `quiet` seconds of the same.
    """

    allowance: Allowance = field(default_factory=lambda: CHANGES)
    said: int | None = None
    same_since: float = float("-inf")
    since: float | None = None
    ended_at: float = float("-inf")
    quiet: float = QUIET

    @property
    def is_noisy(self) -> bool:
        """Whether it changes by more than is followed."""
        return self.since is not None

    def is_heard(self, at: float) -> bool:
        """Whether its changes are to be looked into."""
        return self.since is None or at - self.same_since >= self.quiet


def after_answer(noise: Noise, said: int, *, at: float) -> Noise:
    """Return what one more answer makes of it."""
    return noise if noise.said == said else replace(noise, said=said, same_since=at)


def after_changes(noise: Noise, changes: int, *, at: float) -> Noise:
    """Return what so many changes make of it that was heard; they are to be told unless it is noisy then."""
    if noise.is_noisy:
        noise = replace(noise, since=None, ended_at=at)
    elif changes > noise.allowance.available(at):
        quiet = min(2 * noise.quiet, MOST_QUIET) if at - noise.ended_at <= WINDOW else QUIET
        return replace(noise, since=at, quiet=quiet)
    return replace(noise, allowance=noise.allowance.less(changes, at=at))
