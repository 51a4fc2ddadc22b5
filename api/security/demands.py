"""What a request needs of whoever makes it: told by its method and target, read once for the many that are the same."""

from http import HTTPStatus

from aiohttp import web
from yarl import URL

from api.memory import Memory
from api.problems import Problem
from api.security import origins
from api.security.access import Scope

# What nobody needs a token for: signs of life, and pages that hold no data of the fleet.
PUBLIC_PATHS = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
PUBLIC_FOLDERS = ("/docs/", "/dashboard/")
# Questions that are sent with POST because they are long.
QUESTIONS = frozenset({"/api/resolve"})
# Where people put a token that belongs into a header; lower case.
SECRET_PARAMETERS = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "auth", "authorization", "bearer", "key", "token"}
)
MOST_REMEMBERED = 1024

Demand = tuple[Scope, ...]
PUBLIC: Demand = ()


class Demands:
    """Invariant: what is remembered was let through, so a refusal is found anew each time."""

    def __init__(self) -> None:
        self._known: Memory[tuple[str, str], Demand] = Memory(most=MOST_REMEMBERED)

    def of(self, request: web.Request) -> Demand:
        """Return the scopes that are needed, all of them; none for what is public.

        Raises the `Problem` of a request that has a token in its address.
        """
        asked = request.method, request.raw_path
        demand = self._known.get(asked)
        if demand is None:
            demand = _read(request.method, request.rel_url)
            self._known[asked] = demand
        return demand


def _read(method: str, target: URL) -> Demand:
    if any(name.lower() in SECRET_PARAMETERS for name in target.query):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "token_in_query",
            "A token does not belong into the address, which proxies and browsers write down: send it as "
            "`Authorization: Bearer TOKEN`. If this was a real one, revoke it and make another.",
        )
    path = target.path
    if path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS):
        return PUBLIC
    scope = Scope.READ if method in origins.SAFE_METHODS or path in QUESTIONS else Scope.WRITE
    return (scope, Scope.CREDENTIALS) if "credentials" in target.query.getall("include", ()) else (scope,)
