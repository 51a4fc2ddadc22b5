"""The resolver's answers as plain data, for REST and the command line.

Dictionaries and not models: they are made of what was checked already, for every request of every program.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired

from pydantic import RootModel
from typing_extensions import TypedDict

from api.fleet.resolution.mirror import Snapshot
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
    api: str | None
    is_default: bool
    priority: int
    capabilities: tuple[str, ...]
    labels: Mapping[str, str]
    site: str | None
    status: str
    status_reason: str | None
    status_detail: str | None


class PassedOverServer(TypedDict):
    """A server that was not taken, at which step of the choice it lost, and why."""

    id: str
    name: str
    step: str
    reason: str


class ExplanationView(TypedDict):
    """Why; `more` is how many other servers are not told of."""

    rule: int
    sentence: str
    passed_over: list[PassedOverServer]
    more: int


class Place(TypedDict):
    """A server and how it is. Of a dynamic one much is None: nobody checks it.

    `suspect`: bad answers have been seen of it, and there is no verdict yet.
    """

    server: ResolvedServer | None
    base_url: str
    available: bool | None
    suspect: bool | None
    max_concurrent: int
    flapping: bool | None


class Lasting(Place):
    """Where to go, as long as nothing happens there.

    `model_known` is None if no model was asked for; `remote_host` is where a cloud stub really runs. `candidates`
    are the next best ones, each as complete as this one.
    """

    source: str
    rule: int
    model_name: str | None
    model_known: bool | None
    loaded: bool | None
    remote_host: str | None
    candidates: Sequence["Candidate"]
    explanation: ExplanationView | None


class Candidate(Lasting):
    """A server with all that is told of it. `stale`: its last check is older than it may be.

    `headers` are what to send, the credential in the clear: for those who ask for it and may have it.
    """

    stale: bool | None
    headers: NotRequired[dict[str, str]]


class Resolution(Candidate):
    """The whole answer."""

    snapshot: SnapshotView


class ResolutionView(RootModel[Resolution]):
    """The whole answer, for whoever describes it, or reads what another process wrote."""


def lasting(answer: Answer, candidates: Sequence[Candidate]) -> Lasting:
    """Return what of an answer stays as it is until something happens."""
    server, copy = answer.server, answer.copy
    explained = answer.explanation
    return Lasting(
        **(_nowhere(answer) if server is None else place(server)),
        source=answer.source.value,
        rule=answer.rule,
        model_name=answer.model_name,
        model_known=answer.model_known,
        loaded=None if copy is None else copy.is_loaded,
        remote_host=None if copy is None else copy.remote_host,
        candidates=candidates,
        explanation=None if explained is None else explanation(explained),
    )


def place(server: Entry) -> Place:
    """Return what is told of a registered server, whatever it was asked for."""
    return Place(
        server=_server(server),
        base_url=server.base_url,
        available=server.is_available,
        suspect=server.is_suspect,
        max_concurrent=server.max_concurrent,
        flapping=server.is_flapping,
    )


def _nowhere(answer: Answer) -> Place:
    return Place(
        server=None,
        base_url=answer.base_url,
        available=None,
        suspect=None,
        max_concurrent=answer.max_concurrent,
        flapping=None,
    )


def _server(entry: Entry) -> ResolvedServer:
    return ResolvedServer(
        id=str(entry.id),
        name=entry.name,
        url=entry.url,
        api_version=entry.api_version,
        api=entry.api,
        is_default=entry.is_default,
        priority=entry.priority,
        capabilities=entry.capabilities,
        labels=entry.labels,
        site=entry.site,
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
    return [
        PassedOverServer(id=str(one.server.id), name=one.server.name, step=one.step.value, reason=one.reason)
        for one in servers
    ]
