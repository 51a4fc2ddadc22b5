"""What is said when something cannot be done: a stable code, a sentence, and the facts it is made of.

How a code is told over HTTP is known to `api.web.problems`, and what a person types next to `api.cli`.
"""

from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from api.fleet import credentials
from monitor import refusals
from monitor.domain.errors import FleetError, KeyRingError
from monitor.domain.resolver import Then

MAX_ERRORS = 20
MAX_FIELD_LENGTH = 100
NOTHING_CHANGED = " Nothing was changed."
# What those are told of a database that cannot be used who may not know which one that is.
DATABASE_AWAY = (
    "The database cannot be used. The log of the API says why, and so does /readyz to a token with the scope read; "
    "try again in a moment."
)


class Next(StrEnum):
    """What to do next where that is done in another way over HTTP than at a terminal."""

    LIST_SERVERS = "list_servers"
    LIST_MODELS = "list_models"
    LIST_MODELS_OF_SERVER = "list_models_of_server"
    ACTIVATE = "activate"
    READ_SERVER_AGAIN = "read_server_again"
    ASK_READINESS = "ask_readiness"
    FIT_MODEL = Then.FIT_MODEL.value
    FIT_SERVER = Then.FIT_SERVER.value
    ALLOW_CLOUD = Then.ALLOW_CLOUD.value
    ADD_OR_NAME_URL = Then.ADD_OR_NAME_URL.value
    ACTIVATE_OR_NAME_URL = Then.ACTIVATE_OR_NAME_URL.value
    ASK_FOR_A_MODEL = Then.ASK_FOR_A_MODEL.value


class Refused(FleetError):
    """Something that was asked for and not done.

    `code` is stable and for programs; `detail` says to a person what and why, and `next` stands for what to do where
    that is not the same everywhere. `facts` are what the sentence is made of, and what else a program can use.
    """

    def __init__(self, code: str, detail: str, /, *, next: Next | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.next = next
        self.facts = facts

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"code": self.code, "detail": self.detail, **self.facts}


def invalid(error: ValidationError, *, is_question: bool = False) -> Refused:
    """Return the refusal that names each field that is wrong, and why; never what was sent.

    Of a question nothing is said to be unchanged, and of a repeated parameter not which of them it was.
    """
    entries = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [
        {"field": _field(entry["loc"][:1] if is_question else entry["loc"]), "message": refusals.words(entry)}
        for entry in entries[:MAX_ERRORS]
    ]
    first = errors[0]
    where = f"{first['field']}: " if first["field"] else "What was sent "
    others = len(entries) - 1
    told = "errors" if len(entries) <= MAX_ERRORS else f"the first {MAX_ERRORS} in errors"
    more = f" (and {others} more, see {told})" if others else ""
    return Refused(
        "invalid", f"{where}{first['message']}{more}.{'' if is_question else NOTHING_CHANGED}", errors=errors
    )


def invalid_field(field: str, message: str, *, code: str = "invalid", is_question: bool = False) -> Refused:
    """Return the refusal of one field; `message` has no full stop."""
    detail = f"{field}: {message}.{'' if is_question else NOTHING_CHANGED}"
    return Refused(code, detail, errors=[{"field": field, "message": message}])


def discovery_failed(reason: str, detail: str | None) -> Refused:
    """Return the refusal for a server that did not list its models."""
    said = f"The server did not list its models: {(detail or reason).removesuffix('.')}. Nothing was changed."
    return Refused("discovery_failed", said, reason=reason, reason_detail=detail)


def unavailable(error: FleetError, *, names_database: bool = True) -> Refused:
    """Return the refusal for what is needed and missing: a key to seal a credential with, or the database."""
    if isinstance(error, KeyRingError):
        return Refused("key_ring_unavailable", f"{error} Nothing was changed.")
    return Refused("database_unavailable", str(error) if names_database else DATABASE_AWAY)


def _field(location: tuple[int | str, ...]) -> str:
    if location and location[0] == "auth":
        location = credentials.location(location)
    return ".".join(str(part) for part in location)[:MAX_FIELD_LENGTH]
