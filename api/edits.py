"""What an edit makes of a server's columns: pure, and told apart from where the columns are kept."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from api import problems, texts
from api.problems import Problem
from api.queries.rows import Row
from api.queries.servers import EDITABLE
from api.schemas import ServerCreate, ServerPatch
from monitor.domain import url
from monitor.ollama import guard
from monitor.ollama.guard import Network

NO_CREDENTIAL = {"auth_type": "none", "auth_config": {}}


def created(new: ServerCreate) -> dict[str, Any]:
    """Return the columns of a new server."""
    return new.model_dump(exclude={"auth"}) | NO_CREDENTIAL


def replaced(current: Row, new: ServerCreate) -> dict[str, Any]:
    """Return the columns after PUT: what is left out gets its default, but the credential stays."""
    kept = {column: current[column] for column in NO_CREDENTIAL}
    return new.model_dump(exclude={"auth"}) | (kept if new.auth is None else NO_CREDENTIAL)


def patched(current: Row, patch: ServerPatch) -> dict[str, Any]:
    """Return the columns after a JSON merge patch (RFC 7396)."""
    columns = {column: current[column] for column in EDITABLE}
    for field in patch.model_fields_set:
        value = getattr(patch, field)
        if field == "auth":
            columns |= NO_CREDENTIAL
        elif value is None:
            columns[field] = ServerCreate.model_fields[field].get_default(call_default_factory=True, validated_data={})
        elif field == "labels":
            columns[field] = _merged(current["labels"], value)
        else:
            columns[field] = value
    return columns


def require(current: Row | None, server_id: UUID, *, if_match: int | None) -> Row:
    """Return the server's row; raises the `Problem` if there is none, or if it is not at the row version wanted."""
    if current is None:
        raise server_not_found(server_id)
    if if_match is not None and current["row_version"] != if_match:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            "precondition_failed",
            f"The server is at row version {current['row_version']} now, not at the one in If-Match: somebody "
            "edited it meanwhile. Read it again and repeat the edit.",
            row_version=current["row_version"],
        )
    return current


def server_not_found(reference: object) -> Problem:
    """Return the 404 for a server."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "server_not_found",
        f"There is no server {str(reference)[:100]!r}. GET /api/servers lists those there are.",
    )


def model_not_found(model_name: str) -> Problem:
    """Return the 404 for a model of a server that is there."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "model_not_found",
        f"The server has no model {model_name[:100]!r}. GET /api/servers/{{id}}/models lists those it has.",
    )


def require_allowed_address(server_url: str | None, allowed: tuple[Network, ...]) -> None:
    """Raise the `Problem` for a URL that names an address which the monitor would never connect to."""
    address = None if server_url is None else url.literal_address(server_url)
    refusal = None if address is None else guard.check(address, allowed)
    if refusal is not None:
        raise problems.invalid_field("url", f"the address {address} is {refusal}, so it is not allowed")


def _merged(current: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    labels: dict[str, str | None] = current | changes  # type: ignore[operator]
    kept = {key: value for key, value in labels.items() if value is not None}
    if len(kept) > texts.MAX_LABELS:
        raise problems.invalid_field(
            "labels", f"with the {len(current)} that are there it would be more than {texts.MAX_LABELS}"
        )
    return kept
