"""The resolver's answers as REST and the command line show them, and its refusals as problems.

Plain dictionaries and not models: they are made of what was checked already, for every request of every program.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypedDict

from api import edits, problems
from api.mirror import Snapshot
from api.problems import RETRY_SECONDS, Problem
from monitor.domain import resolver
from monitor.domain.directory import Entry
from monitor.domain.explanation import Explanation, PassedOver
from monitor.domain.resolver import Answer, Code, Refusal, Request
from monitor.domain.server import Policy
from monitor.ollama.guard import Network

STATUSES = {
    Code.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.SERVER_INACTIVE: HTTPStatus.CONFLICT,
    Code.MODEL_NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.NO_SERVER_AVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.NO_ACTIVE_SERVER: HTTPStatus.SERVICE_UNAVAILABLE,
}


class SnapshotView(TypedDict):
    """What the answer was made from: the fleet after event `seq`, known to be the newest some seconds ago.

    `stale`: the event log cannot be read, so what has changed since is not known.
    """

    seq: int
    age_seconds: float
    stale: bool


class ResolvedServer(TypedDict):
    """A registered server, as far as it matters to whoever is going to use it."""

    id: str
    name: str
    url: str
    api_version: str
    is_default: bool
    priority: int
    capabilities: tuple[str, ...]
    status: str
    status_reason: str | None
    status_detail: str | None
    stale: bool


class PassedOverServer(TypedDict):
    """A server that was not taken, and why."""

    id: str
    name: str
    reason: str


class ExplanationView(TypedDict):
    """Why; `more` is how many other servers are not told of."""

    rule: int
    sentence: str
    passed_over: list[PassedOverServer]
    more: int


class Resolution(TypedDict):
    """Where to go. Of a dynamic server `server`, `available` and `flapping` are None: nobody checks it.

    `model_known` is None if no model was asked for; `remote_host` is where a cloud stub really runs.
    """

    source: str
    rule: int
    server: ResolvedServer | None
    base_url: str
    model_name: str | None
    available: bool | None
    model_known: bool | None
    loaded: bool | None
    remote_host: str | None
    max_concurrent: int
    flapping: bool | None
    snapshot: SnapshotView
    explanation: ExplanationView | None


class Desk:
    """Asks the resolver; `policy` and `allowed_networks` are those of the settings."""

    def __init__(self, policy: Policy, allowed_networks: tuple[Network, ...]) -> None:
        self._interval = policy.interval.total_seconds()
        self._timeout = policy.timeout.total_seconds()
        self._allowed_networks = allowed_networks

    def resolve(self, request: Request, snapshot: Snapshot) -> Resolution:
        """Return the answer; raises the `Problem` that says why there is none."""
        outcome = resolver.resolve(request, snapshot.fleet)
        if isinstance(outcome, Refusal):
            raise problem(outcome, snapshot)
        if outcome.server is None:
            edits.require_allowed_address(outcome.base_url, self._allowed_networks, field="server_url")
        return self._view(outcome, snapshot)

    def is_stale(self, entry: Entry, snapshot: Snapshot) -> bool:
        """Whether the last check of a server is older than it may be."""
        limit = 3 * (entry.interval or self._interval) + (entry.timeout or self._timeout)
        return entry.is_active and (snapshot.at - entry.fresh_from).total_seconds() > limit

    def _view(self, answer: Answer, snapshot: Snapshot) -> Resolution:
        server, copy = answer.server, answer.copy
        explained = answer.explanation
        return Resolution(
            source=answer.source.value,
            rule=answer.rule,
            server=None if server is None else self._server(server, snapshot),
            base_url=answer.base_url,
            model_name=answer.model_name,
            available=None if server is None else server.is_available,
            model_known=answer.model_known,
            loaded=None if copy is None else copy.is_loaded,
            remote_host=None if copy is None else copy.remote_host,
            max_concurrent=answer.max_concurrent,
            flapping=None if server is None else server.is_flapping,
            snapshot=view(snapshot),
            explanation=None if explained is None else _explanation(explained),
        )

    def _server(self, entry: Entry, snapshot: Snapshot) -> ResolvedServer:
        return ResolvedServer(
            id=str(entry.id),
            name=entry.name,
            url=entry.url,
            api_version=entry.api_version,
            is_default=entry.is_default,
            priority=entry.priority,
            capabilities=entry.capabilities,
            status=entry.status,
            status_reason=entry.status_reason,
            status_detail=entry.status_detail,
            stale=self.is_stale(entry, snapshot),
        )


def view(snapshot: Snapshot) -> SnapshotView:
    """Return what is said of a snapshot."""
    return SnapshotView(seq=snapshot.seq, age_seconds=round(snapshot.age_seconds, 3), stale=snapshot.is_stale)


def problem(refusal: Refusal, snapshot: Snapshot) -> Problem:
    """Return a refusal as it is told over HTTP; an explanation that was asked for is a member of it."""
    if refusal.field is not None:
        return problems.invalid_field(refusal.field, refusal.detail.removesuffix("."))
    status = STATUSES[refusal.code]
    headers = {"Retry-After": RETRY_SECONDS} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Problem(
        status,
        refusal.code.value,
        refusal.detail,
        headers=headers,
        **_members(refusal),
        snapshot=view(snapshot),
    )


def _members(refusal: Refusal) -> Mapping[str, Any]:
    members: dict[str, Any] = {}
    if refusal.server is not None:
        members["server_id"] = str(refusal.server.id)
    if refusal.code is Code.MODEL_NOT_FOUND:
        members["nearest"] = list(refusal.nearest)
    if refusal.code is Code.NO_SERVER_AVAILABLE:
        members |= {"servers": _passed_over(refusal.servers), "more": refusal.more}
    if refusal.explanation is not None:
        members["explanation"] = _explanation(refusal.explanation)
    return members


def _explanation(explained: Explanation) -> ExplanationView:
    return ExplanationView(
        rule=explained.rule,
        sentence=explained.sentence,
        passed_over=_passed_over(explained.passed_over),
        more=explained.more,
    )


def _passed_over(servers: Iterable[PassedOver]) -> list[PassedOverServer]:
    return [PassedOverServer(id=str(one.server.id), name=one.server.name, reason=one.reason) for one in servers]
