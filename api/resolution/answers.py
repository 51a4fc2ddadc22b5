"""The resolver's answers as plain data, for REST and the command line.

Dictionaries and not models: they are made of what was checked already, for every request of every program.
"""

from collections.abc import Iterable
from typing import NotRequired

from pydantic import RootModel
from typing_extensions import TypedDict

from api.resolution.mirror import Snapshot
from monitor.domain.entry import Entry
from monitor.domain.explanation import Explanation, PassedOver
from monitor.domain.resolver import Answer


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


class Lasting(TypedDict):
    """Where to go, as long as nothing happens there. Of a dynamic server much is None: nobody checks it.

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
    explanation: ExplanationView | None


class Ageing(TypedDict):
    """What every moment makes different; `stale`: the last check of the server is older than it may be."""

    stale: bool | None
    snapshot: SnapshotView


class Resolution(Lasting, Ageing):
    """The whole answer."""


class Outfit(Resolution):
    """The answer with the headers to send, the credential in the clear: for those who ask for it and may have it."""

    headers: dict[str, str]


class Told(Resolution):
    """The answer as it may come."""

    headers: NotRequired[dict[str, str]]


class ResolutionView(RootModel[Told]):
    """The whole answer, for whoever describes it, or reads what another process wrote."""


def lasting(answer: Answer) -> Lasting:
    """Return what of an answer stays as it is until something happens."""
    server, copy = answer.server, answer.copy
    explained = answer.explanation
    return Lasting(
        source=answer.source.value,
        rule=answer.rule,
        server=None if server is None else _server(server),
        base_url=answer.base_url,
        model_name=answer.model_name,
        available=None if server is None else server.is_available,
        model_known=answer.model_known,
        loaded=None if copy is None else copy.is_loaded,
        remote_host=None if copy is None else copy.remote_host,
        max_concurrent=answer.max_concurrent,
        flapping=None if server is None else server.is_flapping,
        explanation=None if explained is None else explanation(explained),
    )


def _server(entry: Entry) -> ResolvedServer:
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
    )


def snapshot_view(snapshot: Snapshot) -> SnapshotView:
    """Return what is said of a snapshot."""
    return {"seq": snapshot.seq, "age_seconds": round(snapshot.age_seconds, 3), "stale": snapshot.is_stale}


def explanation(explained: Explanation) -> ExplanationView:
    """Return what is said of the reasons."""
    return ExplanationView(
        rule=explained.rule,
        sentence=explained.sentence,
        passed_over=passed_over(explained.passed_over),
        more=explained.more,
    )


def passed_over(servers: Iterable[PassedOver]) -> list[PassedOverServer]:
    """Return servers that were not taken, each with its reason."""
    return [PassedOverServer(id=str(one.server.id), name=one.server.name, reason=one.reason) for one in servers]
