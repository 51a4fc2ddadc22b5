"""Texts of a client or a server: the worst of 64 KiB, and of as much as is taken, cost each parser linear time.

Every parser meets every text. What counts is the processor time of this thread, so that a busy machine changes
nothing: it is next to nothing, or four times the text costs about four times as much. Quadratic is sixteen.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import parse_qsl

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import MultiDict

from api.cli import listing
from api.fleet import cursors, filters, refusals, schemas, texts
from api.fleet.access import hosts
from api.fleet.importing import addresses, env_file, variables
from api.web.gate import access, failures, gate, origins
from api.web.http import bodies, parameters, preconditions, targets
from monitor import durations
from monitor.domain import credential, model_name, nearest, reasons, url
from monitor.domain.errors import FleetError
from monitor.domain.probe import Reason
from monitor.ollama import fields, payloads, refusal
from monitor.ollama.refusal import Refusal

ALL = 64 * 1024
# What the HTTP library takes of a header, and of the target of a request.
LINE = 8190
NEXT_TO_NOTHING = 0.02
MOST_TIMES = 8.0
MODELS = 400


def _repeated(begin: str, piece: str, end: str = "") -> Callable[[int], str]:
    return lambda size: (begin + piece * ((size - len(begin) - len(end)) // len(piece)) + end)[:size]


# How each text is made of a size.
WORST = {
    repr((begin, piece, end)): _repeated(begin, piece, end)
    for begin, piece, end in (
        *(("", piece, "") for piece in "aA1 /:.,;\"'\\%=&-[{(\n\0\ud800é١"),
        *(("", piece, "") for piece in ("${", "A=1\n", "a\u0315\u0300")),
        ("http://a", "/", "/x"),
        ("http://a", "/", "/v1"),
        ("http://a", "/v1", ""),
        ("http://a", "//api/tags", ""),
        ("http://a/", "%41", ""),
        ("http://", "a.", "a"),
        ("http://a:", "1", ""),
        ("http://[", "1:", "]"),
        ("http://", "é", ""),
        ("http://a", "\u0315\u0300", ""),
        ("a@", ",", "http://a"),
        (",", " ", "x"),
        ("", "a:11434", ""),
        ("/api/resolve?", "a=b&", ""),
        ("/api/resolve?", "session=a&", ""),
        ("", "label=a:b&", ""),
        ("", "model=a&", ""),
        ("Mon, 01 Jan ", "1", ""),
        ("", "Mon, ", ""),
        ('W/"', "a", ""),
        ("", '"a", ', ""),
        ("a/b;", "a*1='x;", ""),
        ("bearer", " ", "a b"),
        ("OLLAMA_", "A_1_", ""),
        ("A='", "\\'", ""),
        ("A=${", "A:-${", ""),
        ('{"models": [', "[", ""),
        ('{"models": [', '{"name": "a"},', "{}]}"),
        ('{"models": [{"model": "a", "size": ', "1", "}]}"),
        ('{"models": [{"model": "a", "remote_host": "', "//a", '"}]}'),
        ('{"version": "', "\\u0007", '"}'),
        ('{"labels": {', '"a": 0,', '"b": 0}}'),
        ('{"capabilities": [', "0,", "0]}"),
        ('{"priority": ', "1", "}"),
        ('{"check_interval_seconds": ', "1", ".1}"),
    )
}


def _members(size: int) -> str:
    return "{" + ",".join(f'"{number:06}":0' for number in range(size // 11)) + "}"


WORST["many members"] = _members


def _body(text: str) -> None:
    document = bodies.parse(text.encode())
    for shape in (schemas.ServerCreate, schemas.ServerPatch, schemas.ModelPatch, schemas.ResolveBody):
        try:
            shape.model_validate(document)
        except ValueError as error:
            refusals.invalid(error)  # type: ignore[arg-type]


def _query(text: str) -> None:
    query = MultiDict(parse_qsl(text, keep_blank_values=True))
    for shape in (
        parameters.ResolveQuery,
        parameters.ServerListing,
        parameters.EventQuery,
        parameters.CatalogueListing,
    ):
        with suppress(FleetError):
            parameters.read(query, shape)


def _headers(text: str) -> None:
    request = make_mocked_request(
        "POST",
        "/api/servers",
        headers={"Origin": text, "Host": text, "If-Match": text, "Authorization": text, "Content-Type": text},
    )
    own_site = partial(origins.require_own_site, names=())
    for read in (preconditions.if_match, gate.presented, own_site, origins.require_own_host):
        with suppress(FleetError):
            read(request)


def _refusal(text: str) -> None:
    for status in (302, 400, 429, 500):
        for body in (_bytes(text), b'{"error": "' + _bytes(text) + b'"}'):
            found = Refusal(
                status=status,
                body=body,
                headers={"Retry-After": text, "Location": text},
                asked="http://gpu-1:11434/api/version",
                credential=None,
            )
            refusal.explain(found)


def _page_of_own_host(text: str) -> None:
    request = make_mocked_request("POST", "/api/servers", headers={"Origin": "http://localhost", "Host": text})
    origins.require_own_site(request, ())


def _target(text: str) -> None:
    targets.without_session.__wrapped__(text)
    access.scopes_of(make_mocked_request("GET", text if text.startswith("/") else f"/api/models?{text}"))


class _Names:
    """A fleet of 400 models, as far as it takes to look for a name."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(keys)

    def best(self, key: str) -> None:
        """Nobody has any."""


def _names_of_models(text: str) -> None:
    size = min(len(text) // MODELS, model_name.MAX_LENGTH)
    fleet = _Names([f"{text[:8]}{number}{text[number : number + size]}".lower() for number in range(MODELS)])
    for wanted in (text[: size + 8], text[8 : 8 + size]):
        tuple(nearest.names(fleet, wanted.lower(), cloud=True))  # type: ignore[arg-type]


def _suggestion(text: str) -> None:
    views = [_View(f"{number}{text[number:]}") for number in range(20)]
    raise FleetError(listing._unknown(views, text))  # type: ignore[arg-type]


@dataclass
class _View:
    name: str

    @property
    def url(self) -> str:
        return self.name[: url.MAX_LENGTH]


PARSERS: dict[str, tuple[Callable[[str], object], int]] = {
    "url.normalize": (url.normalize, url.MAX_LENGTH),
    "reasons.advice": (lambda text: reasons.advice(Reason.REFUSED, text), url.MAX_LENGTH),
    "model_name.parse": (model_name.ModelName.parse, model_name.MAX_LENGTH),
    "model_name.key": (model_name.key, ALL),
    "names of models": (_names_of_models, ALL),
    "credential.is_usable_header": (credential.is_usable_header, ALL),
    "durations": (durations.parse_duration, ALL),
    "/api/version": (lambda text: payloads.read_version(_bytes(text), latency=timedelta()), ALL),
    "/api/tags": (lambda text: payloads.read_listing(_bytes(text)), ALL),
    "/v1/models": (lambda text: payloads.read_openai_listing(_bytes(text)), ALL),
    "/api/ps": (lambda text: payloads.read_residency(_bytes(text)), ALL),
    "/api/show": (lambda text: payloads.read_shown(_bytes(text)), ALL),
    "fields": (
        lambda text: [fields.clean(text, 200), fields.moment(text), fields.digest(text), fields.name(text)],
        ALL,
    ),
    "refusals": (_refusal, LINE),
    "texts": (texts.usable, ALL),
    "filters.label": (filters._label, ALL),
    "cursors": (cursors.read, ALL),
    "cursors of texts": (cursors.read_text, ALL),
    "hosts": (hosts.name, LINE),
    "headers": (_headers, LINE),
    "Host beside an Origin": (_page_of_own_host, LINE),
    "address of a client": (failures.network, ALL),
    "query": (_query, ALL),
    "target": (_target, LINE),
    "body": (_body, bodies.MAX_BYTES),
    "env_file": (lambda text: env_file.parse(_bytes(text)), ALL),
    "addresses": (addresses.read, env_file.MAX_VALUE),
    "lists of addresses": (
        lambda text: (addresses.several(text), addresses.is_list(text), addresses.has_port_of_ollama(text)),
        env_file.MAX_VALUE,
    ),
    "variables": (lambda text: variables.meaning(text, {}), ALL),
    "variables.parse_mapping": (lambda text: variables.parse_mapping(f"A={text}"), ALL),
    "misspellings": (lambda text: variables.meaning(f"OLLAMA_{text}", {}), ALL),
    "suggestions": (_suggestion, ALL),
}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _seconds(parse: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    with suppress(FleetError, ValueError):
        parse(text)
    return time.thread_time() - began


@pytest.mark.parametrize("parser", PARSERS)
def test_the_worst_of_a_text_costs_linear_time(parser: str) -> None:
    parse, taken = PARSERS[parser]
    for worst, make in WORST.items():
        for size in {taken, ALL}:
            long, short = make(size), make(size // 4)
            if _seconds(parse, long) > NEXT_TO_NOTHING:
                took, of_a_quarter = (min(_seconds(parse, text) for _ in range(3)) for text in (long, short))
                assert took < max(NEXT_TO_NOTHING, MOST_TIMES * of_a_quarter), (worst, size, took, of_a_quarter)
