"""What is asked of the resolver, and which servers a request leaves to choose from."""

from typing import NamedTuple

from monitor.domain.entry import Copy, Entry, Standing

MOST_CANDIDATES = 20


class Request(NamedTuple):
    """What is asked. `cloud` allows a stub whose model runs elsewhere, which is never done unasked: prompts
    would leave the house. An empty text is not the same as none: it is refused.

    `candidates` is how many servers are wanted, the next best ones
    after the first. `labels`, `site`, `capabilities` (of the model) and `api` are selectors: all of them must fit.
    """

    server_url: str | None = None
    model: str | None = None
    explain: bool = False
    cloud: bool = False
    candidates: int = 1
    labels: tuple[tuple[str, str], ...] = ()
    site: str | None = None
    capabilities: tuple[str, ...] = ()
    api: str | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether there is a selector."""
        return bool(self.labels or self.site is not None or self.capabilities or self.api is not None)

    @property
    def is_plain(self) -> bool:
        """Whether only the first of all servers is wanted, without a word about the others."""
        # One comparison of all of them: this is looked at for every request.
        return self[4:] == _JUST_ONE and not self.explain


# Of a request for just one server, what comes after `cloud`.
_JUST_ONE = Request()[4:]


def fits_copy(copy: Copy, request: Request) -> bool:
    """Whether the selectors leave a model of a server."""
    return _fits_place(copy.server, request) and _has_all(copy, request)


def fits_server(entry: Entry, request: Request) -> bool:
    """Whether the selectors leave a server; a capability is that of any model that it could be asked for."""
    if not _fits_place(entry, request):
        return False
    least = Standing.CLOUD if request.cloud else Standing.LOCAL
    return not request.capabilities or any(
        copy.standing <= least and _has_all(copy, request) for copy in entry.copies.values()
    )


def told(request: Request) -> str:
    """Return the selectors as they are written in a query."""
    parts = [f"label={key}:{value}" for key, value in request.labels]
    parts += [] if request.site is None else [f"site={request.site}"]
    parts += [f"capability={capability}" for capability in request.capabilities]
    parts += [] if request.api is None else [f"api={request.api}"]
    return " ".join(parts)


def _fits_place(entry: Entry, request: Request) -> bool:
    return (
        request.site in {None, entry.site}
        and request.api in {None, entry.api}
        and all(entry.labels.get(key) == value for key, value in request.labels)
    )


def _has_all(copy: Copy, request: Request) -> bool:
    return all(capability in copy.capabilities for capability in request.capabilities)
