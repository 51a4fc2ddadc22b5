"""Who asks and what they may do: what the gate notes of each request, for the handlers to look at."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from api.fleet.access.grant import Grant
from api.fleet.refusals import Refused

# The command line on the database itself, and an API that is open to its own machine.
LOCAL = "local"


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    WRITE = "write"
    CREDENTIALS = "credentials"
    ADMIN = "admin"


# Whoever may change a server gets it back as the answer, so `write` without `read` would say nothing true.
# Credentials are the secrets of other machines: nobody gets them by the way but an administrator.
IMPLIED = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.WRITE, Scope.READ}),
    Scope.CREDENTIALS: frozenset({Scope.CREDENTIALS}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`actor` is the name that events give to whoever asks, `scopes` is all they may do, implied ones too."""

    actor: str
    scopes: frozenset[Scope]
    grant: Grant = field(default_factory=Grant, repr=False, compare=False)
    # The public part of the token, None without one.
    token_id: str | None = None

    def require(self, scope: Scope) -> None:
        """Raise the 403 `Refused` unless this scope is among them."""
        if scope not in self.scopes:
            raise Refused(
                "scope_missing",
                f"The token may not do this: it lacks the scope {scope}. Make one that has it with "
                f"`ollama-fleet token create NAME --scope {scope}`, and send that.",
                scope=scope.value,
            )


_KEY = web.RequestKey("access", Access)


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return the scopes with those that come with them."""
    return frozenset().union(*(IMPLIED[scope] for scope in scopes))


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
