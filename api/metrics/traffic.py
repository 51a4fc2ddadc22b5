"""What the API counts of its own requests."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client.metrics_core import Metric as Family

from api import middleware
from api.metrics import catalogue, families
from monitor.domain.distribution import SECONDS, Distribution

# A client can make methods up, and each would be a label for ever.
METHODS = hdrs.METH_ALL


class Traffic:
    """Counts as the outermost middleware, so that refusals count, too."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._seconds: defaultdict[str, Distribution] = defaultdict(lambda: Distribution(SECONDS))

    def middleware(self) -> Middleware:
        """Return what stands around every request."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = time.perf_counter()
            response = await handler(request)
            route = middleware.route(request)
            method = request.method if request.method in METHODS else "other"
            self._requests[method, route, str(response.status)] += 1
            if isinstance(response, web.Response) and "wait" not in request.query:
                self._seconds[route].observe(time.perf_counter() - began)
            return response

        return count

    def families(self) -> Iterator[Family]:
        """Yield what was counted."""
        yield families.many(catalogue.REQUESTS, self._requests.items())
        spread = [((route,), seconds.document()) for route, seconds in self._seconds.items()]
        yield families.histogram(catalogue.REQUEST_SECONDS, spread)
