"""Servers that speak only the OpenAI-style API: alive, listed, and asked no more than is needed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from monitor.domain.probe import ListedModel, Reason, Residency, ShownModel
from monitor.ollama import openai_servers
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import LIST_PATH, SHOW_PATH, HttpLister
from monitor.ollama.openai_servers import OpenAiServers, models_path
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
        behaviours.status(401, b"denied"),
        behaviours.status(503),
        behaviours.html(),
        behaviours.document({"data": []}),
        behaviours.document("{"),
        behaviours.hang_up(),
    ],
    ids=["404", "401", "503", "html", "shape", "json", "closed"],
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


async def test_only_a_path_that_is_not_there_leads_to_the_other_api(client: OllamaClient, fake: FakeOllama) -> None:
    for behaviour in (behaviours.html(), behaviours.status(405), behaviours.status(500), behaviours.status(401, b"x")):
        fake.behave(behaviour, path=VERSION_PATH)
        assert (await HttpProber(client).probe(server_at(fake.url))).reason is not Reason.OK
    assert fake.requests == {VERSION_PATH: 4}


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
    remembered = OpenAiServers()
    for server in servers:
        remembered.add(server)
    assert [remembered.knows(server) for server in servers] == [False, True, True]
