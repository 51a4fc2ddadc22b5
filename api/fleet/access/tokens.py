"""What a token of the API looks like: `olf_`, a public id to look it up by, `_`, and a secret that is shown once."""

import hashlib
import re
import secrets
from uuid import UUID

SECRET_BYTES = 32
_TOKEN = re.compile(r"olf_([0-9a-f]{32})_[A-Za-z0-9_-]{43}")


def make(token_id: UUID) -> str:
    """Return a new token with this id."""
    return f"olf_{token_id.hex}_{secrets.token_urlsafe(SECRET_BYTES)}"


def public_id(token: str) -> str | None:
    """Return the id in a token, as 32 hexadecimal digits; None for a text that cannot be one."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else match[1]


def digest(token: str) -> bytes:
    """Return what is stored of a token, 32 bytes.

    One SHA-256 is enough: the slow hashes for passwords make up for secrets that can be guessed, and nobody
    guesses 256 random bits. A fast one lets every request be asked for its token.
    """
    return hashlib.sha256(token.encode()).digest()
