"""The query parameters of each route, as strict shapes: an unknown name is refused, not ignored."""

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from multidict import MultiMapping
from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from api.fleet import refusals, texts
from api.fleet.filters import CatalogueFilters, Cursor, Extra, Label, Limit, Parameters, ServerFilters, Session, Switch
from monitor.domain.event import EventType
from monitor.domain.selection import MOST_CANDIDATES
from monitor.domain.server import Api
from monitor.domain.uptime import Window

MAX_SEQ = 2**63 - 1
MAX_DIGITS = len(str(MAX_SEQ))
MAX_WAIT_SECONDS = 60.0


class NoParameters(Parameters):
    """A route without parameters."""


class ServerListing(ServerFilters):
    """`GET /api/servers`."""

    limit: Limit = 100
    cursor: Cursor | None = None


class ModelListing(Parameters):
    """`GET /api/servers/{id}/models`: with `include_removed` also what the server lists no more."""

    include_removed: Switch = False


class HistoryQuery(Parameters):
    """`GET /api/servers/{id}/history`: the window that is cut into slots."""

    window: Window = Window.DAY


class HistoriesQuery(HistoryQuery):
    """`GET /api/history`: of the servers given, else of all."""

    server_id: list[UUID] = Field(default_factory=list, max_length=1000)


class ResolveQuery(Parameters):
    """`GET /api/resolve`. `cloud` allows a model that a server only passes on to a cloud.

    The same `session` gets the same one of equal servers. With `candidates` the answer has the next best servers, too,
    so many in all. `label`, `site`, `capability` (of the model) and `api` leave only servers that fit.
    With `include=credentials` the answer has the `headers` to send, for which a token needs the scope `credentials`.
    """

    server_url: str | None = None
    model: str | None = None
    session: Session | None = None
    candidates: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 1
    label: list[Label] = Field(default_factory=list, max_length=20)
    site: texts.Site | None = None
    capability: list[texts.Capability] = Field(default_factory=list, max_length=20)
    api: Api | None = None
    explain: Switch = False
    cloud: Switch = False
    include: list[Extra] = Field(default_factory=list, max_length=5)


class CatalogueListing(CatalogueFilters):
    """`GET /api/models`."""

    limit: Limit = 100
    cursor: Cursor | None = None


class EventQuery(Parameters):
    """`GET /api/events`. Without `after` it begins with the oldest event held; `wait` is seconds."""

    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] | None = None
    limit: Limit = 100
    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = 0.0
    type: list[EventType] = Field(default_factory=list, max_length=50)
    server_id: UUID | None = None


class EventStreamQuery(Parameters):
    """`GET /api/events/stream`. It goes on after the header `Last-Event-ID`, else after `after`, else from now on.

    With `snapshot` it begins with the fleet instead, unless `Last-Event-ID` still leads somewhere.
    """

    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] | None = None
    type: list[EventType] = Field(default_factory=list, max_length=50)
    server_id: UUID | None = None
    snapshot: Switch = False

    @model_validator(mode="after")
    def _begin_in_one_way(self) -> Self:
        if self.snapshot and self.after is not None:
            raise ValueError("give after or snapshot, not both: a snapshot says itself after which event it goes on")
        return self


P = TypeVar("P", bound=Parameters)


def last_event_id(headers: Mapping[str, str]) -> int | None:
    """Return the number in `Last-Event-ID`, which a client sends when it connects again; raises a `Refused`."""
    text = headers.get("Last-Event-ID", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and int(text) <= MAX_SEQ):
        raise refusals.invalid_field(
            "Last-Event-ID", "send the id of the last event you have, or leave it out", is_question=True
        )
    return int(text)


def read(query: MultiMapping[str], shape: type[P]) -> P:
    """Return the parameters of a request; raises the `Refused` that says which one is wrong."""
    given: dict[str, Any] = {}
    for name in dict.fromkeys(query):
        field = shape.model_fields.get(name)
        if field is None:
            known = ", ".join(shape.model_fields) or "none"
            raise refusals.invalid_field(
                name[: refusals.MAX_FIELD_LENGTH],
                f"there is no such parameter here, but {known}",
                code="unknown_parameter",
                is_question=True,
            )
        values = query.getall(name)
        if field.default_factory is not None:
            given[name] = values
        elif len(values) > 1:
            raise refusals.invalid_field(name, "give it once", is_question=True)
        else:
            given[name] = values[0]
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        raise refusals.invalid(error, is_question=True) from error
