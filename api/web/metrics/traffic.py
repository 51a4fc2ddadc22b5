"""What the API counts of its own requests."""

from collections import defaultdict
from collections.abc import Iterator

from aiohttp import hdrs, web
from prometheus_client.metrics_core import Metric as Family

from api.web.metrics import catalogue, families
from monitor.domain.distribution import SECONDS, Distribution

# A client can make methods up, and each would be a label for ever.
METHODS = hdrs.METH_ALL
# Where a client says how long it wants to wait.
WAITING = "/api/events"


class Traffic:
    """Counts every answer, refusals too; `route` is the pattern that the path of the request fits."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: defaultdict[str, Distribution] = defaultdict(lambda: Distribution(SECONDS))

    def count(self, request: web.Request, response: web.StreamResponse, *, route: str, seconds: float) -> None:
        """Count an answer that took some seconds; a stream, and who waits for events, took what they wanted."""
        answered = request.method, route, response.status
        requests = self._requests
        if answered in requests:
            requests[answered] += 1
        else:
            self._begin(*answered)
        if isinstance(response, web.Response) and (route != WAITING or "wait" not in request.query):
            self._seconds[route].observe(seconds)

    def _begin(self, method: str, route: str, status: int) -> None:
        answered = method if method in METHODS else "other", route, status
        self._requests[answered] = self._requests.get(answered, 0) + 1

    def families(self) -> Iterator[Family]:
        """Yield what was counted."""
        counts = (((method, route, str(status)), count) for (method, route, status), count in self._requests.items())
        yield families.many(catalogue.REQUESTS, counts)
        spread = [((route,), seconds.document()) for route, seconds in self._seconds.items()]
        yield families.histogram(catalogue.REQUEST_SECONDS, spread)
