"""The desk where REST and the command line ask the resolver: its answers as data or bytes, its refusals as problems."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json

from api import edits, problems
from api.memory import Memory
from api.problems import RETRY_SECONDS, Problem
from api.resolution import answers
from api.resolution.answers import Ageing, Outfit, Resolution
from api.resolution.mirror import Snapshot
from api.resolution.outgoing import OutgoingHeaders
from monitor.domain import resolver
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry
from monitor.domain.resolver import Answer, Code, Refusal, Request
from monitor.domain.server import Policy
from monitor.ollama.guard import Network

# Questions whose answers are kept; some hundred bytes each.
MOST_REMEMBERED = 1024
BY_MODEL = 2
# `answers.Ageing`, as it stands after the rest: making a dictionary of it first would take four times as long.
AGEING = b'%b,"stale":%b,"snapshot":{"seq":%d,"age_seconds":%.3f,"stale":%b}}'
JSON = {None: b"null", True: b"true", False: b"false"}
STATUSES = {
    Code.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.SERVER_INACTIVE: HTTPStatus.CONFLICT,
    Code.MODEL_NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.NO_SERVER_AVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.NO_ACTIVE_SERVER: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer by rule 2 as JSON, without what ages and without its last brace."""

    copy: Copy
    revision: int
    head: bytes

    def holds(self, fleet: Directory) -> bool:
        """Whether it still is the answer: all of it depends on the copy that comes first, and on its server."""
        return fleet.first(self.copy.key) is self.copy and self.copy.server.revision == self.revision


class Desk:
    """Asks the resolver; `policy` and `allowed_networks` are those of the settings."""

    def __init__(self, policy: Policy, allowed_networks: tuple[Network, ...]) -> None:
        self._interval = policy.interval.total_seconds()
        self._timeout = policy.timeout.total_seconds()
        self._allowed_networks = allowed_networks
        self._remembered: Memory[Request, Remembered] = Memory(most=MOST_REMEMBERED)
        self._fleet: Directory | None = None

    def resolve(self, request: Request, snapshot: Snapshot) -> Resolution:
        """Return the answer; raises the `Problem` that says why there is none."""
        answer = self._ask(request, snapshot)
        return Resolution(**answers.lasting(answer), **self._ageing(answer.server, snapshot))

    async def resolve_with_headers(self, request: Request, snapshot: Snapshot, outgoing: OutgoingHeaders) -> Outfit:
        """Return the answer together with the headers that the server wants."""
        answer = self._ask(request, snapshot)
        headers = await outgoing.of(answer.server)
        return Outfit(**answers.lasting(answer), **self._ageing(answer.server, snapshot), headers=headers)

    def write(self, request: Request, snapshot: Snapshot) -> bytes:
        """Return the answer as JSON. Programs ask the same all day, so only what has changed is written anew."""
        if snapshot.fleet is not self._fleet:
            # Read anew; what was remembered would only keep the old one in memory.
            self._fleet = snapshot.fleet
            self._remembered.clear()
        known = self._remembered.get(request)
        if known is None or not known.holds(snapshot.fleet):
            answer = self._ask(request, snapshot)
            head, server = to_json(answers.lasting(answer))[:-1], answer.server
            self._remember(request, answer, head)
        else:
            head, server = known.head, known.copy.server
        stale = JSON[None if server is None else self._is_stale(server, snapshot)]
        return AGEING % (head, stale, snapshot.seq, snapshot.age_seconds, JSON[snapshot.is_stale])

    def _ask(self, request: Request, snapshot: Snapshot) -> Answer:
        outcome = resolver.resolve(request, snapshot.fleet)
        if isinstance(outcome, Refusal):
            raise problem(outcome, snapshot)
        if outcome.server is None:
            edits.require_allowed_address(outcome.base_url, self._allowed_networks, field="server_url")
        return outcome

    def _remember(self, request: Request, answer: Answer, head: bytes) -> None:
        copy = answer.copy
        if answer.rule == BY_MODEL and copy is not None and not request.explain:
            self._remembered[request] = Remembered(copy, copy.server.revision, head)

    def _ageing(self, server: Entry | None, snapshot: Snapshot) -> Ageing:
        stale = None if server is None else self._is_stale(server, snapshot)
        return {"stale": stale, "snapshot": answers.snapshot_view(snapshot)}

    def _is_stale(self, entry: Entry, snapshot: Snapshot) -> bool:
        limit = 3 * (entry.interval or self._interval) + (entry.timeout or self._timeout)
        return entry.is_active and snapshot.at - entry.fresh_from > limit


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
