"""Discovery: list a server's models, find the difference, record it; then see what is in memory."""

import random
import time
from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from monitor.domain import evaluation, inventory
from monitor.domain.availability import Status
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.inventory import CapabilitySource, Difference, Sighting
from monitor.domain.probe import ListedModel, Listing, ProbeResult, Reason, ShownModel
from monitor.domain.schedule import JITTER, RETRY_LIST, Schedule, list_delay_after
from monitor.domain.server import Server, ServerId
from monitor.ports import Doubt, InventoryStore, Lister, Recorder

MOST_SHOWN = 10_000

log = structlog.get_logger(__name__)


class ShownModels:
    """What `show` told of each digest, so that every server's same file is asked about once."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._by_digest: OrderedDict[str, ShownModel] = OrderedDict()

    async def sighting(self, server: Server, facts: ListedModel) -> tuple[Sighting, bool]:
        """Return the model with its capabilities, asked for where the list has none; False if that failed."""
        if facts.capabilities is not None:
            return Sighting(facts=facts, source=CapabilitySource.TAGS), True
        shown = None if facts.digest is None else self._by_digest.get(facts.digest)
        if shown is None:
            shown = await self._lister.show(server, facts.model_name)
            if shown.reason is not Reason.OK:
                return Sighting(facts=facts, source=CapabilitySource.NONE), False
            self._remember(facts.digest, shown)
        return _with_shown(facts, shown), True

    def _remember(self, digest: str | None, shown: ShownModel) -> None:
        if digest is None:
            return
        self._by_digest[digest] = shown
        if len(self._by_digest) > MOST_SHOWN:
            self._by_digest.popitem(last=False)


class Discovery:
    """Discovers what servers have, one server with each call."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        agenda: Schedule,
        lister: Lister,
        store: InventoryStore,
        recorder: Recorder,
        doubt: Doubt,
        interval: timedelta,
    ) -> None:
        """`interval` lies between two listings of a server."""
        self._fleet = fleet
        self._agenda = agenda
        self._lister = lister
        self._store = store
        self._recorder = recorder
        self._doubt = doubt
        self._interval = interval.total_seconds()
        self._shown = ShownModels(lister)

    async def run(self, server_id: ServerId) -> None:
        """Discover the server once; what comes after its server was edited or deleted is dropped."""
        watched = self._fleet.get(server_id)
        if watched is None:
            return
        delay = self._interval * (1 + JITTER * random.uniform(-1, 1))
        self._agenda.set(server_id, time.monotonic() + delay)
        if watched.availability.status is Status.DOWN and watched.discovery_requested_at is None:
            return
        try:
            await self._list(watched)
            await self._look_into_memory(watched)
        except DatabaseUnavailableError as error:
            watched.known_list = watched.known_residency = None
            self._agenda.set(server_id, time.monotonic() + min(RETRY_LIST * random.uniform(0.5, 1), self._interval))
            log.debug("discovery_not_recorded", server=watched.server.name, error=str(error))

    def _try_again(self, watched: Watched, listing: Listing) -> None:
        at, jitter = time.monotonic(), random.uniform(0.5, 1)
        delay = list_delay_after(listing, watched.availability, interval=self._interval, at=at, jitter=jitter)
        if delay is not None:
            self._agenda.set(watched.server.id, at + delay)

    async def _list(self, watched: Watched) -> None:
        requested = watched.discovery_requested_at
        began = time.monotonic()
        listing = self._doubted(await self._lister.list_models(watched.server), watched.server, began=began)
        if not self._fleet.is_current(watched):
            return
        self._evaluate(watched, listing)
        fingerprint = hash(tuple(sorted(listing.models, key=lambda model: model.model_name)))
        if listing.reason is not Reason.OK:
            difference, complete = Difference(), False
            if requested is None:
                return
        elif requested is None and fingerprint == watched.known_list and not watched.missing:
            self._record(watched, listed_at=time.monotonic(), at_once=False)
            return
        else:
            difference, complete = await self._difference(watched, listing, certain=requested is not None)
        if not self._fleet.is_current(watched):
            return
        written = await self._store.write(
            watched.server,
            difference,
            listed=listing.reason is Reason.OK,
            answered_at=requested,
            answer=None if requested is None else _answer(listing, difference),
        )
        if watched.discovery_requested_at == requested:
            watched.discovery_requested_at = None
        if written and listing.reason is Reason.OK:
            watched.known_list = fingerprint if complete else None
            watched.missing = difference.missing
            if not difference.is_empty:
                # A model that is new on record may have been in memory before.
                watched.known_residency = None

    async def _difference(self, watched: Watched, listing: Listing, *, certain: bool) -> tuple[Difference, bool]:
        """Compare with what is on record; `certain` asks a second time now for models that are missing."""
        sightings: list[Sighting] = []
        complete = True
        for facts in listing.models:
            sighting, known = await self._shown.sighting(watched.server, facts)
            sightings.append(sighting)
            complete = complete and known
        on_record = await self._store.known(watched.server.id)
        difference = inventory.diff(on_record, sightings, missed_before=watched.missing)
        if certain and difference.missing:
            again = await self._lister.list_models(watched.server)
            if again.reason is Reason.OK and again.models == listing.models:
                difference = inventory.diff(on_record, sightings, missed_before=watched.missing | difference.missing)
        return difference, complete

    async def _look_into_memory(self, watched: Watched) -> None:
        if watched.availability.status is Status.DOWN or not self._fleet.is_current(watched):
            return
        residency = await self._lister.list_loaded(watched.server)
        if residency.reason is not Reason.OK or residency.models is None:
            return
        fingerprint = hash(frozenset(residency.models))
        if fingerprint == watched.known_residency or not self._fleet.is_current(watched):
            return
        on_record = [record for record in await self._store.known(watched.server.id) if not record.removed]
        changes = inventory.residency_changes(on_record, residency.models)
        if not changes or await self._store.write_loaded(watched.server, changes):
            watched.known_residency = fingerprint

    def _doubted(self, listing: Listing, server: Server, *, began: float) -> Listing:
        """Return the listing, as `local` where its failure may well be our own doing."""
        result = ProbeResult(reason=listing.reason, detail=listing.detail)
        at, timeout = time.monotonic(), server.policy.timeout
        doubted = self._doubt.own_fault(result, began=began, at=at, timeout=timeout)
        return replace(listing, reason=doubted.reason, detail=doubted.detail)

    def _evaluate(self, watched: Watched, listing: Listing) -> None:
        before = watched.availability
        watched.availability = evaluation.evaluate_listing(before, listing, at=time.monotonic())
        if watched.availability.status is not before.status:
            log.info("server_status", **watched.verdict_after(before.status))
            self._record(watched, listed_at=None, at_once=True)
        if listing.reason is not Reason.OK:
            self._try_again(watched, listing)

    def _record(self, watched: Watched, *, listed_at: float | None, at_once: bool) -> None:
        self._recorder.record(watched.record(listed_at=listed_at), at_once=at_once)


def _with_shown(facts: ListedModel, shown: ShownModel) -> Sighting:
    facts = replace(
        facts,
        capabilities=shown.capabilities,
        context_length=facts.context_length or shown.context_length,
    )
    source = CapabilitySource.NONE if shown.capabilities is None else CapabilitySource.SHOW
    return Sighting(facts=facts, source=source)


def _answer(listing: Listing, difference: Difference) -> dict[str, Any]:
    return {
        "reason": listing.reason.value,
        "detail": listing.detail or None,
        "added": [new.facts.model_name for new in difference.added],
        "changed": [record.facts.model_name for record, _ in difference.changed],
        "removed": [record.facts.model_name for record in difference.removed],
        "unchanged": difference.unchanged,
        "dropped": listing.dropped,
    }
