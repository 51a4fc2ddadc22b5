"""Requests that were let in before, so that a program that asks the same all day is looked at closely once."""

import hashlib
import secrets

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION, ORIGIN
from aiohttp.hdrs import METH_GET as GET

from api.fleet.access.scopes import Access
from api.web.gate.origins import SITE
from api.web.http import targets

MOST_REMEMBERED = 4096
KEY_BYTES = 32


class Admissions:
    """Invariant: no access is given whose grant has ended, and no secret is kept.

    A header is kept as its hash under a key of this process, so that how long a look-up takes tells nothing of it.
    Nothing has to be forgotten when the tokens are read anew: that ends the grants of those it changed.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._known: dict[tuple[str, bytes], Access] = {}

    def recall(self, request: web.Request) -> Access | None:
        """Return what a request may do that is the same as one before; None for one to look at closely."""
        mark = self._mark(request)
        known = None if mark is None else self._known.get(mark)
        return known if known is not None and known.grant.refusal() is None else None

    def remember(self, request: web.Request, access: Access) -> None:
        """Keep that a request was let in by its token, if it is one to be remembered."""
        mark = self._mark(request)
        if mark is not None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[mark] = access

    def _mark(self, request: web.Request) -> tuple[str, bytes] | None:
        """Return what tells a request from others; None for one to look at closely each time.

        That is one that changes something, that a browser sends, or that has not just one token.
        """
        headers = request.headers
        tokens = headers.getall(AUTHORIZATION, ())
        if request.method != GET or len(tokens) != 1 or SITE in headers or ORIGIN in headers:
            return None
        target = request.raw_path
        if targets.SESSION in target:
            target = targets.without_session(target)[0]
        token = tokens[0].encode("utf-8", "surrogateescape")
        return target, hashlib.blake2b(token, key=self._key, digest_size=32).digest()
