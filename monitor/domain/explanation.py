"""Why a server was chosen and each other one was not, in words for a person; long fleets are cut, and counted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry, Standing

MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A server that was not taken, and why; `reason` has no full stop."""

    server: Entry
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
    others = (PassedOver(server=one, reason="has another URL") for one in _by_name(fleet, {found}))
    return _cut(fleet, others, rule=1, sentence=sentence, chosen=found)


def of_model(fleet: Directory, model: str, holders: Sequence[Copy], *, chosen: Copy | None, cloud: bool) -> Explanation:
    """Explain rule 2; `holders` are in the order of choice."""
    if chosen is None:
        sentence = f"Rule 2: only the model {model} was asked for, and no server can be taken for it."
    else:
        sentence = (
            f"Rule 2: only the model {model} was asked for, and {chosen.server.name} comes first of those that have it."
        )
    server = None if chosen is None else chosen.server
    return _cut(fleet, _without_model(fleet, holders, chosen, cloud), rule=2, sentence=sentence, chosen=server)


def of_default(fleet: Directory, chosen: Entry | None) -> Explanation:
    """Explain rule 3."""
    default = fleet.default
    if chosen is None:
        sentence = "Rule 3: nothing was asked for, and no server is active."
    elif chosen is default:
        sentence = f"Rule 3: nothing was asked for, and {chosen.name} is the default server."
    else:
        why = "there is no default server" if default is None else f"the default server {default.name} is inactive"
        sentence = f"Rule 3: nothing was asked for, {why}, and {chosen.name} comes first of the active ones."
    return _cut(fleet, _not_first(fleet, chosen), rule=3, sentence=sentence, chosen=chosen)


def state(entry: Entry) -> str:
    """Return what a server is now, as the end of a sentence about it."""
    if not entry.is_active:
        return "is inactive"
    if entry.status == "unknown":
        return "has not been checked yet"
    reason = "" if entry.status_reason in (None, "ok") else f" ({entry.status_reason})"
    return f"is {entry.status}{reason}"


def _without_model(fleet: Directory, holders: Sequence[Copy], chosen: Copy | None, cloud: bool) -> Iterator[PassedOver]:
    told = set() if chosen is None else {chosen.server}
    for copy in holders:
        if copy.server not in told:
            told.add(copy.server)
            yield PassedOver(server=copy.server, reason=_behind(copy, chosen, cloud=cloud))
    for entry in _by_name(fleet, told):
        yield PassedOver(server=entry, reason="does not have the model")


def _behind(copy: Copy, chosen: Copy | None, *, cloud: bool) -> str:
    """Return the first step of the order at which a copy falls behind the chosen one."""
    server = copy.server
    kept_out = _kept_out(copy, chosen, cloud=cloud)
    if kept_out is not None:
        return kept_out
    if not server.is_available or chosen is None:
        return state(server)
    if server.is_flapping and not chosen.server.is_flapping:
        return "comes and goes (flapping)"
    if chosen.is_loaded and not copy.is_loaded:
        return "does not have the model in memory"
    return _behind_in_rank(server, chosen.server)


def _kept_out(copy: Copy, chosen: Copy | None, *, cloud: bool) -> str | None:
    """Return why a copy does not come into question at all, if so."""
    if not copy.server.is_active:
        return "is inactive"
    if not copy.is_active:
        return "has the model switched off"
    if copy.standing is Standing.LOCAL:
        return None
    stub = f"has only a stub of the model, which runs at {copy.remote_host}"
    if not cloud:
        return f"{stub}, and cloud models were not allowed"
    is_needed = chosen is not None and chosen.standing is Standing.CLOUD
    return None if is_needed else f"{stub}, and another server has the model itself"


def _behind_in_rank(entry: Entry, chosen: Entry) -> str:
    if entry.priority != chosen.priority:
        return f"has priority {entry.priority}, less than {chosen.priority}"
    if chosen.is_default:
        return "is not the default server"
    return "is as good, but comes later by name"


def _not_first(fleet: Directory, chosen: Entry | None) -> Iterator[PassedOver]:
    for entry in fleet.active:
        if entry is chosen or chosen is None:
            continue
        if chosen.is_default:
            reason = "is not the default server"
        elif chosen.is_available and not entry.is_available:
            reason = state(entry)
        else:
            reason = _behind_in_rank(entry, chosen)
        yield PassedOver(server=entry, reason=reason)
    for entry in _by_name(fleet, {entry for entry in fleet.servers.values() if entry.is_active}):
        yield PassedOver(server=entry, reason="is inactive")


def _by_name(fleet: Directory, without: Iterable[Entry | None]) -> list[Entry]:
    left_out = set(without)
    return sorted((one for one in fleet.servers.values() if one not in left_out), key=lambda one: one.name)


def _cut(
    fleet: Directory, others: Iterator[PassedOver], *, rule: int, sentence: str, chosen: Entry | None
) -> Explanation:
    told = tuple(islice(others, MOST))
    more = len(fleet.servers) - (chosen is not None) - len(told)
    return Explanation(rule=rule, sentence=sentence, passed_over=told, more=more)
