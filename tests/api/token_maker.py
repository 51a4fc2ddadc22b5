"""Tokens for tests, put into the table as the command line does."""

import uuid
from datetime import timedelta

from api.fleet.access import tokens
from api.fleet.queries import tokens as queries
from monitor.postgres.database import Connection


async def make(psql: Connection, name: str, *scopes: str, lifetime: timedelta | None = None) -> str:
    """Return a new token; one with a negative lifetime has expired."""
    token_id = uuid.uuid4()
    token = tokens.make(token_id)
    await queries.insert(psql, token_id, name=name, digest=tokens.digest(token), scopes=list(scopes), lifetime=lifetime)
    return token


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents it."""
    return {"Authorization": f"Bearer {token}"}
