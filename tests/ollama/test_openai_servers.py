"""Servers that speak only the OpenAI-style API: alive, listed, and asked no more than is needed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from monitor.domain.probe import ListedModel, Reason, Residency, ShownModel
from monitor.domain.server import Api
from monitor.ollama import openai_servers
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import LIST_PATH, SHOW_PATH, HttpLister
from monitor.ollama.openai_servers import CHECKS_UNTIL_NATIVE, Remembered, models_path
from monitor.ollama.prober import VERSION_PATH, HttpProber
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import server_at

MODELS_PATH = "/v1/models"
NATIVE_ERROR = b'{"error": "not found"}'


@pytest.fixture
async def plain() -> AsyncIterator[FakeOllama]:
    """Return a server that speaks only `/v1`."""
    async with FakeOllama(native=False) as started:
        yield started


async def test_it_is_alive_without_a_version_and_is_asked_once_from_then_on(
    client: OllamaClient, plain: FakeOllama
) -> None:
    prober, server = HttpProber(client), server_at(plain.url)
    for _ in range(3):
        result = await prober.probe(server)
        assert (result.reason, result.detail, result.server_version) == (Reason.OK, "", None)
        assert result.latency is not None
    assert plain.requests == {VERSION_PATH: 1, MODELS_PATH: 3}


@pytest.mark.parametrize("body", [b"404 page not found", b"<!doctype html><title>No</title>", NATIVE_ERROR, b""])
async def test_an_ollama_whose_native_paths_a_proxy_hides_is_alive_too(
    client: OllamaClient, fake: FakeOllama, body: bytes
) -> None:
    fake.behave(behaviours.status(404, body), path=VERSION_PATH)
    fake.models.clear()
    assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.OK


@pytest.mark.parametrize(
    "behaviour",
    [
        behaviours.status(404),
        behaviours.status(503),
        behaviours.html(),
        behaviours.document({"models": []}),
        behaviours.document("{"),
        behaviours.hang_up(),
    ],
    ids=["404", "503", "html", "shape", "json", "closed"],
)
async def test_what_answers_on_neither_is_not_ollama_and_both_are_asked_again(
    client: OllamaClient, plain: FakeOllama, behaviour: Behaviour
) -> None:
    plain.behave(behaviour, path=MODELS_PATH)
    prober, server = HttpProber(client), server_at(plain.url)
    first = await prober.probe(server)
    assert (first.reason, first.detail) == (Reason.NOT_OLLAMA, "Ollama does not answer like this (HTTP 404).")
    assert await prober.probe(server) == first
    assert plain.requests[VERSION_PATH] == 2


@pytest.mark.parametrize(
    "behaviour",
    [
        behaviours.document({"error": "Unexpected endpoint or method. (GET /api/version)"}),
        behaviours.document([]),
        behaviours.document("OK"),
        behaviours.html(),
        behaviours.status(400, b"bad request"),
        behaviours.status(403, b"forbidden"),
        behaviours.status(403),
        behaviours.status(405),
        behaviours.status(501),
        behaviours.redirect("/login?next=/api/version"),
    ],
    ids=["LM Studio", "shape", "text", "page", "400", "403", "403 empty", "405", "501", "login"],
)
async def test_whatever_is_not_ollamas_leads_to_the_other_api(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour
) -> None:
    for path in (VERSION_PATH, LIST_PATH):
        fake.behave(behaviour, path=path)
    prober, server = HttpProber(client), server_at(fake.url)
    for _ in range(3):
        result = await prober.probe(server)
        assert (result.reason, result.api) == (Reason.OK, Api.OPENAI), result
    assert fake.requests == {VERSION_PATH: 1, MODELS_PATH: 3}
    listing = await HttpLister(client).list_models(server)
    assert (listing.reason, {model.model_name for model in listing.models}) == (Reason.OK, set(fake.models))


@pytest.mark.parametrize(
    "behaviour",
    [
        behaviours.status(401, b"denied"),
        behaviours.status(429),
        behaviours.status(500),
        behaviours.status(503),
        behaviours.hang_up(),
        behaviours.endless_body(),
    ],
    ids=["401", "429", "500", "503", "closed", "endless"],
)
async def test_what_says_nothing_of_the_api_leads_nowhere(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour
) -> None:
    fake.behave(behaviour, path=VERSION_PATH)
    assert (await HttpProber(client).probe(server_at(fake.url))).reason is not Reason.OK
    assert fake.requests[MODELS_PATH] == 0


async def test_a_server_whose_other_api_wants_a_credential_says_auth_and_is_asked_once_at_a_time(
    client: OllamaClient, plain: FakeOllama
) -> None:
    plain.behave(behaviours.status(401, b"denied"), path=MODELS_PATH)
    prober, server = HttpProber(client), server_at(plain.url)
    first = await prober.probe(server)
    assert (first.reason, first.detail) == (
        Reason.AUTH,
        "The server, or a proxy in front of it, wants a credential, and none is stored (HTTP 401).",
    )
    for _ in range(8):
        assert await prober.probe(server) == first
    assert plain.requests[VERSION_PATH] == plain.requests[MODELS_PATH] == 5
    plain.behave_well()
    results = [await prober.probe(server) for _ in range(2)]
    assert results[-1].reason is Reason.OK
    assert (await HttpLister(client).list_models(server)).reason is Reason.OK
    plain.behave(behaviours.status(401, b"denied"), path=MODELS_PATH)
    assert (await HttpLister(client).list_models(server)).reason is Reason.AUTH


async def test_a_credential_that_is_wanted_on_every_path_is_asked_for_once_a_check(
    client: OllamaClient, fake: FakeOllama
) -> None:
    fake.behave(behaviours.status(403, b"denied"))
    prober, server = HttpProber(client), server_at(fake.url)
    first = await prober.probe(server)
    assert (first.reason, first.detail) == (
        Reason.AUTH,
        "A proxy in front of the server wants a credential, and none is stored (HTTP 403).",
    )
    asked = sum(fake.requests.values())
    for _ in range(10):
        assert await prober.probe(server) == first
    assert sum(fake.requests.values()) == asked + 10
    fake.behave_well()
    results = [await prober.probe(server) for _ in range(2)]
    assert (results[-1].reason, results[-1].api) == (Reason.OK, Api.NATIVE)


async def test_a_path_that_is_forbidden_while_the_root_answers_wants_no_credential(
    client: OllamaClient, fake: FakeOllama
) -> None:
    for path in (VERSION_PATH, MODELS_PATH, LIST_PATH):
        fake.behave(behaviours.status(403, b"forbidden"), path=path)
    result = await HttpProber(client).probe(server_at(fake.url))
    assert (result.reason, result.detail) == (
        Reason.NOT_OLLAMA,
        "A proxy forbids the path /api/version (HTTP 403), though the server answers on /.",
    )
    listing = await HttpLister(client).list_models(server_at(fake.url))
    assert (listing.reason, listing.detail) == (
        Reason.NOT_OLLAMA,
        "A proxy forbids the path /api/tags (HTTP 403), though the server answers on /.",
    )


async def test_a_native_server_whose_list_turns_into_a_page_does_not_lose_its_digests(
    client: OllamaClient, fake: FakeOllama
) -> None:
    lister, server = HttpLister(client), server_at(fake.url)
    await lister.list_models(server)
    fake.behave(behaviours.html(), path=LIST_PATH)
    assert (await lister.list_models(server)).reason is Reason.NOT_OLLAMA
    assert fake.requests[MODELS_PATH] == 0


@pytest.mark.parametrize("behaviour", [behaviours.html(), behaviours.document("{"), behaviours.status(403, b"no")])
async def test_the_list_of_a_server_that_tells_its_version_is_ollamas_or_none(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour
) -> None:
    prober, server = HttpProber(client), server_at(fake.url)
    lister = HttpLister(client, spoken=prober.spoken)
    await prober.probe(server)
    fake.behave(behaviour, path=LIST_PATH)
    assert (await lister.list_models(server)).reason in {Reason.NOT_OLLAMA, Reason.BAD_JSON}
    fake.behave(behaviours.status(404), path=LIST_PATH)
    assert (await lister.list_models(server)).reason is Reason.OK


async def test_a_server_that_was_misread_for_a_moment_is_native_again(client: OllamaClient, fake: FakeOllama) -> None:
    prober, server = HttpProber(client), server_at(fake.url)
    fake.behave(behaviours.html(), path=VERSION_PATH)
    assert (await prober.probe(server)).api is Api.OPENAI
    fake.behave_well()
    results = [await prober.probe(server) for _ in range(CHECKS_UNTIL_NATIVE)]
    assert {result.reason for result in results} == {Reason.OK}
    assert results[-1].api is Api.NATIVE
    fake.native = False
    assert (await prober.probe(server)).api is Api.OPENAI
    for _ in range(CHECKS_UNTIL_NATIVE + 1):
        assert (await prober.probe(server)).api is Api.OPENAI


async def test_a_pinned_api_is_asked_alone(client: OllamaClient, fake: FakeOllama, plain: FakeOllama) -> None:
    openai = replace(server_at(fake.url), pinned=Api.OPENAI)
    prober, lister = HttpProber(client), HttpLister(client)
    assert (await prober.probe(openai)).api is Api.OPENAI
    assert not any(model.digest for model in (await lister.list_models(openai)).models)
    assert await lister.list_loaded(openai) == Residency(reason=Reason.OK)
    assert await lister.show(openai, "tiny-chat:latest") == ShownModel(reason=Reason.OK)
    fake.behave(behaviours.status(404), path=MODELS_PATH)
    assert (await prober.probe(openai)).reason is Reason.NOT_OLLAMA
    assert (await lister.list_models(openai)).reason is Reason.NOT_OLLAMA
    assert fake.requests == {MODELS_PATH: 4}

    native = replace(server_at(plain.url), pinned=Api.NATIVE)
    assert (await prober.probe(native)).reason is Reason.NOT_OLLAMA
    assert (await lister.list_models(native)).reason is Reason.NOT_OLLAMA
    assert plain.requests == {VERSION_PATH: 1, LIST_PATH: 1}


async def test_its_own_trouble_has_its_own_reason_and_passes(client: OllamaClient, plain: FakeOllama) -> None:
    prober, server = HttpProber(client), server_at(plain.url)
    await prober.probe(server)
    plain.behave(behaviours.status(503, b"", {"Retry-After": "7"}), path=MODELS_PATH)
    first = await prober.probe(server)
    assert first.reason is Reason.SERVER_ERROR
    assert first.retry_after is not None
    assert await prober.probe(server) == first
    plain.behave_well()
    for _ in range(2):
        assert (await prober.probe(server)).reason is Reason.OK
    # Once for the first probe, and once after each probe that had failed.
    assert plain.requests[VERSION_PATH] == 3


async def test_the_version_is_asked_for_again_once_the_other_api_has_failed(
    client: OllamaClient, plain: FakeOllama
) -> None:
    prober, server = HttpProber(client), server_at(plain.url)
    await prober.probe(server)
    await plain.stop()
    assert (await prober.probe(server)).reason is Reason.REFUSED
    plain.native = True
    await plain.start()
    for _ in range(2):
        assert (await prober.probe(server)).server_version == plain.version
    assert plain.requests == {VERSION_PATH: 3, MODELS_PATH: 1}
    # From now on it is judged as any Ollama.
    plain.behave(behaviours.status(503), path=MODELS_PATH)
    plain.native = False
    assert (await prober.probe(server)).reason is Reason.NOT_OLLAMA


async def test_a_list_that_never_comes_ends_with_the_deadline(client: OllamaClient, plain: FakeOllama) -> None:
    prober, server = HttpProber(client), server_at(plain.url)
    hurried = replace(server, policy=server_at(plain.url, timeout=0.3).policy)
    plain.behave(behaviours.hang(), path=MODELS_PATH)
    async with asyncio.timeout(60):
        late = {Reason.TIMEOUT, Reason.CONNECT_TIMEOUT}
        assert (await prober.probe(hurried)).reason in late | {Reason.NOT_OLLAMA}
        plain.behave_well()
        assert (await prober.probe(server)).reason is Reason.OK
        plain.behave(behaviours.hang(), path=MODELS_PATH)
        assert (await prober.probe(hurried)).reason in late


async def test_an_edit_makes_both_be_asked_again_and_the_prefix_is_the_servers(
    client: OllamaClient, plain: FakeOllama
) -> None:
    prober, server = HttpProber(client), server_at(plain.url)
    await prober.probe(server)
    edited = replace(server, row_version=2, api_version="v2")
    assert (await prober.probe(edited)).reason is Reason.NOT_OLLAMA
    plain.behave(behaviours.document({"object": "list", "data": None}), path="/v2/models")
    assert (await prober.probe(edited)).reason is Reason.OK
    assert plain.requests == {VERSION_PATH: 3, MODELS_PATH: 1, "/v2/models": 2}


async def test_its_models_are_listed_by_name_and_it_is_not_asked_what_it_cannot_tell(
    client: OllamaClient, plain: FakeOllama
) -> None:
    lister, server = HttpLister(client), server_at(plain.url)
    listing = await lister.list_models(server)
    assert listing.reason is Reason.OK
    assert set(listing.models) == {ListedModel(model_name=name) for name in plain.models}
    assert await lister.show(server, "tiny-chat:latest") == ShownModel(reason=Reason.OK)
    assert await lister.list_loaded(server) == Residency(reason=Reason.OK)
    assert plain.requests[SHOW_PATH] == 0


async def test_the_native_list_is_taken_as_soon_as_there_is_one(client: OllamaClient, plain: FakeOllama) -> None:
    lister, server = HttpLister(client), server_at(plain.url)
    await lister.list_models(server)
    plain.native = True
    assert all(model.digest for model in (await lister.list_models(server)).models)
    assert (await lister.show(server, "tiny-chat:latest")).capabilities


async def test_a_list_that_is_on_neither_api_has_the_reason_of_the_native_one(
    client: OllamaClient, plain: FakeOllama
) -> None:
    lister, server = HttpLister(client), server_at(plain.url)
    plain.behave(behaviours.status(503), path=MODELS_PATH)
    assert (await lister.list_models(server)).reason is Reason.NOT_OLLAMA
    plain.behave(behaviours.document({"models": []}), path=MODELS_PATH)
    assert (await lister.list_models(server)).reason is Reason.NOT_OLLAMA
    plain.behave_well()
    await lister.list_models(server)
    plain.behave(behaviours.status(503), path=MODELS_PATH)
    assert (await lister.list_models(server)).reason is Reason.SERVER_ERROR
    assert plain.requests[LIST_PATH] == 4


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("v1", "/v1/models"),
        ("openai/v1", "/openai/v1/models"),
        ("/v1/", "/v1/models"),
        ("", "/models"),
        ("a b\r\n?#%2f", "/a%20b%0D%0A%3F%23%252f/models"),
    ],
)
def test_a_prefix_that_was_edited_by_hand_makes_one_path(prefix: str, path: str) -> None:
    assert models_path(replace(server_at("http://a"), api_version=prefix)) == path


def test_only_so_many_servers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_servers, "MOST_SERVERS", 2)
    servers = [server_at("http://a") for _ in range(3)]
    remembered: Remembered[int] = Remembered()
    for server in servers:
        remembered.put(server, 7)
    assert [remembered.get(server) for server in servers] == [None, 7, 7]
    assert remembered.get(replace(servers[2], row_version=2)) is None
