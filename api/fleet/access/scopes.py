"""Who asks, and what they may do: the scopes of a token, and the access it gives."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

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
# What needs no token in an API that is open to its own machine: each of its users and programs may be the one who asks.
OPEN = frozenset(Scope) - {Scope.CREDENTIALS}


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
        if scope in self.scopes:
            return
        who = "The token may not do this: it lacks" if self.token_id else "Nobody may do this without a token that has"
        # Whoever asks for credentials reads, too.
        also = "--scope read " if scope is Scope.CREDENTIALS else ""
        closes = "" if self.token_id else " From then on every request needs a token."
        raise Refused(
            "scope_missing",
            f"{who} the scope {scope}. Make one that has it with `ollama-fleet token create NAME {also}--scope "
            f"{scope}`, and send that.{closes}",
            scope=scope.value,
        )


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return the scopes with those that come with them."""
    return frozenset().union(*(IMPLIED[scope] for scope in scopes))
