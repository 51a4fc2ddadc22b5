"""What is believed about a server right now, and how much evidence stands behind it."""

from dataclasses import dataclass
from enum import StrEnum

from monitor.domain.flap import CALM, Flap
from monitor.domain.probe import Reason


class Status(StrEnum):
    """The verdict on a server; `up` and `degraded` count as available."""

    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """A verdict with its evidence.

    `good` and `bad` count the latest probes in a row, so at most one of them is above 0.
    `suspect` and `suspect_count` follow the newest cause of failure of a server that is down for
    another one. `changed_at` is the monotonic time, in seconds, of the last change of `status`.
    `list_failure` is the detail of a listing that failed while the server was alive, else None; `list_doubt` is
    whether the last listing had a connection and no answer, which is believed once the next one has none either.
    `list_refused_since` is since when (monotonic) each listing was refused because of too many of them, else None.
    `noise` says which of its answers change by more than is followed, else None. `flap` is how restless the server is.
    """

    status: Status = Status.UNKNOWN
    reason: Reason | None = None
    detail: str = ""
    good: int = 0
    bad: int = 0
    suspect: Reason | None = None
    suspect_count: int = 0
    changed_at: float = float("-inf")
    list_failure: str | None = None
    list_refused_since: float | None = None
    list_doubt: bool = False
    noise: str | None = None
    flap: Flap = CALM

    @property
    def available(self) -> bool:
        """Whether the server can be used."""
        return self.status in {Status.UP, Status.DEGRADED}

    @property
    def flapping(self) -> bool:
        """Whether the server comes and goes."""
        return self.flap.since is not None

    @property
    def in_transition(self) -> bool:
        """Whether the latest evidence speaks against the verdict."""
        if self.status is Status.DOWN:
            return self.good > 0
        return self.bad > 0
