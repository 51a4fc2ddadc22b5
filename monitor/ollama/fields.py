"""Single fields of a stranger's JSON: the value if it is of the right type and in bounds, else None."""

import re
from datetime import UTC, datetime
from typing import Any

from monitor.domain.model_name import MAX_LENGTH

MAX_STRING = 64
MAX_CAPABILITIES = 32
MAX_BIGINT = 2**63 - 1
MAX_INTEGER = 2**31 - 1
FIRST_YEAR = 1970

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def clean(value: str, limit: int) -> str:
    """Return at most `limit` printable characters, fit for a database, a terminal and a web page.

    There are no controls, no NUL and no lone surrogates among them.
    """
    value = value[: limit * 4]
    if not value.isprintable():
        value = "".join(character for character in value if character.isprintable())
    return value.strip()[:limit]


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def string(value: Any, *, limit: int = MAX_STRING) -> str | None:
    """Return clean text, None when nothing is left."""
    return (clean(value, limit) or None) if isinstance(value, str) else None


def name(value: Any) -> str | None:
    """Return a model name, which is exact or none: it is the key under which the server knows the model."""
    if isinstance(value, str) and 0 < len(value) <= MAX_LENGTH and value.isprintable() and value.strip():
        return value
    return None


def digest(value: Any) -> str | None:
    """Return a SHA-256 in lower case."""
    return value.lower() if isinstance(value, str) and _DIGEST.fullmatch(value) else None


def size(value: Any) -> int | None:
    """Return a number of bytes that a bigint holds; 0 means unknown."""
    return _positive(value, MAX_BIGINT)


def context_length(value: Any) -> int | None:
    """Return a number of tokens that an integer column holds."""
    return _positive(value, MAX_INTEGER)


def capabilities(value: Any) -> tuple[str, ...] | None:
    """Return what a model can do, unknown words too; None when the server does not say."""
    if not isinstance(value, list):
        return None
    words = dict.fromkeys(string(word) for word in value[: MAX_CAPABILITIES * 2])
    return tuple(word for word in words if word is not None)[:MAX_CAPABILITIES]


def moment(value: Any) -> datetime | None:
    """Return a time in UTC; Go's zero time and anything without an offset is None."""
    if not isinstance(value, str) or len(value) > MAX_STRING:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None or parsed.year < FIRST_YEAR:
            return None
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _positive(value: Any, most: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most:
        return value
    return None
