"""The desk where REST and the command line ask the resolver: its answers as data or bytes, its refusals as problems."""

import hashlib
import zlib
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from pydantic_core import to_json

from api import edits, problems
from api.problems import RETRY_SECONDS, Problem
from api.resolution import answers
from api.resolution.answers import Candidate, Lasting, Resolution
from api.resolution.mirror import Snapshot
from api.resolution.outgoing import OutgoingHeaders
from monitor.domain import resolver
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry
from monitor.domain.resolver import Answer, Code, Refusal
from monitor.domain.selection import Request
from monitor.domain.server import Policy
from monitor.domain.tie_break import TieBreak
from monitor.ollama.guard import Network

# `answers.Resolution` by rule 2, as it stands in JSON: its parts are written once for each server.
LASTING = (
    b'{"source":"registered","rule":2,%b,"model_name":%b,"model_known":true,"loaded":%b,"remote_host":%b,'
    b'"candidates":[],"explanation":null'
)
# What ages of it, as it stands after the rest: making a dictionary of it first would take four times as long.
AGEING = b'%b,"stale":%b,"snapshot":{"seq":%d,"age_seconds":%.3f,"stale":%b}}'
TAG_BYTES = 8
MOST_TEXTS = 4096
JSON = {None: b"null", True: b"true", False: b"false"}
STATUSES = {
    Code.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.SERVER_INACTIVE: HTTPStatus.CONFLICT,
    Code.MODEL_NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.NO_SERVER_AVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.NO_ACTIVE_SERVER: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Written(NamedTuple):
    """An answer as JSON; `tag` is the same as long as nothing but its age has changed."""

    json: bytes
    tag: str


class Told(NamedTuple):
    """What is told of a server at a revision of it, whatever it was asked for, and a tag of that."""

    revision: int
    json: bytes
    tag: str


class Desk:
    """Asks the resolver; `policy` and `allowed_networks` are those of the settings.

    What `tie_break` a request has decides between equal servers.
    """

    def __init__(self, policy: Policy, allowed_networks: tuple[Network, ...]) -> None:
        self._interval = policy.interval.total_seconds()
        self._timeout = policy.timeout.total_seconds()
        self._allowed_networks = allowed_networks
        self._told: dict[Entry, Told] = {}
        self._fleet: Directory | None = None

    def resolve(self, request: Request, snapshot: Snapshot, tie_break: TieBreak) -> Resolution:
        """Return the answer; raises the `Problem` that says why there is none."""
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
        """Return the answer as JSON, of which only what this request alone has is written anew."""
        model = request.model
        if model is not None and request.server_url is None and request.is_plain:
            copy = resolver.first_copy(model, snapshot.fleet, tie_break)
            if copy is not None:
                return self._write_copy(copy, snapshot)
        answer = self._ask(request, snapshot, tie_break)
        lasting = to_json(self._lasting(answer, snapshot))[:-1]
        stale = JSON[self._is_stale(answer.server, snapshot)]
        return _written(lasting, stale, _digest(lasting + stale), snapshot)

    def _write_copy(self, copy: Copy, snapshot: Snapshot) -> Written:
        """Write what programs ask for most, the first copy of a model, of parts that are written already."""
        server, loaded = copy.server, JSON[copy.size_vram is not None]
        told, stale = self._told_of(server, snapshot.fleet), JSON[self._is_stale(server, snapshot)]
        lasting = LASTING % (told.json, _json_text(copy.model_name), loaded, _json_text(copy.remote_host))
        return _written(lasting, stale, f"{told.tag}{zlib.crc32(lasting, len(stale)):08x}", snapshot)

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

    def _told_of(self, server: Entry, fleet: Directory) -> Told:
        if fleet is not self._fleet:
            # Read anew; what was remembered would only keep the old one in memory.
            self._fleet = fleet
            self._told.clear()
        known = self._told.get(server)
        if known is not None and known.revision == server.revision:
            return known
        if len(self._told) > 2 * len(fleet.servers):
            self._told.clear()
        json = to_json(answers.place(server))[1:-1]
        told = self._told[server] = Told(server.revision, json, _digest(json))
        return told

    def _ask(self, request: Request, snapshot: Snapshot, tie_break: TieBreak) -> Answer:
        outcome = resolver.resolve(request, snapshot.fleet, tie_break)
        if isinstance(outcome, Refusal):
            raise problem(outcome, snapshot)
        if outcome.server is None:
            edits.require_allowed_address(outcome.base_url, self._allowed_networks, field="server_url")
        return outcome

    def _is_stale(self, entry: Entry | None, snapshot: Snapshot) -> bool | None:
        if entry is None:
            return None
        limit = 3 * (entry.interval or self._interval) + (entry.timeout or self._timeout)
        return entry.is_active and snapshot.at - entry.fresh_from > limit


def _written(lasting: bytes, stale: bytes, tag: str, snapshot: Snapshot) -> Written:
    age, is_stale = snapshot.age_seconds, JSON[snapshot.is_stale]
    return Written(AGEING % (lasting, stale, snapshot.seq, age, is_stale), tag)


def _digest(json: bytes) -> str:
    return hashlib.blake2b(json, digest_size=TAG_BYTES).hexdigest()


@lru_cache(MOST_TEXTS)
def _json_text(text: str | None) -> bytes:
    return to_json(text)


def problem(refusal: Refusal, snapshot: Snapshot) -> Problem:
    """Return a refusal as it is told over HTTP; an explanation that was asked for is a member of it."""
    if refusal.field is not None:
        return problems.invalid_field(refusal.field, refusal.detail.removesuffix("."), is_query=True)
    status = STATUSES[refusal.code]
    headers = {"Retry-After": RETRY_SECONDS} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Problem(
        status,
        refusal.code.value,
        refusal.detail,
        headers=headers,
        **_members(refusal),
        snapshot=answers.snapshot_view(snapshot),
    )


def _members(refusal: Refusal) -> Mapping[str, Any]:
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
