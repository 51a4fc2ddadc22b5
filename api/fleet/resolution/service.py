"""The resolver for REST and the command line: its answers as data or bytes, its refusals with their facts."""

import hashlib
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from pydantic_core import to_json

from api.fleet import edits, refusals
from api.fleet.refusals import Next, Refused
from api.fleet.resolution import answers
from api.fleet.resolution.answers import Candidate, Lasting, Resolution
from api.fleet.resolution.mirror import Snapshot
from api.fleet.resolution.outgoing import OutgoingHeaders
from monitor.domain import resolver
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry
from monitor.domain.resolver import Answer, Code, Refusal
from monitor.domain.selection import Request
from monitor.domain.server import Policy
from monitor.domain.staleness import fresh_for
from monitor.domain.tie_break import TieBreak
from monitor.ollama.guard import Network

# `answers.Resolution` by rule 2, as it stands in JSON: its parts are written once for each server.
LASTING = (
    b'{"source":"registered","rule":2,%b,"model_name":%b,"model_known":true,"loaded":%b,"remote_host":%b,'
    b'"candidates":[],"explanation":null'
)
# What follows after that; to make a dictionary of it first would take four times as long.
AGEING = b',"stale":%b,"snapshot":{"seq":'
AGES = b'%b%d,"age_seconds":%.3f,"stale":%b}}'
TAG_BYTES = 8
MOST_TEXTS = 4096
# Of a fleet's copies only the best ones are named, until those fail.
MOST_COPIES = 16_384
JSON = {None: b"null", True: b"true", False: b"false"}
STALE = (AGEING % JSON[False], AGEING % JSON[True])


class Written(NamedTuple):
    """An answer as JSON; `tag` is the same as long as nothing but its age has changed, None if chance decided."""

    json: bytes
    tag: str | None


class Told(NamedTuple):
    """What is told of a server at a revision of it, whatever it was asked for, and a tag of that."""

    revision: int
    json: bytes
    tag: str


class WrittenCopy(NamedTuple):
    """What is told of a model of a server at a revision of that; it is stale `fresh_for` seconds after a check."""

    revision: int
    fresh_for: float
    json: bytes
    tag: str


class ResolverService:
    """Asks the resolver; `policy` and `allowed_networks` are those of the settings.

    What `tie_break` a request has decides between equal servers.
    """

    def __init__(self, policy: Policy, allowed_networks: tuple[Network, ...]) -> None:
        self._interval = policy.interval.total_seconds()
        self._timeout = policy.timeout.total_seconds()
        self._allowed_networks = allowed_networks
        self._told: dict[Entry, Told] = {}
        self._copies: dict[Copy, WrittenCopy] = {}
        self._fleet: Directory | None = None

    def resolve(self, request: Request, snapshot: Snapshot, tie_break: TieBreak) -> Resolution:
        """Return the answer; raises the `Refused` that says why there is none."""
        return self._resolution(self._ask(request, snapshot, tie_break), snapshot)

    async def resolve_with_headers(
        self, request: Request, snapshot: Snapshot, tie_break: TieBreak, outgoing: OutgoingHeaders
    ) -> Resolution:
        """Return the answer together with the headers that each server wants."""
        answer = self._ask(request, snapshot, tie_break)
        resolution = self._resolution(answer, snapshot)
        resolution["headers"] = await outgoing.of(answer.server)
        for candidate, told in zip(answer.candidates, resolution["candidates"], strict=True):
            told["headers"] = await outgoing.of(candidate.server)
        return resolution

    def write(self, request: Request, snapshot: Snapshot, tie_break: TieBreak) -> Written:
        """Return the answer as JSON."""
        answer = self._ask(request, snapshot, tie_break)
        lasting = to_json(self._lasting(answer, snapshot))[:-1]
        is_stale = JSON[self._is_stale(answer.server, snapshot)]
        age = snapshot.age_seconds, JSON[snapshot.is_stale]
        return Written(AGES % (lasting + AGEING % is_stale, snapshot.seq, *age), _digest(lasting + is_stale))

    def write_first(self, key: str, snapshot: Snapshot, tie_break: TieBreak) -> Written | None:
        """Return what `write` would for a plain request for a model, from what is written already.

        `key` is `resolver.key_of_plain` of the request. None where a closer look is due, so for any refusal.
        """
        fleet, seq, age, is_old, at = snapshot
        best = fleet.usable(key)
        if best is None:
            return None
        copy = fleet.pick(best, tie_break)
        server = copy.server
        known = self._copies.get(copy)
        if known is None or known.revision != server.revision:
            known = self._write_copy(copy, fleet)
        is_stale = at - server.fresh_from > known.fresh_for
        # Chance decides anew each time, so a tag would tell nobody that the answer is the one he has.
        is_certain = tie_break.is_session or len(best.copies) == 1
        tag = f"{known.tag}{is_stale:d}" if is_certain else None
        return Written(AGES % (known.json + STALE[is_stale], seq, age, JSON[is_old]), tag)

    def _write_copy(self, copy: Copy, fleet: Directory) -> WrittenCopy:
        if fleet is not self._fleet or len(self._copies) > MOST_COPIES:
            # What is remembered of one that was read anew would only keep it in memory.
            self._fleet = fleet
            self._copies.clear()
            self._told.clear()
        told, loaded = self._told_of(copy.server), JSON[copy.is_loaded]
        json = LASTING % (told.json, _json_text(copy.model_name), loaded, _json_text(copy.remote_host))
        tag = f"{told.tag}{zlib.crc32(json):08x}"
        written = self._copies[copy] = WrittenCopy(copy.server.revision, self._fresh_for(copy.server), json, tag)
        return written

    def _resolution(self, answer: Answer, snapshot: Snapshot) -> Resolution:
        stale, view = self._is_stale(answer.server, snapshot), answers.snapshot_view(snapshot)
        # Headers come later, if at all.
        return cast(Resolution, {**self._lasting(answer, snapshot), "stale": stale, "snapshot": view})

    def _lasting(self, answer: Answer, snapshot: Snapshot) -> Lasting:
        candidates = [
            cast(Candidate, {**answers.lasting(each, []), "stale": self._is_stale(each.server, snapshot)})
            for each in answer.candidates
        ]
        return answers.lasting(answer, candidates)

    def _told_of(self, server: Entry) -> Told:
        known = self._told.get(server)
        if known is not None and known.revision == server.revision:
            return known
        json = to_json(answers.place(server))[1:-1]
        told = self._told[server] = Told(server.revision, json, _digest(json))
        return told

    def _ask(self, request: Request, snapshot: Snapshot, tie_break: TieBreak) -> Answer:
        outcome = resolver.resolve(request, snapshot.fleet, tie_break)
        if isinstance(outcome, Refusal):
            raise refused(outcome, snapshot)
        if outcome.server is None:
            edits.require_allowed_address(outcome.base_url, self._allowed_networks, field="server_url")
        return outcome

    def _is_stale(self, entry: Entry | None, snapshot: Snapshot) -> bool | None:
        if entry is None:
            return None
        return entry.is_active and snapshot.at - entry.fresh_from > self._fresh_for(entry)

    def _fresh_for(self, entry: Entry) -> float:
        return fresh_for(interval=entry.interval or self._interval, timeout=entry.timeout or self._timeout)


def _digest(json: bytes) -> str:
    return hashlib.blake2b(json, digest_size=TAG_BYTES).hexdigest()


@lru_cache(MOST_TEXTS)
def _json_text(text: str | None) -> bytes:
    return to_json(text)


def refused(refusal: Refusal, snapshot: Snapshot) -> Refused:
    """Return the refusal of a request; an explanation that was asked for is one of its facts."""
    if refusal.field is not None:
        return refusals.invalid_field(refusal.field, refusal.detail.removesuffix("."), is_question=True)
    snapshot_view = answers.snapshot_view(snapshot)
    then = None if refusal.then is None else Next(refusal.then)
    return Refused(refusal.code.value, refusal.detail, next=then, **_facts(refusal), snapshot=snapshot_view)


def _facts(refusal: Refusal) -> Mapping[str, Any]:
    members: dict[str, Any] = {}
    if refusal.server is not None:
        members["server_id"] = str(refusal.server.id)
    if refusal.code is Code.MODEL_NOT_FOUND:
        members["nearest"] = list(refusal.nearest)
    if refusal.code is Code.NO_SERVER_AVAILABLE:
        members |= {"servers": answers.passed_over(refusal.servers), "more": refusal.more}
    if refusal.explanation is not None:
        members["explanation"] = answers.explanation(refusal.explanation)
    return members
