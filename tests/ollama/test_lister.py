"""Lists, residency and capabilities over real sockets."""

import asyncio

import pytest

from monitor.domain.probe import Listing, Reason, Residency
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import LIST_PATH, RESIDENCY_PATH, SHOW_PATH, HttpLister
from tests.fakes import behaviours, recordings
from tests.fakes.exchange import Connection, Request
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import server_at


@pytest.mark.parametrize("recorded", [recordings.LATEST, recordings.OLD, recordings.EMPTY])
async def test_the_models_of_a_server_are_listed(client: OllamaClient, recorded: str) -> None:
    async with FakeOllama(recorded=recorded) as fake:
        listing = await HttpLister(client).list_models(server_at(fake.url))
        assert listing.reason is Reason.OK
        assert {model.model_name for model in listing.models} == set(fake.models)


async def test_models_that_come_go_and_change_are_seen(client: OllamaClient, fake: FakeOllama) -> None:
    lister, server = HttpLister(client), server_at(fake.url)
    fake.add_model("new:1b")
    before = {model.model_name: model for model in (await lister.list_models(server)).models}
    fake.remove_model("tiny-chat:latest")
    fake.change_model("new:1b")
    after = {model.model_name: model for model in (await lister.list_models(server)).models}
    assert set(before) - set(after) == {"tiny-chat:latest"}
    assert before["new:1b"].digest != after["new:1b"].digest


async def test_models_in_memory_are_listed(client: OllamaClient, fake: FakeOllama) -> None:
    lister, server = HttpLister(client), server_at(fake.url)
    assert await lister.list_loaded(server) == Residency(reason=Reason.OK, models=())
    fake.load_model("tiny-chat:latest", size=1000, size_vram=400)
    (loaded,) = (await lister.list_loaded(server)).models or ()
    assert (loaded.model_name, loaded.size_bytes, loaded.size_vram) == ("tiny-chat:latest", 1000, 400)
    fake.unload_model("tiny-chat:latest")
    assert (await lister.list_loaded(server)).models == ()


async def test_a_server_too_old_to_tell_what_is_in_memory_is_not_blamed(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.status(404, b"404 page not found"), path=RESIDENCY_PATH)
    assert await HttpLister(client).list_loaded(server_at(fake.url)) == Residency(reason=Reason.OK)


async def test_a_model_is_shown_by_its_exact_name(client: OllamaClient, fake: FakeOllama) -> None:
    shown = await HttpLister(client).show(server_at(fake.url), "hf.co/acme/Tiny-GGUF:Q4_K_M")
    assert shown.reason is Reason.OK
    assert shown.capabilities
    (request,) = fake.received
    assert (request.method, request.path) == ("POST", SHOW_PATH)
    assert request.body == b'{"model": "hf.co/acme/Tiny-GGUF:Q4_K_M"}'
    assert request.headers["content-type"] == "application/json"


async def test_a_model_that_is_gone_is_not_shown(client: OllamaClient, fake: FakeOllama) -> None:
    shown = await HttpLister(client).show(server_at(fake.url), "nope:latest")
    assert (shown.reason, shown.capabilities) == (Reason.NOT_OLLAMA, None)
    assert "does not know the model" in shown.detail


async def test_a_list_that_fails_once_because_of_a_deletion_is_asked_for_again(
    client: OllamaClient, fake: FakeOllama
) -> None:
    async def fail_once(connection: Connection, _request: Request) -> None:
        fake.behave_well()
        connection.answer(500, b'{"error": "open manifest: no such file"}')

    fake.behave(fail_once, path=LIST_PATH)
    listing = await HttpLister(client).list_models(server_at(fake.url))
    assert listing.reason is Reason.OK
    assert fake.requests == {LIST_PATH: 2}


async def test_a_list_that_keeps_failing_is_asked_for_twice_and_the_server_stays_alive(
    client: OllamaClient, fake: FakeOllama
) -> None:
    fake.behave(behaviours.status(500), path=LIST_PATH)
    lister, server = HttpLister(client), server_at(fake.url)
    assert (await lister.list_models(server)).reason is Reason.SERVER_ERROR
    assert fake.requests == {LIST_PATH: 2}
    assert (await lister.list_loaded(server)).reason is Reason.OK


async def test_a_list_is_not_asked_for_again_when_the_time_is_too_short(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.status(500), path=LIST_PATH)
    listing = await HttpLister(client).list_models(server_at(fake.url, timeout=0.15))
    assert listing.reason in {Reason.SERVER_ERROR, Reason.TIMEOUT, Reason.CONNECT_TIMEOUT}
    assert fake.requests[LIST_PATH] <= 1


async def test_every_failure_of_a_list_has_its_reason(client: OllamaClient, fake: FakeOllama) -> None:
    lister, server = HttpLister(client), server_at(fake.url)
    fake.behave(behaviours.html())
    results = (
        await lister.list_models(server),
        await lister.list_loaded(server),
        await lister.show(server, "a:b"),
    )
    assert [result.reason for result in results] == [Reason.NOT_OLLAMA] * 3
    fake.behave(behaviours.status(403))
    results = (
        await lister.list_models(server),
        await lister.list_loaded(server),
        await lister.show(server, "a:b"),
    )
    assert [result.reason for result in results] == [Reason.HOST_RULE] * 3


async def test_a_bad_list_leaves_the_lists_of_others_unharmed(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.document('{"models": ' + "[" * 100_000 + "]" * 100_000 + "}"))
    async with FakeOllama() as other:
        lister = HttpLister(client)
        bad, good = await asyncio.gather(
            lister.list_models(server_at(fake.url)), lister.list_models(server_at(other.url))
        )
    assert (bad.reason, bad.models) == (Reason.BAD_JSON, ())
    assert isinstance(good, Listing)
    assert len(good.models) == 6
