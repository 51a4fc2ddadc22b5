"""What the API counts of its own requests."""

from collections.abc import Iterator

from aiohttp import hdrs, web
from prometheus_client.metrics_core import Metric as Family

from api.web.metrics import catalogue, families
from monitor.domain.distribution import SECONDS, Distribution

# A client can make methods up, and each would be a label for ever.
METHODS = hdrs.METH_ALL
# Where a client says how long it wants to wait.
WAITING = "/api/events"


class RouteTraffic:
    """The answers of one route; `may_wait` if a client can say there how long it wants to wait."""

    def __init__(self, *, may_wait: bool) -> None:
        self._may_wait = may_wait
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds = Distribution(SECONDS)

    def count(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        """Count an answer that took some seconds; a stream, and who waits for events, took what they wanted."""
        answered = request.method, response.status
        try:
            self.requests[answered] += 1
        except KeyError:
            self._begin(*answered)
        if isinstance(response, web.Response) and not (self._may_wait and "wait" in request.query):
            self.seconds.observe(seconds)

    def _begin(self, method: str, status: int) -> None:
        answered = method if method in METHODS else "other", status
        self.requests[answered] = self.requests.get(answered, 0) + 1


class Traffic:
    """Counts every answer, refusals too, by the pattern that the path of its request fits."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteTraffic] = {}

    def of(self, route: str) -> RouteTraffic:
        """Return the counters of a route, by its pattern; methods share them."""
        return self._routes.setdefault(route, RouteTraffic(may_wait=route == WAITING))

    def families(self) -> Iterator[Family]:
        """Yield what was counted."""
        counts = (
            ((method, route, str(status)), count)
            for route, traffic in self._routes.items()
            for (method, status), count in traffic.requests.items()
        )
        yield families.many(catalogue.REQUESTS, counts)
        spread = [((route,), traffic.seconds.document()) for route, traffic in self._routes.items() if traffic.requests]
        yield families.histogram(catalogue.REQUEST_SECONDS, spread)
