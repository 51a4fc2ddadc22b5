"""Why a server was chosen and each other one was not, in words for a person; long fleets are cut, and counted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from monitor.domain import selection
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry, Flaw, Residency, Standing
from monitor.domain.selection import Request

MOST = 200


class Step(StrEnum):
    """Where a server fell behind: before the order of choice begins, or at one of its steps; stable, for programs."""

    URL = "url"
    ACTIVE = "active"
    MODEL = "model"
    SELECTOR = "selector"
    DEFAULT = "default"
    LOCAL = "local"
    AVAILABLE = "available"
    SUSPECT = "suspect"
    STATUS = "status"
    FLAPPING = "flapping"
    FREE_SLOT = "free_slot"
    API = "api"
    RESIDENCY = "residency"
    PRIORITY = "priority"
    LOAD = "load"
    TIE_BREAK = "tie_break"


# In the order of choice.
FLAWS = {
    Flaw.UNAVAILABLE: Step.AVAILABLE,
    Flaw.SUSPECT: Step.SUSPECT,
    Flaw.NOT_UP: Step.STATUS,
    Flaw.FLAPPING: Step.FLAPPING,
    Flaw.NO_FREE_SLOT: Step.FREE_SLOT,
    Flaw.OPENAI_API: Step.API,
}
RESIDENCIES = {
    Residency.VRAM: "has the model in VRAM",
    Residency.COLD: "does not have the model in memory",
    Residency.PARTLY_VRAM: "has the model only partly in VRAM",
    Residency.CPU: "would run the model on the CPU, as far as is known",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A server that was not taken, at which step, and why; `reason` has no full stop."""

    server: Entry
    step: Step
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`rule` is the number of the rule that matched; `more` is how many servers are not told of."""

    rule: int
    sentence: str
    passed_over: tuple[PassedOver, ...]
    more: int


def of_url(fleet: Directory, url: str, found: Entry | None) -> Explanation:
    """Explain rule 1."""
    if found is None:
        sentence = (
            f"Rule 1: {url} was asked for, and no registered server has it, so it is taken as it is and not saved."
        )
    else:
        sentence = f"Rule 1: {url} was asked for, and {found.name} has it; its health plays no part."
    others = (PassedOver(server=one, step=Step.URL, reason="has another URL") for one in _by_name(fleet, {found}))
    return _cut(fleet, others, rule=1, sentence=sentence, chosen=found)


def of_model(fleet: Directory, request: Request, holders: Sequence[Copy], *, chosen: Copy | None) -> Explanation:
    """Explain rule 2; `holders` are in the order of choice."""
    asked = f"Rule 2: only the model {request.model} was asked for{_narrowing(request)}"
    if chosen is None:
        sentence = f"{asked}, and no server can be taken for it."
    else:
        sentence = f"{asked}, and {chosen.server.name} comes first of those that have it."
    server = None if chosen is None else chosen.server
    return _cut(fleet, _behind_copy(fleet, request, holders, chosen), rule=2, sentence=sentence, chosen=server)


def of_default(fleet: Directory, request: Request, chosen: Entry | None) -> Explanation:
    """Explain rule 3."""
    default = fleet.default
    asked = f"Rule 3: nothing was asked for{_narrowing(request)}"
    if chosen is None:
        sentence = f"{asked}, and no server is active{' and fits' if request.is_narrowed else ''}."
    elif chosen is default:
        sentence = f"{asked}, and {chosen.name} is the default server."
    else:
        sentence = f"{asked}, {_no_default(default)}, and {chosen.name} comes first of the active ones."
    return _cut(fleet, _behind_active(fleet, request, chosen), rule=3, sentence=sentence, chosen=chosen)


def state(entry: Entry) -> str:
    """Return what a server is now, as the end of a sentence about it."""
    if not entry.is_active:
        return "is inactive"
    if entry.status == "unknown":
        return "has not been checked yet"
    reason = "" if entry.status_reason in (None, "ok") else f" ({entry.status_reason})"
    return f"is {entry.status}{reason}"


def _narrowing(request: Request) -> str:
    return f" with {selection.told(request)}" if request.is_narrowed else ""


def _no_default(default: Entry | None) -> str:
    if default is None:
        return "there is no default server"
    return f"the default server {default.name} {'does not fit' if default.is_active else 'is inactive'}"


def _behind_copy(
    fleet: Directory, request: Request, holders: Sequence[Copy], chosen: Copy | None
) -> Iterator[PassedOver]:
    told = set() if chosen is None else {chosen.server}
    for copy in holders:
        if copy.server not in told:
            told.add(copy.server)
            step, reason = _kept_out(copy, request, chosen) or _step_behind(copy, chosen)
            yield PassedOver(server=copy.server, step=step, reason=reason)
    for entry in _by_name(fleet, told):
        yield PassedOver(server=entry, step=Step.MODEL, reason="does not have the model")


def _kept_out(copy: Copy, request: Request, chosen: Copy | None) -> tuple[Step, str] | None:
    """Return why a copy does not come into question at all, if so."""
    if not copy.server.is_active:
        return Step.ACTIVE, "is inactive"
    if not copy.is_active:
        return Step.MODEL, "has the model switched off"
    if not selection.fits_copy(copy, request):
        return Step.SELECTOR, f"does not fit {selection.told(request)}"
    if copy.standing is Standing.LOCAL:
        return None
    stub = f"has only a stub of the model, which runs at {copy.remote_host}"
    if not request.cloud:
        return Step.LOCAL, f"{stub}, and cloud models were not allowed"
    is_needed = chosen is not None and chosen.standing is Standing.CLOUD
    return None if is_needed else (Step.LOCAL, f"{stub}, and another server has the model itself")


def _step_behind(copy: Copy, chosen: Copy | None) -> tuple[Step, str]:
    """Return the first step of the order at which a copy falls behind the chosen one."""
    if chosen is None:
        return Step.AVAILABLE, state(copy.server)
    flaw = _worst_flaw(copy.server, chosen.server)
    if flaw is not None:
        return FLAWS[flaw], _flaw(copy.server, flaw)
    if copy.residency != chosen.residency:
        return Step.RESIDENCY, RESIDENCIES[Residency(copy.residency)]
    return _rest_behind(copy.server, chosen.server)


def _worst_flaw(entry: Entry, chosen: Entry) -> Flaw | None:
    """Return what a server has against it that weighs most and the chosen one has not; None if nothing does."""
    return next((flaw for flaw in FLAWS if (entry.flaws ^ chosen.flaws) & flaw), None)


def _flaw(entry: Entry, flaw: Flaw) -> str:
    match flaw:
        case Flaw.UNAVAILABLE | Flaw.NOT_UP:
            return state(entry)
        case Flaw.SUSPECT:
            return f"is suspect ({entry.suspect_reason})"
        case Flaw.FLAPPING:
            return "comes and goes (flapping)"
        case Flaw.NO_FREE_SLOT:
            return f"has no free slot ({entry.slots_in_use} of {entry.max_concurrent} in use)"
        case Flaw.OPENAI_API:
            return "has only the OpenAI-style API"


def _rest_behind(entry: Entry, chosen: Entry) -> tuple[Step, str]:
    if entry.priority != chosen.priority:
        return Step.PRIORITY, f"has priority {entry.priority}, less than {chosen.priority}"
    if entry.rest != chosen.rest:
        return Step.LOAD, f"has more of its slots in use ({entry.slots_in_use} of {entry.max_concurrent})"
    return Step.TIE_BREAK, "is as good, and another request or session may get it"


def _behind_active(fleet: Directory, request: Request, chosen: Entry | None) -> Iterator[PassedOver]:
    for entry in fleet.active:
        if entry is not chosen:
            step, reason = _active_behind(entry, request, chosen)
            yield PassedOver(server=entry, step=step, reason=reason)
    for entry in _by_name(fleet, {entry for entry in fleet.servers.values() if entry.is_active}):
        yield PassedOver(server=entry, step=Step.ACTIVE, reason="is inactive")


def _active_behind(entry: Entry, request: Request, chosen: Entry | None) -> tuple[Step, str]:
    if chosen is None or not selection.fits_server(entry, request):
        return Step.SELECTOR, f"does not fit {selection.told(request)}"
    if chosen.is_default:
        return Step.DEFAULT, "is not the default server"
    flaw = _worst_flaw(entry, chosen)
    return _rest_behind(entry, chosen) if flaw is None else (FLAWS[flaw], _flaw(entry, flaw))


def _by_name(fleet: Directory, without: Iterable[Entry | None]) -> list[Entry]:
    left_out = set(without)
    return sorted((one for one in fleet.servers.values() if one not in left_out), key=lambda one: one.name)


def _cut(
    fleet: Directory, others: Iterator[PassedOver], *, rule: int, sentence: str, chosen: Entry | None
) -> Explanation:
    told = tuple(islice(others, MOST))
    more = len(fleet.servers) - (chosen is not None) - len(told)
    return Explanation(rule=rule, sentence=sentence, passed_over=told, more=more)
