"""The cursor of a list: where a page ended, in a form that nobody is tempted to build himself."""

import base64
import binascii
import json
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from api import problems, texts

POSITION: TypeAdapter[tuple[texts.Name, UUID]] = TypeAdapter(tuple[texts.Name, UUID])


def write(name: str, server_id: UUID) -> str:
    """Return the cursor for what comes after this server."""
    text = json.dumps([name, str(server_id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str) -> tuple[str, UUID]:
    """Return the name and id that a cursor stands for; raises a `Problem` for any other text."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return POSITION.validate_json(text)
    except (binascii.Error, ValueError, ValidationError) as error:
        raise problems.invalid_field(
            "cursor", "take it unchanged from next_cursor, or leave it out to begin anew", code="invalid_cursor"
        ) from error
