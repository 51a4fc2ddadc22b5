"""What a running daemon says of models while servers are restarted, upgraded and emptied: what is so now."""

import json
from datetime import timedelta

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour, Connection, Request
from tests.fakes.ollama import FakeOllama

ASK = "UPDATE ollama_servers SET discovery_requested_at = clock_timestamp()"
ANSWERED = "SELECT discovery_answered_at >= discovery_requested_at FROM ollama_servers"
THINKS = "SELECT bool_and(capabilities ? 'thinking') FROM ollama_models"
THINKING = {"details": {}, "capabilities": ["completion", "thinking"]}
NEVER = timedelta(minutes=5)
LISTED_AGAIN = "SELECT models_listed_at > $1 FROM ollama_servers"


async def test_a_listing_that_a_restart_cut_short_does_not_degrade_a_server_that_answers(
    observer: Observer, daemon: Daemon
) -> None:
    # Good checks lie between the two listings.
    async with FakeOllama() as fake, daemon(discovery_interval=timedelta(seconds=4)):
        server_id = await observer.add(fake.url)
        await observer.until("SELECT models_listed_at IS NOT NULL FROM ollama_servers")
        cut = behaviours.reset()

        async def cut_once(connection: Connection, request: Request) -> None:
            fake.behave_well()
            await cut(connection, request)

        mark = await observer.value("SELECT clock_timestamp()")
        fake.behave(cut_once, path="/api/tags")
        await observer.value(ASK)
        await observer.until(LISTED_AGAIN, mark)
        assert fake.requests["/api/tags"] >= 3
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "ok"
    assert "server.degraded" not in await observer.types(server_id)
    await observer.check_history()


async def test_a_new_version_of_ollama_has_its_models_capabilities_read_anew(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama(recorded="0.9.6") as fake, daemon(discovery_interval=NEVER):
        await observer.add(fake.url)
        await observer.until("SELECT bool_and(capabilities_source = 'show') FROM ollama_models")
        assert not await observer.value(THINKS)
        fake.behave(behaviours.document(THINKING), path="/api/show")
        fake.version = "0.9.7"
        await observer.until(THINKS)
    await observer.check_history()


async def test_who_requests_a_discovery_right_after_an_upgrade_is_told_what_it_changed(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama(recorded="0.9.6") as fake, daemon(check_interval=NEVER, discovery_interval=NEVER):
        await observer.add(fake.url)
        await observer.until("SELECT bool_and(capabilities_source = 'show') FROM ollama_models")
        fake.behave(behaviours.document(THINKING), path="/api/show")
        fake.version = "0.9.7"
        await observer.value(ASK)
        await observer.until(ANSWERED)
        result = json.loads(await observer.value("SELECT discovery_result::text FROM ollama_servers"))
        assert len(result["changed"]) == len(fake.models)
        assert await observer.value(THINKS)
    await observer.check_history()


async def test_one_listing_that_lacks_a_model_removes_it_on_no_request_and_two_do(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as fake, daemon(discovery_interval=NEVER):
        await observer.add(fake.url)
        fake.add_model("new:1b")
        await observer.value(ASK)
        await observer.until("SELECT is_active FROM ollama_models WHERE model_name = 'new:1b'")
        whole = {"models": list(fake.models.values())}
        short = {"models": [model for model in whole["models"] if model["model"] != "new:1b"]}
        for lists in ([short, whole], [short, whole], [short, short]):
            left = [behaviours.document(each) for each in lists]

            async def in_turn(connection: Connection, request: Request, left: list[Behaviour] = left) -> None:
                await left.pop(0)(connection, request)

            assert await observer.value("SELECT is_active FROM ollama_models WHERE model_name = 'new:1b'")
            fake.behave(in_turn, path="/api/tags")
            await observer.value(ASK)
            await observer.until(ANSWERED)
            assert not left
        assert await observer.value("SELECT removed_at IS NOT NULL FROM ollama_models WHERE model_name = 'new:1b'")
        fake.behave_well()
    await observer.check_history()
