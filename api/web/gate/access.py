"""Who makes a request, as the gate notes it for the handlers to look at, and which scopes a request needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from api.fleet.access.scopes import Access, Scope
from api.fleet.refusals import Refused
from api.web.gate import origins

_KEY = web.RequestKey("access", Access)
# What nobody needs a token for beside the pages.
SIGNS_OF_LIFE = frozenset({"/livez", "/readyz"})
# Questions that are sent with POST because they are long.
QUESTIONS = frozenset({"/api/resolve"})
# Where people put a token that belongs into a header; lower case.
SECRET_PARAMETERS = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "auth", "authorization", "bearer", "key", "token"}
)

PUBLIC: tuple[Scope, ...] = ()


def note(request: web.Request, access: Access) -> None:
    """Remember who asks."""
    request[_KEY] = access


def of(request: web.Request) -> Access:
    """Return who asks; a public route is asked by nobody, who may do nothing."""
    return request.get(_KEY) or Access(actor="nobody", scopes=frozenset())


def may_read(request: web.Request) -> bool:
    """Whether whoever asks is known and may read the fleet, and so be told of its database, too."""
    return Scope.READ in of(request).scopes


@asynccontextmanager
async def lasting(request: web.Request) -> AsyncIterator[None]:
    """Cut the block short with the `Refused` of a token that is revoked or expires meanwhile.

    For what takes long: a request that is answered at once was allowed when it came.
    """
    async with of(request).grant.lasting():
        yield


def scopes_of(request: web.Request) -> tuple[Scope, ...]:
    """Return the scopes that a request needs by its method and target, all of them; none for what is public.

    Raises the `Refused` of a request that has a token in its address.
    """
    query = request.rel_url.query
    if any(name.lower() in SECRET_PARAMETERS for name in query):
        raise Refused(
            "token_in_query",
            "A token does not belong into the address, which proxies and browsers write down: send it as "
            "`Authorization: Bearer TOKEN`. If this was a real one, revoke it and make another.",
        )
    path = request.rel_url.path
    if path in SIGNS_OF_LIFE or origins.is_page(path):
        return PUBLIC
    scope = Scope.READ if request.method in origins.SAFE_METHODS or path in QUESTIONS else Scope.WRITE
    return (scope, Scope.CREDENTIALS) if "credentials" in query.getall("include", ()) else (scope,)
