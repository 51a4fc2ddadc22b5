"""Which servers a file speaks of: addresses, one for each normalised URL, and what the file says beside them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.fleet.importing import addresses, variables
from api.fleet.importing.addresses import MASK, Address
from api.fleet.importing.env_file import Assignment, EnvFile
from api.fleet.importing.report import Finding, Outcome
from api.fleet.importing.variables import Meaning, Role
from monitor.domain.errors import InvalidUrlError
from monitor.domain.server import AUTO, Api

Auth = dict[str, str]
PLAIN = {Role.NAME: "name", Role.PRIORITY: "priority", Role.MAX_CONCURRENT: "max_concurrent", Role.API: "api"}
_NUMBER = re.compile(r"-?[0-9]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One value of the file that sets `field` of a server; `shown` is what may be repeated of it."""

    line: int
    variable: str
    shown: str
    field: str
    role: Role
    note: str = ""

    def finding(self, outcome: Outcome, detail: str) -> Finding:
        """Return what is to be reported of it."""
        parts = [detail, self.note] if self.note else [detail]
        return Finding(
            line=self.line, variable=self.variable, shown=self.shown, outcome=outcome, detail="; ".join(parts)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A server by its URL; `values` are further fields, as the API takes them, and `claims` what says all that."""

    url: str
    values: Mapping[str, Any] = field(repr=False)
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Composed:
    """The credential as `auth` takes it, None without one; `refused` says by role which parts are of no use."""

    auth: Auth | None = field(repr=False)
    refused: Mapping[Role, str]


@dataclass(slots=True)
class _Draft:
    claims: list[Claim] = field(default_factory=list)
    parts: dict[Role, Assignment] = field(default_factory=dict)
    in_urls: list[tuple[str, str]] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Gathering:
    """What a file says, sorted; `findings` is about the values that belong to no candidate."""

    candidates: list[Candidate] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    others: int = 0
    _drafts: dict[str, _Draft] = field(default_factory=dict)
    _groups: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: EnvFile, mapping: Mapping[str, Meaning]) -> "Gathering":
        """Sort the variables of a file: addresses first, since the others belong to them."""
        self = cls()
        beside: list[tuple[Assignment, Meaning]] = []
        for assignment, meaning in self._meant(file, mapping):
            if meaning.role in variables.ADDRESSES:
                self._add_addresses(assignment, meaning)
            else:
                beside.append((assignment, meaning))
        for assignment, meaning in beside:
            self._add_beside(assignment, meaning)
        for url, draft in self._drafts.items():
            self._settle(url, draft)
        return self

    def _settle(self, url: str, draft: _Draft) -> None:
        """Make a draft the next candidate; what cannot be its credential is reported instead."""
        parts = {role: assignment.value for role, assignment in draft.parts.items()}
        beside = {role: value for role, value in parts.items() if role not in PLAIN}
        composed = _compose(beside, in_urls=draft.in_urls)
        claims: list[Claim] = []
        for claim in draft.claims:
            if claim.field == "auth" and claim.role in composed.refused:
                self.findings.append(claim.finding(Outcome.REFUSED, composed.refused[claim.role]))
            else:
                claims.append(claim)
        values: dict[str, Any] = {PLAIN[role]: _value(role, parts[role]) for role in PLAIN if role in parts}
        if composed.auth is not None:
            values["auth"] = composed.auth
        self.candidates.append(Candidate(url=url, values=values, claims=tuple(claims)))

    def _meant(self, file: EnvFile, mapping: Mapping[str, Meaning]) -> Iterator[tuple[Assignment, Meaning]]:
        for line in file.broken_lines:
            self.findings.append(Finding(line=line, outcome=Outcome.UNKNOWN, detail="it is not of the form NAME=value"))
        last = {assignment.name: assignment.line for assignment in file.assignments}
        for assignment in file.assignments:
            match variables.meaning(assignment.name, mapping):
                case None:
                    self._pass_over(assignment)
                case variables.Unused() as unused:
                    self._say(assignment, Outcome.LEFT if unused.is_known else Outcome.UNKNOWN, unused.reason)
                case Meaning(role=Role.IGNORE):
                    self._say(assignment, Outcome.LEFT, "--map says so")
                case Meaning() as meaning if assignment.line == last[assignment.name]:
                    if assignment.trouble is not None:
                        self._say(assignment, Outcome.REFUSED, assignment.trouble)
                    elif not assignment.value.strip():
                        self._say(assignment, Outcome.LEFT, "it is empty")
                    else:
                        yield assignment, meaning
                case Meaning():
                    again = f"line {last[assignment.name]} sets it again, and the last one counts"
                    self._say(assignment, Outcome.LEFT, again)

    def _pass_over(self, assignment: Assignment) -> None:
        """Count what is about something else, unless its value looks as if it were not."""
        if addresses.has_port_of_ollama(assignment.value):
            hint = f"it looks like the address of a server; if it is one, say --map {assignment.name}=url"
            self._say(assignment, Outcome.UNKNOWN, hint)
        else:
            self.others += 1

    def _add_addresses(self, assignment: Assignment, meaning: Meaning) -> None:
        may_be_several = meaning.role is Role.URLS
        if not may_be_several and addresses.is_list(assignment.value):
            self._say(assignment, Outcome.REFUSED, f"it holds several addresses; say --map {assignment.name}=urls")
            return
        for text in addresses.several(assignment.value) if may_be_several else [assignment.value]:
            try:
                address = addresses.read(text, like_ollama=meaning.role is Role.HOST)
            except InvalidUrlError as error:
                self._say(assignment, Outcome.REFUSED, str(error).removesuffix("."))
                continue
            self._groups.setdefault(meaning.group, set()).add(address.url)
            self._add_address(self._drafts.setdefault(address.url, _Draft()), assignment, address)

    def _add_address(self, draft: _Draft, assignment: Assignment, address: Address) -> None:
        def claim(name: str, shown: str, note: str = "") -> Claim:
            return Claim(
                line=assignment.line, variable=assignment.name, shown=shown, field=name, role=Role.URL, note=note
            )

        draft.claims.append(claim("url", address.shown, address.note))
        if address.username is not None:
            draft.in_urls.append((address.username, address.password))
            draft.claims.append(claim("auth", MASK))

    def _add_beside(self, assignment: Assignment, meaning: Meaning) -> None:
        urls = self._groups.get(meaning.group, set())
        role = meaning.role
        if len(urls) != 1:
            reason = (
                f"{len(urls)} addresses go with it, so it is not clear which server it is for; number the variables, "
                f"or say --map {assignment.name}={role}@GROUP for it and its address"
                if urls
                else "no address that can be used goes with it"
            )
            self._say(assignment, Outcome.REFUSED, reason)
            return
        draft = self._drafts[next(iter(urls))]
        first = draft.parts.setdefault(role, assignment)
        if first.value != assignment.value:
            self._say(assignment, Outcome.REFUSED, f"{first.name} in line {first.line} says another one of this server")
            return
        name = PLAIN.get(role, "auth")
        shown = MASK if name == "auth" or not _is_showable(role, assignment.value) else assignment.value
        draft.claims.append(Claim(line=assignment.line, variable=assignment.name, shown=shown, field=name, role=role))

    def _say(self, assignment: Assignment, outcome: Outcome, detail: str) -> None:
        self.findings.append(Finding(line=assignment.line, variable=assignment.name, outcome=outcome, detail=detail))


def _compose(parts: Mapping[Role, str], *, in_urls: Sequence[tuple[str, str]]) -> _Composed:
    """Put together what the variables say by role, and what user name and password stand in the address.

    A key is sent as a bearer token, as Ollama's own clients send OLLAMA_API_KEY, unless a header is named.
    """
    refused = dict(_incomplete(parts))
    kept = {role: value for role, value in parts.items() if role not in refused}
    found = list(_credentials(kept, in_urls))
    if all(one == found[0] for one in found):
        return _Composed(auth=found[0] if found else None, refused=refused)
    several = "the file gives this server several credentials, and it can have one"
    return _Composed(auth=None, refused=refused | dict.fromkeys((*kept, Role.URL), several))


def _incomplete(parts: Mapping[Role, str]) -> Iterator[tuple[Role, str]]:
    if Role.USERNAME in parts and Role.PASSWORD not in parts:
        yield Role.USERNAME, "no password goes with it"
    if Role.PASSWORD in parts and Role.USERNAME not in parts:
        yield Role.PASSWORD, "no user name goes with it"
    if Role.HEADER in parts and Role.API_KEY not in parts:
        yield Role.HEADER, "no key goes with it"


def _credentials(parts: Mapping[Role, str], in_urls: Sequence[tuple[str, str]]) -> Iterator[Auth]:
    if Role.HEADER in parts:
        yield {"type": "api_key", "key": parts[Role.API_KEY], "header": parts[Role.HEADER]}
    elif Role.API_KEY in parts:
        yield {"type": "bearer", "token": parts[Role.API_KEY]}
    if Role.TOKEN in parts:
        yield {"type": "bearer", "token": parts[Role.TOKEN]}
    if Role.USERNAME in parts:
        yield {"type": "basic", "username": parts[Role.USERNAME], "password": parts[Role.PASSWORD]}
    for username, password in in_urls:
        yield {"type": "basic", "username": username, "password": password}


def _is_showable(role: Role, value: str) -> bool:
    return role is Role.NAME or value in {AUTO, *Api} or _NUMBER.fullmatch(value.strip()) is not None


def _value(role: Role, text: str) -> int | str:
    """Return a number where one is wanted; what is none is for the schema to refuse."""
    return int(text) if role is not Role.NAME and _NUMBER.fullmatch(text.strip()) else text
