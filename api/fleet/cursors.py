"""The cursor of a list: where a page ended, in a form that nobody is tempted to build himself."""

import base64
import binascii
import json
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from api.fleet import refusals, texts

TEXT: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(min_length=1, max_length=512)])
POSITION: TypeAdapter[tuple[texts.Name, UUID]] = TypeAdapter(tuple[texts.Name, UUID])

T = TypeVar("T")


def write(name: str, server_id: UUID) -> str:
    """Return the cursor for what comes after this server."""
    return _encode([name, str(server_id)])


def write_text(text: str) -> str:
    """Return the cursor for what comes after this text in a list of texts."""
    return _encode(text)


def read(cursor: str) -> tuple[str, UUID]:
    """Return the name and id that a cursor stands for; raises a `Refused` for any other text."""
    return _decode(cursor, POSITION)


def read_text(cursor: str) -> str:
    """Return the text that a cursor stands for; raises a `Refused` for any other one."""
    return _decode(cursor, TEXT)


def _encode(position: object) -> str:
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, shape: TypeAdapter[T]) -> T:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return shape.validate_json(text)
    except (binascii.Error, ValueError, ValidationError) as error:
        raise refusals.invalid_field(
            "cursor",
            "take it unchanged from next_cursor, or leave it out to begin anew",
            code="invalid_cursor",
            is_question=True,
        ) from error
