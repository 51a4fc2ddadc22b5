"""What narrows a question down: to some servers, to some models, to what an answer has besides."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.fleet import texts
from monitor.domain import url as base_url
from monitor.domain.availability import Status

MAX_SESSION = 512
SWITCH = {"true": True, "false": False}


def _switch(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in SWITCH:
        raise ValueError("write true or false")
    return SWITCH[value]


def _label(value: object) -> object:
    """Split `key=value` or `key:value`."""
    if not isinstance(value, str):
        return value
    places = [place for place in (value.find("="), value.find(":")) if place > 0]
    if not places:
        raise ValueError("write key=value or key:value")
    return value[: min(places)], value[min(places) + 1 :]


Switch = Annotated[bool, BeforeValidator(_switch)]
Label = Annotated[
    tuple[texts.LabelKey, texts.LabelValue],
    BeforeValidator(_label),
    WithJsonSchema({"type": "string", "pattern": "^[^=:]+[=:]", "examples": ["room=attic"]}),
]
# Only ever hashed.
Session = Annotated[str, Field(min_length=1, max_length=MAX_SESSION)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Cursor = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(texts.usable)]


class Parameters(BaseModel):
    """Refuses parameters it does not know; a list is a parameter that may be repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerFilters(Parameters):
    """Which servers are wanted: those for which all of this is true. A list of `status` is one of them."""

    id: UUID | None = None
    name: Annotated[str, Field(max_length=200), AfterValidator(texts.usable)] | None = None
    url: Annotated[str, AfterValidator(base_url.normalize)] | None = None
    is_active: Switch | None = None
    is_available: Switch | None = None
    status: list[Status] = Field(default_factory=list, max_length=10)
    capability: list[texts.Capability] = Field(default_factory=list, max_length=20)
    label: list[Label] = Field(default_factory=list, max_length=20)


NO_FILTERS = ServerFilters()


class Extra(StrEnum):
    """What an answer has only if it is asked for."""

    CREDENTIALS = "credentials"


class CatalogueFilters(Parameters):
    """Which models are wanted: those for which all of this is true somewhere, or nowhere where it says false."""

    is_active: Switch | None = None
    is_available: Switch | None = None
    loaded: Switch | None = None
    cloud: Switch | None = None
    digest_drift: Switch | None = None
    capability: list[texts.Capability] = Field(default_factory=list, max_length=20)
