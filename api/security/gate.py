"""The gate that every request passes: where it comes from, whose token it brings, what that token allows."""

import math
import re
from collections.abc import Collection
from functools import lru_cache
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from yarl import URL

from api.problems import Problem
from api.security import access, grant, origins, token_table
from api.security.access import Access, Scope
from api.security.acquaintance import Acquaintance
from api.security.failures import Failures, Outcome
from api.security.token_table import TokenTable

# What nobody needs a token for: signs of life, and pages that hold no data of the fleet.
PUBLIC_PATHS = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
PUBLIC_FOLDERS = ("/docs/", "/dashboard/")
# Questions that are sent with POST because they are long.
QUESTIONS = frozenset({"/api/resolve"})
# Where people put a token that belongs into a header; lower case.
SECRET_PARAMETERS = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "auth", "authorization", "bearer", "key", "token"}
)
_BEARER = re.compile(r"bearer +(?P<token>\S+)", re.IGNORECASE)
MOST_REMEMBERED = 1024

log = structlog.get_logger(__name__)


class Gate:
    """Lets requests in; `hostnames` are further names under which the API may be asked."""

    def __init__(self, table: TokenTable, *, hostnames: Collection[str]) -> None:
        self._table = table
        self._hostnames = origins.spelt(hostnames)
        self._failures = Failures()
        self._acquaintance = Acquaintance()

    async def admit(self, request: web.Request) -> None:
        """Let a request pass; raises the `Problem` of one that may not."""
        origins.require_own_site(request, self._hostnames)
        is_for_credentials = _is_for_credentials(request.rel_url.raw_query_string)
        if not _is_public(request.path):
            found = self._table.open_access or self._recall(request) or await self._identify(request)
            access.note(request, found)
            found.require(_needed(request))
            if is_for_credentials:
                found.require(Scope.CREDENTIALS)
        # An API that wants tokens is asked under any name, so a proxy needs no setting: a page that reaches it
        # through its own DNS has no token to send, and browsers add none by themselves.
        if self._table.may_be_open:
            origins.require_own_host(request, self._hostnames)

    def _recall(self, request: web.Request) -> Access | None:
        """Return what the request may do if it comes with what was good before, and with nothing else."""
        values = request.headers.getall(hdrs.AUTHORIZATION, ())
        found = self._acquaintance.recall(values[0]) if len(values) == 1 else None
        if found is not None:
            self._table.note_use(found)
        return found

    async def _identify(self, request: web.Request) -> Access:
        if not self._table.is_loaded:
            await self._table.refresh()
        if self._table.open_access is not None:
            return self._table.open_access
        token = _presented(request)
        found = self._table.find(token)
        if found is None:
            self._require_patience(request)
            # It may have been made a moment ago. Without the database nobody can tell, and 503 says so.
            await self._table.refresh()
            found = self._table.find(token)
        refusal = token_table.unknown() if found is None else found.grant.refusal()
        if found is None or refusal is not None:
            self._require_patience(request)
            self._count_failure(request)
            raise refusal or token_table.unknown()
        self._acquaintance.remember(request.headers[hdrs.AUTHORIZATION], found)
        return found

    def _require_patience(self, request: web.Request) -> None:
        seconds = math.ceil(self._failures.seconds_to_wait(_address(request), now=grant.now()))
        if seconds > 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_failures",
                "Too many requests from your address came with a token that is not good. Correct it: a good one is "
                f"let in at once, another bad one is looked at in {seconds} s.",
                headers={"Retry-After": str(seconds)},
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


def _is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS)


def _needed(request: web.Request) -> Scope:
    is_question = request.method in origins.SAFE_METHODS or request.path in QUESTIONS
    return Scope.READ if is_question else Scope.WRITE


@lru_cache(MOST_REMEMBERED)
def _is_for_credentials(query: str) -> bool:
    """Whether a query string asks for credentials, read once for the many times that a program sends the same.

    Raises the `Problem` of one with a token in it, which is not remembered so.
    """
    parameters = URL.build(query_string=query, encoded=True).query
    if any(name.lower() in SECRET_PARAMETERS for name in parameters):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "token_in_query",
            "A token does not belong into the address, which proxies and browsers write down: send it as "
            "`Authorization: Bearer TOKEN`. If this was a real one, revoke it and make another.",
        )
    return "credentials" in parameters.getall("include", ())


def _presented(request: web.Request) -> str:
    values = request.headers.getall(hdrs.AUTHORIZATION, ())
    if not values:
        raise token_table.missing()
    if len(values) > 1:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "several_tokens",
            "The request has several Authorization headers; send one, with one token.",
        )
    match = _BEARER.fullmatch(values[0].strip())
    # What is no bearer token at all is answered like one that nobody knows.
    return "" if match is None else match["token"]


def _address(request: web.Request) -> str:
    return request.remote or "local"
