"""The catalogue: which model is where, and whether all servers mean the same by its name."""

import bisect
from collections.abc import Iterator
from itertools import islice

from pydantic import RootModel
from typing_extensions import TypedDict

from api.fleet import cursors
from api.fleet.filters import CatalogueFilters
from api.fleet.refusals import Next, Refused
from api.fleet.resolution import answers
from api.fleet.resolution.answers import SnapshotView
from api.fleet.resolution.mirror import Snapshot
from monitor.domain import model_name as model_names
from monitor.domain import nearest
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Standing

# Of one model in a page; the model alone is shown with all its servers.
MOST_PLACES = 100
MOST_IN_A_MESSAGE = 100


class Place(TypedDict):
    """A server that lists the model; `is_active` when both the server and the model there are switched on."""

    server_id: str
    server_name: str
    model_name: str
    is_active: bool
    is_available: bool
    status: str
    loaded: bool
    size_vram: int | None
    size_bytes: int | None
    digest: str | None
    remote_host: str | None


class CatalogueEntry(TypedDict):
    """One model, whatever the spelling; the servers are in the order in which the resolver takes them.

    `servers_total` counts also those that a page leaves out. `loaded_on` are names of servers. `digest_drift`: the
    servers have different models under this name. `cloud`: it runs elsewhere, wherever it is listed.
    """

    model_name: str
    is_active: bool
    is_available: bool
    cloud: bool
    digest_drift: bool
    digests: list[str]
    size_bytes: int | None
    capabilities: list[str]
    loaded_on: list[str]
    servers_total: int
    servers: list[Place]


class CataloguePage(TypedDict):
    """Some models, by name; `next_cursor` reads on, and is None at the end."""

    items: list[CatalogueEntry]
    next_cursor: str | None
    snapshot: SnapshotView


class CatalogueAnswer(CatalogueEntry):
    """One model with all its servers."""

    snapshot: SnapshotView


class CataloguePageView(RootModel[CataloguePage]):
    """The page, for whoever describes it, or reads what another process wrote."""


class CatalogueAnswerView(RootModel[CatalogueAnswer]):
    """The same for one model."""


def page(snapshot: Snapshot, filters: CatalogueFilters, *, limit: int, cursor: str | None) -> CataloguePage:
    """Return at most `limit` models that the filters let through, after those of the page before."""
    found = list(islice(_keys(snapshot.fleet, filters, cursor), limit + 1))
    items = [_entry(snapshot.fleet.holders(key), most=MOST_PLACES) for key in found[:limit]]
    next_cursor = None if len(found) <= limit else cursors.write_text(found[limit - 1])
    return CataloguePage(items=items, next_cursor=next_cursor, snapshot=answers.snapshot_view(snapshot))


def one(snapshot: Snapshot, model_name: str) -> CatalogueAnswer:
    """Return one model; raises the 404 `Refused` that names the nearest ones."""
    key = model_names.key(model_name)
    holders = snapshot.fleet.holders(key)
    if not holders:
        near = list(nearest.names(snapshot.fleet, key, cloud=True))
        given = model_name[:MOST_IN_A_MESSAGE]
        hint = f" Nearest: {', '.join(near)}." if near else ""
        then = None if near else Next.LIST_MODELS
        raise Refused(
            "model_not_found", f"No server lists the model {given!r}.{hint}", next=then, model=given, nearest=near
        )
    entry = _entry(holders, most=None)
    return CatalogueAnswer(**entry, snapshot=answers.snapshot_view(snapshot))


def _keys(fleet: Directory, filters: CatalogueFilters, cursor: str | None) -> Iterator[str]:
    keys = fleet.keys
    start = 0 if cursor is None else bisect.bisect_right(keys, cursors.read_text(cursor))
    wanted = frozenset(filters.capability)
    for key in islice(keys, start, None):
        holders = fleet.holders(key)
        if _fits(holders, filters) and (not wanted or wanted <= _capabilities(holders)):
            yield key


def _fits(holders: list[Copy], filters: CatalogueFilters) -> bool:
    return (
        filters.is_active in {None, _is_active(holders)}
        and filters.is_available in {None, _is_available(holders)}
        and filters.loaded in {None, bool(_loaded(holders))}
        and filters.cloud in {None, _is_cloud(holders)}
        and filters.digest_drift in {None, len(_digests(holders)) > 1}
    )


def _entry(holders: list[Copy], *, most: int | None) -> CatalogueEntry:
    digests = _digests(holders)
    return CatalogueEntry(
        model_name=holders[0].model_name,
        is_active=_is_active(holders),
        is_available=_is_available(holders),
        cloud=_is_cloud(holders),
        digest_drift=len(digests) > 1,
        digests=digests,
        size_bytes=holders[0].size_bytes,
        capabilities=sorted(_capabilities(holders)),
        loaded_on=_loaded(holders),
        servers_total=len(holders),
        servers=[_place(copy) for copy in holders[:most]],
    )


def _place(copy: Copy) -> Place:
    server = copy.server
    return Place(
        server_id=str(server.id),
        server_name=server.name,
        model_name=copy.model_name,
        is_active=_counts(copy),
        is_available=server.is_available,
        status=server.status,
        loaded=copy.is_loaded,
        size_vram=copy.size_vram if copy.is_loaded else None,
        size_bytes=copy.size_bytes,
        digest=copy.digest,
        remote_host=copy.remote_host,
    )


def _counts(copy: Copy) -> bool:
    return copy.standing is not Standing.IDLE


def _is_active(holders: list[Copy]) -> bool:
    return _counts(holders[0])


def _is_available(holders: list[Copy]) -> bool:
    return any(_counts(copy) and copy.server.is_available for copy in holders)


def _loaded(holders: list[Copy]) -> list[str]:
    return [copy.server.name for copy in holders if _counts(copy) and copy.is_loaded]


def _is_cloud(holders: list[Copy]) -> bool:
    return all(copy.remote_host is not None for copy in holders)


def _digests(holders: list[Copy]) -> list[str]:
    return sorted({copy.digest for copy in holders if copy.digest is not None and copy.remote_host is None})


def _capabilities(holders: list[Copy]) -> frozenset[str]:
    return frozenset(capability for copy in holders for capability in copy.capabilities)
