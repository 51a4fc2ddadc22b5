"""Headers that brought a good token before, so that a program that asks all day is looked up once."""

import hashlib
import secrets

from api.memory import Memory
from api.security.access import Access

MOST_REMEMBERED = 1024
KEY_BYTES = 32


class Acquaintance:
    """Invariant: no access is given whose grant has ended, and no secret is kept.

    A header is kept as its hash under a key of this process, so that how long a look-up takes tells nothing
    of it. Nothing has to be forgotten when the tokens are read anew: that ends the grants of those it changed.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._known: Memory[bytes, Access] = Memory(most=MOST_REMEMBERED)

    def recall(self, header: str) -> Access | None:
        """Return what a header allows, None for one that has to be looked at closely."""
        access = self._known.get(self._mark(header))
        return None if access is None or access.grant.refusal() is not None else access

    def remember(self, header: str, access: Access) -> None:
        """Keep what a header was found to allow."""
        self._known[self._mark(header)] = access

    def _mark(self, header: str) -> bytes:
        return hashlib.blake2b(header.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()
