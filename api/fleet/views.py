"""What the API shows of servers, models and events; lenient, since psql may have written the rows."""

import shlex
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.fleet.queries.diagnosis import Isolation
from monitor.domain import reasons
from monitor.domain.credential import AuthType
from monitor.domain.probe import Reason
from monitor.postgres.database import Row


class AuthView(BaseModel):
    """Of a credential only whether there is one."""

    type: str
    configured: bool


class ApiKeyView(AuthView):
    """Of an API key also the header that it is sent in."""

    header: str | None


class ServerView(BaseModel):
    """A server as it is read. `stale`: its last check is older than it may be, so its status is of the past.

    `suspect_since`: bad answers have been seen since then, and there is no verdict yet. `cause` and `advice` say what
    `status_reason` means and what helps, None when nothing is wrong. `api` is what it has answered
    on, `native` or `openai`, or what an operator says that it speaks (`api_pinned`). `tls_expires_at` is the end of the
    certificate it showed last. The key of `client_cert` is stored and never shown. `restarted_at`: it was last seen to
    answer as another process than before.
    """

    id: UUID
    name: str
    url: str
    api_version: str
    auth: ApiKeyView | AuthView
    is_active: bool
    is_default: bool
    capabilities: list[str]
    max_concurrent: int
    priority: int
    labels: dict[str, str]
    check_interval_seconds: float | None
    check_timeout_seconds: float | None
    rise: int | None
    fall: int | None
    connection_watch: bool
    site: str | None
    ca_pem: str | None
    client_cert: str | None
    tls_server_name: str | None
    status: str
    status_reason: str | None
    status_detail: str | None
    status_changed_at: datetime | None
    is_available: bool
    flapping_since: datetime | None
    restarted_at: datetime | None
    suspect_since: datetime | None
    suspect_reason: str | None
    cause: str | None = None
    advice: str | None = None
    stale: bool
    api: str | None
    api_pinned: bool
    server_version: str | None
    tls_expires_at: datetime | None
    latency_ms: float | None
    last_checked_at: datetime | None
    next_check_at: datetime | None
    models_listed_at: datetime | None
    watch_state: str | None
    row_version: int
    created_at: datetime
    updated_at: datetime


class Notice(BaseModel):
    """Something an edit did that was not asked for; `code` is stable."""

    code: str
    detail: str


class EditedServer(ServerView):
    """A server after an edit; `notices` is empty when nothing happened but what was asked for."""

    notices: list[Notice]


class ServerPage(BaseModel):
    """Some servers, by name; `next_cursor` reads on, and is None at the end."""

    items: list[ServerView]
    next_cursor: str | None


class ModelView(BaseModel):
    """A model of one server. `removed_at` marks one that its server does not list any more."""

    id: UUID
    server_id: UUID
    server_name: str
    name: str
    model_name: str
    is_active: bool
    capabilities: list[str]
    capabilities_source: str
    size_bytes: int | None
    digest: str | None
    family: str | None
    parameter_size: str | None
    quantization: str | None
    context_length: int | None
    remote_host: str | None
    loaded_size_bytes: int | None
    size_vram: int | None
    expires_at: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    disabled_at: datetime | None
    removed_at: datetime | None


class ModelPage(BaseModel):
    """All models asked for; `next_cursor` is None, since they are never many."""

    items: list[ModelView]
    next_cursor: str | None = None


class EventView(BaseModel):
    """One row of the event log."""

    seq: int
    type: str
    server_id: UUID | None
    model_id: UUID | None
    at: datetime
    body: dict[str, Any]


class EventPage(BaseModel):
    """Events in order. Ask with `after` = `last_seq` for the next ones, even if this page is empty.

    `first_seq` is the oldest number still held, `head` the newest one given.
    """

    items: list[EventView]
    last_seq: int
    first_seq: int
    head: int


class ProbeView(BaseModel):
    """What one probe said."""

    reason: str
    detail: str | None
    latency_ms: float | None


class CheckAnswer(BaseModel):
    """The verdict after a check, and what the probe for it said."""

    server: ServerView
    probe: ProbeView


class DiscoveryAnswer(BaseModel):
    """What a listing changed: model names, and how many stayed or could not be used."""

    reason: str
    detail: str | None
    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: int
    dropped: int


class Liveness(BaseModel):
    """The process answers."""

    status: str = "ok"


class IsolationView(BaseModel):
    """The monitor takes itself to be cut off: `servers` of `of` fell silent, most by `cause`.

    Verdicts are held `until` a time, and no more after it.
    """

    since: datetime | None
    until: datetime | None
    cause: str
    servers: int
    of: int


class ReadinessReport(BaseModel):
    """Whether the API can do its work; `checks` says `ok`, `failed`, `unknown`, `absent` or `held` of each part.

    `isolation` is there while the monitor at work takes itself to be cut off; the API is ready all the same.
    """

    ready: bool
    reasons: list[str]
    checks: dict[str, str]
    isolation: IsolationView | None = None


def server(row: Row) -> ServerView:
    """Return what is shown of a row."""
    auth = AuthView(type=row["auth_type"], configured=row["auth_configured"])
    if auth.type == AuthType.API_KEY:
        auth = ApiKeyView(type=auth.type, configured=auth.configured, header=row["auth_header"])
    # A check that had no good answer leaves no latency.
    detail = reasons.detail(row["status_reason"], row["status_detail"], answers=row["latency_ms"] is not None)
    explained = {"status_detail": detail, "cause": reasons.cause(row["status_reason"]), "advice": _advice(row)}
    return ServerView.model_validate({**dict(row), "auth": auth, **explained})


def _advice(row: Row) -> str | None:
    reason = reasons.known(row["status_reason"])
    if reason in {None, Reason.OK}:
        return None
    return reasons.advice(reason, row["url"], name=shlex.quote(row["name"]), detail=row["status_detail"])


def edited(server: ServerView, notices: list[Notice]) -> EditedServer:
    """Return what is shown of a server that was edited."""
    return EditedServer.model_validate({**dict(server), "notices": notices})


def model(row: Row) -> ModelView:
    """Return what is shown of a row."""
    return ModelView.model_validate(dict(row))


def isolation(found: Isolation) -> IsolationView:
    """Return what is shown of an isolation."""
    return IsolationView(since=found.since, until=found.until, cause=found.cause, servers=found.servers, of=found.of)
