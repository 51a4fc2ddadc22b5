"""Who makes a request: noted by the gate, for the handlers to look at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from api.fleet.access.scopes import Access, Scope

_KEY = web.RequestKey("access", Access)


def note(request: web.Request, access: Access) -> None:
    """Remember who asks."""
    request[_KEY] = access


def of(request: web.Request) -> Access:
    """Return who asks; a public route is asked by nobody, who may do nothing."""
    return request.get(_KEY) or Access(actor="nobody", scopes=frozenset())


def require(request: web.Request, scope: Scope) -> None:
    """Raise the 403 `Refused` unless whoever asks has this scope."""
    of(request).require(scope)


@asynccontextmanager
async def lasting(request: web.Request) -> AsyncIterator[None]:
    """Cut the block short with the `Refused` of a token that is revoked or expires meanwhile.

    For what takes long: a request that is answered at once was allowed when it came.
    """
    async with of(request).grant.lasting():
        yield
