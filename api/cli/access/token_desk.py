"""What `ollama-fleet token` does with the table of API tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from api.cli.invocation import Invocation
from api.fleet.access import tokens
from api.fleet.queries import tokens as queries
from monitor.domain.errors import ConfigurationError, FleetError
from monitor.postgres.database import Database, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What may be shown of a token; `state` is active, expired or revoked."""

    name: str
    scopes: list[str]
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokenDesk:
    """Each method opens the database, does one thing, and closes it again."""

    def __init__(self, invocation: Invocation) -> None:
        """Raises `ConfigurationError` when the commands are to work on a fleet elsewhere."""
        if invocation.settings.api_url is not None:
            raise ConfigurationError(
                "OLLAMA_FLEET_API_URL is set, but tokens are made, listed and revoked in the database itself: do it on "
                "the machine of the fleet, or unset it."
            )
        self._invocation = invocation

    def created(self, name: str, *, scopes: Sequence[str], lifetime: timedelta | None) -> str:
        """Make a token and return it: it cannot be read again."""
        token_id = uuid4()
        token = tokens.make(token_id)

        async def insert(database: Database) -> str:
            async with database.session() as connection:
                await queries.insert(
                    connection,
                    token_id,
                    name=name,
                    digest=tokens.digest(token),
                    scopes=list(dict.fromkeys(scopes)),
                    lifetime=lifetime,
                )
            return token

        return self._invocation.on_database(insert, makes=True)

    def listed(self) -> list[TokenRecord]:
        """Return all tokens, the oldest first."""

        async def read(database: Database) -> list[TokenRecord]:
            async with database.session() as connection:
                return [_record(row) for row in await queries.read_all(connection)]

        return self._invocation.on_database(read)

    def revoked(self, name: str) -> None:
        """Take a token back; FleetError when there is none to take back."""

        async def revoke(database: Database) -> None:
            async with database.session() as connection:
                if not await queries.revoke(connection, name):
                    raise FleetError(
                        f"There is no token {name} that could be revoked. `ollama-fleet token list` shows all."
                    )

        self._invocation.on_database(revoke)


def _record(row: Row) -> TokenRecord:
    shown: dict[str, Any] = {field: row[field] for field in TokenRecord.__dataclass_fields__ if field != "state"}
    return TokenRecord(state=_state(row), **shown)


def _state(row: Row) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    is_over = row["seconds_left"] is not None and row["seconds_left"] <= 0
    return "expired" if is_over else "active"
