"""What an import does about each server of a file: pure, so a rehearsal says what the real one does."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ValidationError

from api.fleet import edits, refusals
from api.fleet.importing.candidates import Candidate, Claim
from api.fleet.importing.report import WRITTEN, Finding, Outcome
from api.fleet.refusals import Refused
from api.fleet.schemas import ServerCreate, ServerPatch
from monitor.domain import url as base_url
from monitor.domain.server import AUTO
from monitor.ollama.guard import Network

MAX_NAME = 180

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A server of the registry, as far as an import compares it."""

    id: UUID
    name: str
    url: str
    is_active: bool
    priority: int
    max_concurrent: int
    api: str = AUTO
    has_credential: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done for one URL: `create`, or `patch` the server `id`, or neither; and what is reported of it."""

    findings: Sequence[Finding]
    create: ServerCreate | None = None
    id: UUID | None = None
    patch: ServerPatch | None = None

    def refused(self, reason: str) -> Iterator[Finding]:
        """Yield the findings for a step that could not be done."""
        for one in self.findings:
            if one.outcome in WRITTEN:
                yield Finding(
                    line=one.line, variable=one.variable, shown=one.shown, outcome=Outcome.REFUSED, detail=reason
                )
            else:
                yield one


@dataclass(slots=True)
class Planner:
    """Plans step after step, each with the names in mind that are taken by then."""

    known: Sequence[Known]
    allowed_networks: tuple[Network, ...]
    update: bool
    _names: set[str] = field(default_factory=set)
    _numbers: dict[str, Iterator[int]] = field(default_factory=dict)

    def steps(self, candidates: Iterable[Candidate]) -> Iterator[Step]:
        """Yield what is to be done, in the order of the file."""
        self._names |= {server.name for server in self.known}
        by_url = {server.url: server for server in self.known}
        for candidate in candidates:
            server = by_url.get(candidate.url)
            if server is None:
                yield self._creation(candidate)
            elif self.update:
                yield self._update(candidate, server)
            else:
                yield _nothing(candidate, server)

    def _creation(self, candidate: Candidate) -> Step:
        try:
            edits.require_allowed_address(candidate.url, self.allowed_networks)
        except Refused as problem:
            reason = _reason(problem)
            return Step(findings=[claim.finding(Outcome.REFUSED, reason) for claim in candidate.claims])
        derived = _derived(candidate.url)
        fields = {"name": derived, **candidate.values, "url": candidate.url}
        accepted, refused = _accepted(ServerCreate, fields)
        wanted = accepted.get("name", derived)
        name = self._free_name(wanted, candidate.url)
        if "name" in candidate.values and name != wanted:
            refused["name"] = f"another server has that name, so this one is called {name}"
        new = ServerCreate.model_validate(accepted | {"name": name})
        details = {"url": f"server {name}", "name": f"server {name}"}
        findings = [
            _told(claim, Outcome.TAKEN, name=name, refused=refused, details=details) for claim in candidate.claims
        ]
        return Step(create=new, findings=findings)

    def _update(self, candidate: Candidate, server: Known) -> Step:
        fields = _differing(candidate.values, server)
        accepted, refused = _accepted(ServerPatch, fields)
        if accepted.get("name") in self._names:
            refused["name"] = "another server has that name"
            del accepted["name"]
        name = accepted.get("name", server.name)
        self._names.add(name)
        details = {"name": f"server {server.name} is called {name} now"}
        findings = [
            _told(claim, Outcome.UPDATED, name=name, refused=refused, details=details)
            if claim.field in fields
            else claim.finding(Outcome.THERE, _whose(server))
            for claim in candidate.claims
        ]
        patch = ServerPatch.model_validate(accepted) if accepted else None
        return Step(id=server.id, patch=patch, findings=findings)

    def _free_name(self, wanted: str, url: str) -> str:
        """Return a name that no server has: with the port behind it, or at last with a number."""
        spellings = [wanted, _with_port(url)] if wanted == _derived(url) else [wanted]
        name = next((spelling for spelling in spellings if spelling not in self._names), None)
        if name is None:
            numbers = self._numbers.setdefault(wanted, itertools.count(2))
            numbered = (f"{wanted[:MAX_NAME]}-{number}" for number in numbers)
            name = next(spelling for spelling in numbered if spelling not in self._names)
        self._names.add(name)
        return name


def _derived(url: str) -> str:
    """Return the host, with the port where the host alone says little: several servers may be at one address."""
    host = urlsplit(url).hostname or url
    says_little = host == "localhost" or base_url.literal_address(url) is not None
    return _with_port(url) if says_little else host[:MAX_NAME]


def _with_port(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or url)[:MAX_NAME]
    return host if parts.port is None else f"{host}-{parts.port}"


def _nothing(candidate: Candidate, server: Known) -> Step:
    """Return the step for a server that is there and is not to be overwritten."""
    differing = _differing(candidate.values, server)
    findings = [
        claim.finding(
            Outcome.THERE,
            f"{_whose(server)} {_keeps(claim, server)}; --update takes this one"
            if claim.field in differing
            else _whose(server),
        )
        for claim in candidate.claims
    ]
    return Step(id=server.id, findings=findings)


def _keeps(claim: Claim, server: Known) -> str:
    return "goes on without one" if claim.field == "auth" and not server.has_credential else "keeps its own"


def _differing(values: Mapping[str, Any], server: Known) -> dict[str, Any]:
    """Return what is new; a credential always is, since the stored one is not to be read."""
    return {name: value for name, value in values.items() if name == "auth" or value != getattr(server, name)}


def _whose(server: Known) -> str:
    return f"server {server.name}" if server.is_active else f"server {server.name} (inactive, and stays so)"


def _accepted(shape: type[Shape], fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields that the API takes, and why it does not take the others."""
    try:
        shape.model_validate(dict(fields))
    except ValidationError as error:
        entries = refusals.invalid(error).facts["errors"]
        refused = {entry["field"].partition(".")[0]: entry["message"] for entry in reversed(entries)}
    else:
        refused = {}
    return {name: value for name, value in fields.items() if name not in refused}, refused


def _told(
    claim: Claim, outcome: Outcome, *, name: str, refused: Mapping[str, str], details: Mapping[str, str]
) -> Finding:
    if claim.field in refused:
        return claim.finding(Outcome.REFUSED, refused[claim.field])
    what = "credential" if claim.field == "auth" else claim.field.replace("_", " ")
    return claim.finding(outcome, details.get(claim.field, f"{what} of server {name}"))


def _reason(problem: Refused) -> str:
    return str(problem.facts["errors"][0]["message"]) if "errors" in problem.facts else problem.detail
