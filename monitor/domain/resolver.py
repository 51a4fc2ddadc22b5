"""Which server for this request? The owner's three rules, as one pure function over the fleet.

1. A URL was given: the server registered under it, whatever its health; never an inactive one. Else the URL
   itself, as a dynamic server that nobody saves.
2. Only a model: the first in the order of choice (`entry`) of the active servers that have it active.
3. Neither: the default server if it is active, whatever its health, else the first active one.

Selectors narrow rules 2 and 3. What the order of choice does not tell apart is decided by a tie-break that is
handed in. No configuration, no environment and no clock is looked at: the same fleet, request and tie-break give the
same answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from monitor.domain import explanation, nearest, selection
from monitor.domain import model_name as model_names
from monitor.domain import url as urls
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry, Standing
from monitor.domain.errors import InvalidModelNameError, InvalidUrlError
from monitor.domain.explanation import Explanation, PassedOver, Step
from monitor.domain.model_name import ModelName
from monitor.domain.selection import Request
from monitor.domain.tie_break import TieBreak

# What nobody knows of a dynamic server: one request at once does no harm.
MAX_CONCURRENT = 1
MOST_IN_A_SENTENCE = 3
MOST_REMEMBERED = 1024
_rank = attrgetter("rank")


class Source(StrEnum):
    """Where the answer comes from."""

    REGISTERED = "registered"
    DYNAMIC = "dynamic"


class Code(StrEnum):
    """Why there is no answer; stable, for programs."""

    INVALID = "invalid"
    SERVER_INACTIVE = "server_inactive"
    MODEL_NOT_FOUND = "model_not_found"
    NO_SERVER_AVAILABLE = "no_server_available"
    NO_ACTIVE_SERVER = "no_active_server"


class Then(StrEnum):
    """What whoever was refused can do next, where that is asked for in another way by a program than by a person."""

    FIT_MODEL = "fit_model"
    FIT_SERVER = "fit_server"
    ALLOW_CLOUD = "allow_cloud"
    ADD_OR_NAME_URL = "add_or_name_url"
    ACTIVATE_OR_NAME_URL = "activate_or_name_url"
    ASK_FOR_A_MODEL = "ask_for_a_model"


class Answer(NamedTuple):
    """`server` is None for a dynamic one; `copy` is the model there, if one was asked for and is known.

    `model_name` is spelt as its server does, else as it was asked for. `candidates` are the next best ones, in order,
    as many as were asked for beside the first; each of them is available.
    """

    rule: int
    base_url: str
    server: Entry | None
    model_name: str | None = None
    copy: Copy | None = None
    candidates: tuple["Answer", ...] = ()
    explanation: Explanation | None = None

    @property
    def source(self) -> Source:
        """Where it comes from."""
        return Source.DYNAMIC if self.server is None else Source.REGISTERED

    @property
    def model_known(self) -> bool | None:
        """Whether the server has the model, as far as is known; None if none was asked for."""
        return None if self.model_name is None else self.copy is not None

    @property
    def max_concurrent(self) -> int:
        """Most requests at once."""
        return MAX_CONCURRENT if self.server is None else self.server.max_concurrent


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No server: `detail` is why, and `then` what to do if it does not say that.

    `field` is the part of the request that is at fault, `nearest` are names that are there.

    `servers` are those that would do but cannot, and why; `more` is how many others there are of them.
    """

    code: Code
    detail: str
    then: Then | None = None
    field: str | None = None
    server: Entry | None = None
    nearest: tuple[str, ...] = ()
    servers: tuple[PassedOver, ...] = ()
    more: int = 0
    explanation: Explanation | None = None


def resolve(request: Request, fleet: Directory, tie_break: TieBreak) -> Answer | Refusal:
    """Return the server for a request, or why there is none; `tie_break` decides between equal servers."""
    key = None
    if request.model is not None:
        key = _key(request.model[: model_names.MAX_LENGTH])
        refused = _refuse_model(request.model, key, fleet)
        if refused is not None:
            return refused
    if request.server_url is not None:
        return _by_url(request, request.server_url, key, fleet)
    if request.model is not None and key is not None:
        return _by_model(request, request.model, key, fleet, tie_break)
    return _by_default(request, fleet, tie_break)


@lru_cache(MOST_REMEMBERED)
def _key(model: str) -> str:
    """Return the key of a name; programs ask for the same few all day."""
    return model_names.key(model)


@lru_cache(MOST_REMEMBERED)
def _url(text: str) -> str:
    """Return the one spelling of a URL, read once as well; raises `InvalidUrlError`, each time anew."""
    return urls.normalize(text)


def _refuse_model(model: str, key: str, fleet: Directory) -> Refusal | None:
    # A server may list what Ollama never would; whoever asks for just that gets it.
    if len(model) <= model_names.MAX_LENGTH and fleet.best(key):
        return None
    try:
        ModelName.parse(model)
    except InvalidModelNameError as error:
        return Refusal(code=Code.INVALID, detail=str(error), field="model")
    return None


def _by_url(request: Request, text: str, key: str | None, fleet: Directory) -> Answer | Refusal:
    try:
        url = _url(text)
    except InvalidUrlError as error:
        return Refusal(code=Code.INVALID, detail=str(error), field="server_url")
    entry = fleet.at(url)
    explained = explanation.of_url(fleet, url, entry) if request.explain else None
    if entry is None:
        return Answer(rule=1, base_url=url, server=None, model_name=request.model, explanation=explained)
    if not entry.is_active:
        detail = f"The server {entry.name} at {url} is registered but inactive. Activate it, or ask for another one."
        return Refusal(code=Code.SERVER_INACTIVE, detail=detail, server=entry, explanation=explained)
    copy = None if key is None else _copy_on(entry, key)
    return Answer(
        rule=1,
        base_url=url,
        server=entry,
        model_name=request.model if copy is None else copy.model_name,
        copy=copy,
        explanation=explained,
    )


def _copy_on(entry: Entry, key: str) -> Copy | None:
    copies = (copy for copy in entry.copies.values() if copy.key == key and copy.is_active)
    return min(copies, key=lambda copy: (copy.rank, copy.model_name), default=None)


def key_of_plain(request: Request) -> str | None:
    """Return the key of the model of a request for just one server that has it; None for any other request."""
    if request.model is None or request.server_url is not None or not request.is_plain:
        return None
    return _key(request.model) if len(request.model) <= model_names.MAX_LENGTH else None


def _by_model(request: Request, model: str, key: str, fleet: Directory, tie_break: TieBreak) -> Answer | Refusal:
    plain = key_of_plain(request)
    best = None if plain is None else fleet.usable(plain)
    if best is None:
        return _by_model_in_full(request, model, key, fleet, tie_break)
    return _of_copy(fleet.pick(best, tie_break))


def _by_model_in_full(
    request: Request, model: str, key: str, fleet: Directory, tie_break: TieBreak
) -> Answer | Refusal:
    """Look at all servers: for an explanation, for candidates, for those that a selector leaves, or for a refusal."""
    holders = _ordered(fleet.holders(key), tie_break)
    fitting = [copy for copy in holders if selection.fits_copy(copy, request)]
    counting = [copy for copy in fitting if copy.standing <= _least(request, fitting)]
    usable = _once_each(copy for copy in counting if copy.server.is_available)
    chosen = usable[0] if usable else None
    explained = explanation.of_model(fleet, request, holders, chosen=chosen) if request.explain else None
    if not counting:
        return _not_found(request, model, key, fleet, explained)
    if chosen is None:
        return _unavailable(model, counting, explained)
    others = tuple(map(_of_copy, usable[1 : request.candidates]))
    return _of_copy(chosen)._replace(candidates=others, explanation=explained)


def _least(request: Request, fitting: Iterable[Copy] = ()) -> Standing:
    """Return what a copy has to be at least: a stub counts only if it is allowed and nothing else has the model."""
    if not request.cloud or any(copy.standing is Standing.LOCAL for copy in fitting):
        return Standing.LOCAL
    return Standing.CLOUD


def _ordered(copies: Iterable[Copy], tie_break: TieBreak) -> list[Copy]:
    """Return copies in the order of choice, of which `Directory.pick` gives the first."""
    by_rank = groupby(sorted(copies, key=lambda copy: (copy.rank, copy.server.seed, copy.model_name)), key=_rank)
    return [copy for _, equal in by_rank for copy in _arranged_copies(list(equal), tie_break)]


def _arranged_copies(equal: list[Copy], tie_break: TieBreak) -> Iterator[Copy]:
    """Return equal copies as they are to be taken; those that their server spells in several ways last."""
    firsts = _once_each(equal)
    for place in tie_break.arranged([copy.server.seed for copy in firsts]):
        yield firsts[place]
    yield from (copy for copy in equal if copy not in firsts)


def _once_each(copies: Iterable[Copy]) -> list[Copy]:
    """Return the first copy of each server: one may list a model in two spellings."""
    first: dict[Entry, Copy] = {}
    for copy in copies:
        first.setdefault(copy.server, copy)
    return list(first.values())


def _of_copy(copy: Copy) -> Answer:
    server = copy.server
    # By position: this is made for every request.
    return Answer(2, server.base_url, server, copy.model_name, copy)


def _not_found(request: Request, model: str, key: str, fleet: Directory, explained: Explanation | None) -> Refusal:
    best = fleet.best(key)
    near = nearest.names(fleet, key, cloud=request.cloud)
    standing = None if best is None else best.rank[0]
    then = None
    if standing is not None and standing <= _least(request):
        why = f"The model {model} is only on servers that do not fit {selection.told(request)}."
        then = Then.FIT_MODEL
    elif best is not None and standing == Standing.CLOUD:
        host = best.copies[0].remote_host
        why = f"The model {model} is only there as a stub that runs at {host}."
        then = Then.ALLOW_CLOUD
    elif best is not None:
        why = f"The model {model} is only where the server is inactive or the model is switched off."
        why += " Switch one of them on."
    elif not fleet.servers:
        why, then = "No server is registered.", Then.ADD_OR_NAME_URL
    else:
        why = f"No active server has the model {model}."
        if near:
            why += f" Nearest: {', '.join(near)}."
        elif any(entry.name == model for entry in fleet.servers.values()):
            then = Then.ASK_FOR_A_MODEL
        else:
            why += " Pull it on one of them, or ask for another one."
    return Refusal(code=Code.MODEL_NOT_FOUND, detail=why, then=then, nearest=near, explanation=explained)


def _unavailable(model: str, holders: list[Copy], explained: Explanation | None) -> Refusal:
    servers = list(dict.fromkeys(copy.server for copy in holders))
    servers.sort(key=attrgetter("rank", "name"))
    told = tuple(
        PassedOver(server=one, step=Step.AVAILABLE, reason=explanation.state(one))
        for one in servers[: explanation.MOST]
    )
    some = ", ".join(f"{one.server.name} {one.reason}" for one in told[:MOST_IN_A_SENTENCE])
    rest = len(servers) - MOST_IN_A_SENTENCE
    return Refusal(
        code=Code.NO_SERVER_AVAILABLE,
        detail=f"No server that has the model {model} is available: {some}{f', and {rest} more' if rest > 0 else ''}.",
        servers=told,
        more=len(servers) - len(told),
        explanation=explained,
    )


def _by_default(request: Request, fleet: Directory, tie_break: TieBreak) -> Answer | Refusal:
    default = fleet.default
    if default is not None and not (default.is_active and selection.fits_server(default, request)):
        default = None
    if default is None and request.is_plain:
        first = fleet.pick_active(tie_break)
        ordered = [] if first is None else [first]
    else:
        ordered = _active_in_order(request, fleet, tie_break, default=default)
    chosen = ordered[0] if ordered else None
    explained = explanation.of_default(fleet, request, chosen) if request.explain else None
    if chosen is None:
        why, then = _no_active(request, fleet)
        return Refusal(code=Code.NO_ACTIVE_SERVER, detail=why, then=then, explanation=explained)
    usable = [entry for entry in ordered[1:] if entry.is_available][: request.candidates - 1]
    candidates = tuple(Answer(rule=3, base_url=entry.base_url, server=entry) for entry in usable)
    return Answer(rule=3, base_url=chosen.base_url, server=chosen, candidates=candidates, explanation=explained)


def _active_in_order(request: Request, fleet: Directory, tie_break: TieBreak, *, default: Entry | None) -> list[Entry]:
    fitting = [entry for entry in fleet.active if selection.fits_server(entry, request)]
    ordered = [] if default is None else [default]
    for _, equal in groupby(sorted(fitting, key=attrgetter("rank", "seed")), key=_rank):
        group = list(equal)
        places = tie_break.arranged([entry.seed for entry in group])
        ordered += [group[place] for place in places if group[place] is not default]
    return ordered


def _no_active(request: Request, fleet: Directory) -> tuple[str, Then]:
    if not fleet.servers:
        return "No server is registered.", Then.ADD_OR_NAME_URL
    if fleet.active:
        return f"No active server fits {selection.told(request)}.", Then.FIT_SERVER
    return "No registered server is active.", Then.ACTIVATE_OR_NAME_URL
