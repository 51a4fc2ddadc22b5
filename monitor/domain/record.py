"""What a check or a listing leaves behind, to be written to the database."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from monitor.domain.availability import Status
from monitor.domain.probe import Reason
from monitor.domain.server import Api, ServerId
from monitor.domain.suspicion import Suspicion
from monitor.domain.watching import WatchState


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """The newest state of one server. Times are monotonic seconds of this process; None keeps what is stored.

    `row_version` is the one the result was obtained under. `answered_at` is the time of the request
    that `answer` is for. `flapping` is whether the server comes and goes, `watch_state` whether a
    connection to it is held. `suspicion` is what it is suspected of, which may be nothing; `api` what
    it speaks, `tls_expires_at` the end of its certificate. `restarted_at` is when it was last seen to answer as
    another process. `good` is what a check itself said, whatever is believed after it.
    """

    server_id: ServerId
    row_version: int
    status: Status
    reason: Reason | None
    detail: str
    server_version: str | None = None
    checked_at: float | None = None
    next_check_at: float | None = None
    latency: timedelta | None = None
    listed_at: float | None = None
    answered_at: datetime | None = None
    answer: dict[str, Any] | None = None
    flapping: bool | None = None
    watch_state: WatchState | None = None
    suspicion: Suspicion | None = None
    api: Api | None = None
    tls_expires_at: datetime | None = None
    restarted_at: float | None = None
    good: bool | None = None

    def over(self, older: "ServerRecord | None") -> Self:
        """Return this record with what it does not say taken from an older one of the same row version."""
        if older is None or older.row_version != self.row_version:
            return self
        kept: tuple[str, ...] = (
            "server_version",
            "checked_at",
            "next_check_at",
            "listed_at",
            "answered_at",
            "answer",
            "flapping",
            "watch_state",
            "suspicion",
            "api",
            "tls_expires_at",
            "restarted_at",
        )
        # A check that had no answer has no latency either.
        if self.checked_at is None:
            kept = (*kept, "latency")
        gaps = {
            name: value for name in kept if getattr(self, name) is None and (value := getattr(older, name)) is not None
        }
        return replace(self, **gaps) if gaps else self


@dataclass(frozen=True, slots=True)
class Written:
    """What became of records: `count` were written, those of `locked` servers are to be written later.

    Nobody wants the others any more. `holder` is the session that has one of the rows locked, in words, if it is known.
    """

    count: int = 0
    locked: frozenset[ServerId] = frozenset()
    holder: str | None = None
