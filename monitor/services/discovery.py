"""Discovery: list a server's models, find the difference, record it; then see what is in memory.

Between two listings the memory is looked into again only while it changes, right after the time of a model in it ends,
and after what may have emptied it. Of a server that is down nothing is in memory.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from monitor.domain import evaluation, inventory, noise
from monitor.domain.availability import Availability, Status
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.inventory import CapabilitySource, Difference, Sighting
from monitor.domain.probe import ListedModel, Listing, LoadedModel, ProbeResult, Reason, ShownModel
from monitor.domain.schedule import JITTER, RETRY_LIST, Schedule, list_delay_after
from monitor.domain.server import Server, ServerId
from monitor.ports import Doubt, InventoryStore, Lister, Prober, Recorder

MOST_SHOWN = 10_000
# How long one listing may go on asking for the particulars of models; the next one goes on from there.
MOST_SHOW_SECONDS = 30.0
# Seconds: of a rack that dies all verdicts are written by then.
AFTER_VERDICTS = (1.0, 3.0)
NOW = float("-inf")
# The fingerprint of a memory without a model.
EMPTY = hash(frozenset[LoadedModel]())
# Details of a server that is noisy.
NOISY_LIST = "Its list of models changes by more than is followed."
NOISY_MEMORY = "What it has in memory changes by more than is followed."

NOTHING = Difference()
# Whose file it is, its digest, and the version that read it.
File = tuple[ServerId, str, str | None]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A listing and what it changes; `complete` unless something of a model could not be learnt."""

    listing: Listing
    difference: Difference = NOTHING
    complete: bool = False


class ShownModels:
    """What `show` told of each digest, so that a server is asked about a file once.

    No server is believed about the files of another one: it may say of a digest what it likes. Another version of
    Ollama may read more out of the same file, so it is asked anew.
    """

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._known: OrderedDict[File, ShownModel] = OrderedDict()

    async def sighting(
        self, server: Server, facts: ListedModel, *, version: str | None, may_ask: Callable[[], bool]
    ) -> tuple[Sighting, bool]:
        """Return the model with its capabilities, asked for where the list has none; False if that failed.

        `may_ask` takes one question from what the server may be asked, if there is one left.
        """
        if facts.capabilities is not None:
            return Sighting(facts=facts, source=CapabilitySource.TAGS), True
        key = None if facts.digest is None else (server.id, facts.digest, version)
        shown = None if key is None else self._known.get(key)
        if shown is None:
            shown = await self._lister.show(server, facts.model_name) if may_ask() else None
            if shown is None or shown.reason is not Reason.OK:
                return Sighting(facts=facts, source=CapabilitySource.NONE), False
            self._remember(key, shown)
        return _with_shown(facts, shown), True

    def _remember(self, key: File | None, shown: ShownModel) -> None:
        if key is None:
            return
        self._known[key] = shown
        if len(self._known) > MOST_SHOWN:
            self._known.popitem(last=False)


class Discovery:
    """Discovers what servers have, one server with each call."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        agenda: Schedule,
        lister: Lister,
        prober: Prober,
        store: InventoryStore,
        recorder: Recorder,
        doubt: Doubt,
        interval: timedelta,
    ) -> None:
        """`interval` lies between two listings of a server; `prober` is asked for its version on request."""
        self._fleet = fleet
        self._agenda = agenda
        self._lister = lister
        self._prober = prober
        self._store = store
        self._recorder = recorder
        self._doubt = doubt
        self._interval = interval.total_seconds()
        self._shown = ShownModels(lister)

    def want(self, server_id: ServerId) -> None:
        """Have the server's next turn list, and not only look into its memory."""
        watched = self._fleet.get(server_id)
        if watched is not None:
            watched.list_due_at = NOW

    def gone(self, server_id: ServerId) -> None:
        """Hear of a server that is down: nothing is in its memory, which is recorded once the verdicts are."""
        self._agenda.set(server_id, time.monotonic() + random.uniform(*AFTER_VERDICTS))

    async def run(self, server_id: ServerId) -> None:
        """Give the server its turn: list if that is due, and look into its memory.

        What comes after it was edited or deleted is dropped.
        """
        watched = self._fleet.get(server_id)
        if watched is None:
            return
        now, is_requested = time.monotonic(), watched.discovery_requested_at is not None
        is_due = is_requested or now >= watched.list_due_at
        if is_due:
            watched.list_due_at = now + self._interval * (1 + JITTER * random.uniform(-1, 1))
        self._agenda.set(server_id, watched.list_due_at)
        try:
            if watched.availability.status is Status.DOWN and not is_requested:
                await self._forget_memory(watched)
                return
            if is_due:
                await self._list(watched)
            await self._look_into_memory(watched)
        except DatabaseUnavailableError as error:
            watched.known_list = watched.known_residency = None
            # What was missing may have been seen meanwhile, and that could not be noted.
            watched.missing = frozenset()
            self._list_in(watched, RETRY_LIST * random.uniform(0.5, 1))
            log.debug("discovery_not_recorded", server=watched.server.name, error=str(error))

    def _try_again(self, watched: Watched, listing: Listing) -> None:
        at, jitter = time.monotonic(), random.uniform(0.5, 1)
        delay = list_delay_after(listing, watched.availability, interval=self._interval, at=at, jitter=jitter)
        if delay is not None:
            watched.list_due_at = at + delay
            self._agenda.set(watched.server.id, watched.list_due_at)

    def _list_in(self, watched: Watched, seconds: float) -> None:
        """Have the next listing after so many seconds, or when it would be anyway."""
        watched.list_due_at = min(watched.list_due_at, time.monotonic() + min(seconds, self._interval))
        self._agenda.set(watched.server.id, watched.list_due_at)

    async def _list(self, watched: Watched) -> None:
        requested = watched.discovery_requested_at
        listing = await self._ask(watched)
        if not self._fleet.is_current(watched):
            return
        self._evaluate(watched, listing)
        found = Found(listing=listing)
        if listing.reason is Reason.OK:
            version = await self._version(watched, listing)
            fingerprint = _fingerprint(listing, version)
            watched.list_noise = noise.after_answer(
                watched.list_noise, _fingerprint(listing, None), at=time.monotonic()
            )
            is_new = fingerprint != watched.known_list or watched.missing or watched.list_noise.is_noisy
            if requested is None and not is_new:
                self._record(watched, listed_at=time.monotonic(), at_once=False)
                return
            found = await self._compare(watched, listing, version=version, certain=requested is not None)
            if found.listing.reason is Reason.OK:
                watched.known_list = None
            elif requested is None:
                return
            if await self._write(watched, found, requested) and found.complete:
                watched.known_list = _fingerprint(found.listing, version)
        elif requested is not None:
            await self._write(watched, found, requested)

    async def _write(self, watched: Watched, found: Found, requested: datetime | None) -> bool:
        """Write what was found, and the answer to a request; return whether that was wanted."""
        if not self._fleet.is_current(watched):
            return False
        listed = found.listing.reason is Reason.OK
        written = await self._store.write(
            watched.server,
            found.difference,
            listed=listed,
            answered_at=requested,
            answer=None if requested is None else _answer(found.listing, found.difference),
        )
        if watched.discovery_requested_at == requested:
            watched.discovery_requested_at = None
        if not written or not listed:
            return written
        watched.missing = found.difference.missing
        if watched.missing:
            self._list_in(watched, RETRY_LIST * (1 + JITTER * random.uniform(-1, 1)))
        if not found.difference.is_empty:
            # A model that is new on record may have been in memory before.
            watched.known_residency = None
        return True

    async def _ask(self, watched: Watched) -> Listing:
        """List, as `local` where a failure may well be our own doing."""
        server, began = watched.server, time.monotonic()
        listing = await self._lister.list_models(server)
        result = ProbeResult(reason=listing.reason, detail=listing.detail)
        doubted = self._doubt.own_fault(result, began=began, at=time.monotonic(), timeout=server.policy.timeout)
        return replace(listing, reason=doubted.reason, detail=doubted.detail)

    async def _version(self, watched: Watched, listing: Listing) -> str | None:
        """Return the server's version; who requests a discovery may have upgraded it this moment."""
        is_bare = any(model.capabilities is None for model in listing.models)
        if watched.discovery_requested_at is None or not is_bare:
            return watched.server_version
        return (await self._prober.probe(watched.server)).server_version or watched.server_version

    async def _compare(self, watched: Watched, listing: Listing, *, version: str | None, certain: bool) -> Found:
        """Compare with what is on record; `certain` lists a second time now if models are missing.

        The second listing counts whatever it says: what it has is not missing, and what both lack is gone. Of a server
        that is noisy nothing is found.
        """
        if not watched.list_noise.is_heard(time.monotonic()):
            return _unheard(listing)
        found = await self._sure_difference(watched, listing, version=version, certain=certain)
        watched.list_noise = noise.after_changes(watched.list_noise, found.difference.size, at=time.monotonic())
        self._evaluate_noise(watched)
        return _unheard(listing) if watched.list_noise.is_noisy else found

    async def _sure_difference(
        self, watched: Watched, listing: Listing, *, version: str | None, certain: bool
    ) -> Found:
        found = await self._difference(watched, listing, version=version, missed_before=watched.missing)
        if not found.difference.missing:
            return found
        if watched.list_noise.is_noisy:
            # It has said the same for long enough: what it lacks is gone.
            return await self._difference(watched, listing, version=version, missed_before=found.difference.absent)
        if not certain:
            return found
        again = await self._lister.list_models(watched.server)
        if again.reason is not Reason.OK:
            return found
        return await self._difference(watched, again, version=version, missed_before=found.difference.absent)

    async def _difference(
        self, watched: Watched, listing: Listing, *, version: str | None, missed_before: frozenset[str]
    ) -> Found:
        sightings: list[Sighting] = []
        complete = True
        may_ask = partial(_may_show, watched, until=time.monotonic() + MOST_SHOW_SECONDS)
        for facts in listing.models:
            sighting, known = await self._shown.sighting(watched.server, facts, version=version, may_ask=may_ask)
            sightings.append(sighting)
            complete = complete and known
        on_record = await self._store.known(watched.server.id)
        difference = inventory.diff(on_record, sightings, missed_before=missed_before)
        return Found(listing=listing, difference=difference, complete=complete)

    async def _look_into_memory(self, watched: Watched) -> None:
        if watched.availability.status is Status.DOWN or not self._fleet.is_current(watched):
            return
        residency = await self._lister.list_loaded(watched.server)
        if residency.reason is not Reason.OK or residency.models is None or not self._fleet.is_current(watched):
            return
        at = datetime.fromtimestamp(time.time(), UTC)
        models = inventory.in_memory(residency.models, at=at)
        resident = _shape(models)
        watched.memory_noise = noise.after_answer(watched.memory_noise, resident, at=time.monotonic())
        moves = watched.resident not in {None, resident} and not watched.memory_noise.is_noisy
        soon = inventory.next_look(models, moves=moves, at=at)
        watched.resident = resident
        if soon is not None:
            self._agenda.set(watched.server.id, min(watched.list_due_at, time.monotonic() + soon))
        fingerprint = hash(frozenset(models))
        if fingerprint == watched.known_residency and not watched.memory_noise.is_noisy:
            return
        if watched.memory_noise.is_heard(time.monotonic()):
            await self._take_over(watched, models, fingerprint=fingerprint)

    async def _take_over(self, watched: Watched, models: tuple[LoadedModel, ...], *, fingerprint: int) -> None:
        """Write what is in memory now, unless that changes by more than is followed."""
        on_record = [record for record in await self._store.known(watched.server.id) if not record.removed]
        changes = inventory.residency_changes(on_record, models)
        told = inventory.told(on_record, changes)
        watched.memory_noise = noise.after_changes(watched.memory_noise, told, at=time.monotonic())
        self._evaluate_noise(watched)
        if watched.memory_noise.is_noisy:
            return
        if not changes or await self._store.write_loaded(watched.server, changes):
            watched.known_residency = fingerprint

    async def _forget_memory(self, watched: Watched) -> None:
        if watched.known_residency != EMPTY and await self._store.forget_loaded(watched.server):
            watched.known_residency, watched.resident = EMPTY, _shape(())

    def _evaluate(self, watched: Watched, listing: Listing) -> None:
        self._believe(watched, evaluation.evaluate_listing(watched.availability, listing, at=time.monotonic()))
        if listing.reason is not Reason.OK:
            self._try_again(watched, listing)

    def _evaluate_noise(self, watched: Watched) -> None:
        says = NOISY_LIST if watched.list_noise.is_noisy else NOISY_MEMORY if watched.memory_noise.is_noisy else None
        self._believe(watched, evaluation.evaluate_noise(watched.availability, says, at=time.monotonic()))

    def _believe(self, watched: Watched, after: Availability) -> None:
        before, watched.availability = watched.availability, after
        if after.status is not before.status:
            log.info("server_status", **watched.verdict_after(before.status))
            self._record(watched, listed_at=None, at_once=True)

    def _record(self, watched: Watched, *, listed_at: float | None, at_once: bool) -> None:
        self._recorder.record(watched.record(listed_at=listed_at), at_once=at_once)


def _fingerprint(listing: Listing, version: str | None) -> int:
    """Return what tells whether a listing says what the last one did, to the same version of Ollama."""
    return hash((version, *sorted(listing.models, key=lambda model: model.model_name)))


def _shape(models: Iterable[LoadedModel]) -> int:
    """Return what tells whether a memory holds what it did, whenever that is to leave it."""
    return hash(frozenset((model.model_name, model.size_bytes, model.size_vram) for model in models))


def _unheard(listing: Listing) -> Found:
    """Return what is found of a list that nobody follows: nothing, and why."""
    return Found(listing=replace(listing, reason=Reason.NOISY, detail=NOISY_LIST))


def _may_show(watched: Watched, *, until: float) -> bool:
    at = time.monotonic()
    if at >= until or watched.shows.available(at) < 1:
        return False
    watched.shows = watched.shows.less(1, at=at)
    return True


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
