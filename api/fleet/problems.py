"""What the API answers when it cannot do what was asked (RFC 9457): a stable code and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from api.fleet import credentials as authentication
from monitor import refusals
from monitor.domain.errors import FleetError, KeyRingError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ollama-fleet:problem:"
RETRY_SECONDS = "2"
MAX_ERRORS = 20
MAX_FIELD_LENGTH = 100
NOTHING_CHANGED = " Nothing was changed."


class Problem(FleetError):
    """A request that was not done, as it is told to whoever asked.

    `code` is stable and for programs; `detail` says to a person what, why and what next. `members`
    are further members of the answer's body, `headers` of its head.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    @property
    def title(self) -> str:
        """The code, for people."""
        return self.code.replace("_", " ").capitalize()

    def document(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status.value,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }


def invalid(error: ValidationError, *, is_query: bool = False) -> Problem:
    """Return the 422 that names each field that was refused, and why; never what was sent.

    Of a query nothing is said to be unchanged, and of a repeated parameter not which of them it was.
    """
    entries = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [
        {"field": _field(entry["loc"][:1] if is_query else entry["loc"]), "message": refusals.words(entry)}
        for entry in entries[:MAX_ERRORS]
    ]
    first = errors[0]
    where = f"{first['field']}: " if first["field"] else "What was sent "
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        f"{where}{first['message']}{more}.{'' if is_query else NOTHING_CHANGED}",
        errors=errors,
    )


def invalid_field(field: str, message: str, *, code: str = "invalid", is_query: bool = False) -> Problem:
    """Return the 422 for one field; `message` has no full stop."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        code,
        f"{field}: {message}.{'' if is_query else NOTHING_CHANGED}",
        errors=[{"field": field, "message": message}],
    )


def discovery_failed(reason: str, detail: str | None) -> Problem:
    """Return the 502 for a server that did not list its models."""
    return Problem(
        HTTPStatus.BAD_GATEWAY,
        "discovery_failed",
        f"The server did not list its models: {(detail or reason).removesuffix('.')}. Nothing was changed.",
        reason=reason,
        reason_detail=detail,
    )


def database_unavailable(error: FleetError) -> Problem:
    """Return the 503 for a database that is away, or too slow; it says where, never as whom."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "database_unavailable", str(error), headers={"Retry-After": RETRY_SECONDS}
    )


def unavailable(error: FleetError) -> Problem:
    """Return the 503 for what the API needs and has not: a key to seal a credential with, or the database."""
    if isinstance(error, KeyRingError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "key_ring_unavailable", f"{error} Nothing was changed.")
    return database_unavailable(error)


def _field(location: tuple[int | str, ...]) -> str:
    if location and location[0] == "auth":
        location = authentication.location(location)
    return ".".join(str(part) for part in location)[:MAX_FIELD_LENGTH]
