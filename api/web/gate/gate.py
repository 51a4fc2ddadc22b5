"""The gate that every request passes: where it comes from, whose token it brings, what that token allows."""

import math
import re
from collections.abc import Collection

import structlog
from aiohttp import hdrs, web

from api.fleet.access import grant, tokens
from api.fleet.access.scopes import Access
from api.fleet.access.tokens import TokenTable
from api.fleet.refusals import Refused
from api.web.gate import access, origins
from api.web.gate.admissions import Admissions
from api.web.gate.failures import Failures, Outcome

_BEARER = re.compile(r"bearer +(?P<token>\S+)", re.IGNORECASE)

log = structlog.get_logger(__name__)


class Gate:
    """Lets requests in; `hostnames` are further names that pages of the API have."""

    def __init__(self, table: TokenTable, *, hostnames: Collection[str]) -> None:
        self._table = table
        self._hostnames = origins.spelt(hostnames)
        self._failures = Failures()
        self._admissions = Admissions()

    def recall(self, request: web.Request) -> bool:
        """Let a request pass that is the same as one before, and tell whether it is; else `examine` it."""
        table = self._table
        known = self._admissions.recall(request) if table.open_access is None else None
        if known is None:
            return False
        table.note_use(known)
        access.note(request, known)
        return True

    async def examine(self, request: web.Request) -> None:
        """Let a request pass; raises the `Refused` of one that may not."""
        origins.require_own_site(request, self._hostnames)
        scopes = access.scopes_of(request)
        if scopes:
            found = self._table.open_access or await self._identify(request)
            access.note(request, found)
            for scope in scopes:
                found.require(scope)
            if found.token_id is not None:
                self._admissions.remember(request, found)
        else:
            self._recognize(request)
        # An API that wants tokens is asked under any name: a page that reaches it through its own DNS has no token to
        # send, and browsers add none by themselves.
        if self._table.may_be_open:
            origins.require_own_host(request)

    def _recognize(self, request: web.Request) -> None:
        """Note who asks for what is public, if that is known: an answer may tell more to those who may read."""
        found = self._table.open_access
        values = request.headers.getall(hdrs.AUTHORIZATION, ())
        if found is None and len(values) == 1:
            found = self._table.find(_token_in(values[0]))
        if found is not None and found.grant.refusal() is None:
            access.note(request, found)

    async def _identify(self, request: web.Request) -> Access:
        if not self._table.is_loaded:
            await self._table.refresh()
        if self._table.open_access is not None:
            return self._table.open_access
        token = presented(request)
        found = self._table.find(token)
        if found is None:
            self._require_patience(request)
            # It may have been made a moment ago. Without the database nobody can tell, and 503 says so.
            await self._table.refresh()
            found = self._table.find(token)
        refusal = tokens.unknown() if found is None else found.grant.refusal()
        if found is None or refusal is not None:
            self._require_patience(request)
            self._count_failure(request)
            raise refusal or tokens.unknown()
        return found

    def _require_patience(self, request: web.Request) -> None:
        seconds = math.ceil(self._failures.seconds_to_wait(_address(request), now=grant.now()))
        if seconds > 0:
            raise Refused(
                "too_many_failures",
                "Too many requests from your address came with a token that is not good. Correct it: a good one is "
                f"let in at once, another bad one is looked at in {seconds} s.",
                retry_after=seconds,
            )

    def _count_failure(self, request: web.Request) -> None:
        address = _address(request)
        match self._failures.count(address, now=grant.now()):
            case Outcome.FIRST:
                log.info("token_refused", address=address)
            case Outcome.EXHAUSTED:
                log.warning("token_failures_slowed", address=address)
            case Outcome.COUNTED:
                pass


def presented(request: web.Request) -> str:
    """Return the token of a request; raises the `Refused` of one that has none, or several."""
    values = request.headers.getall(hdrs.AUTHORIZATION, ())
    if not values:
        raise tokens.missing()
    if len(values) > 1:
        raise Refused(
            "several_tokens",
            "The request has several Authorization headers; send one, with one token.",
        )
    return _token_in(values[0])


def _token_in(header: str) -> str:
    match = _BEARER.fullmatch(header.strip())
    # What is no bearer token at all is answered like one that nobody knows.
    return "" if match is None else match["token"]


def _address(request: web.Request) -> str:
    return request.remote or "local"
