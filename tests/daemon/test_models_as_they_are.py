"""What a running daemon says of models while servers are restarted, upgraded and emptied: what is so now."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain import inventory
from tests import fold
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.daemon.watching import until_watched
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour, Connection, Request
from tests.fakes.ollama import FakeOllama

ASK = "UPDATE ollama_servers SET discovery_requested_at = clock_timestamp()"
ANSWERED = "SELECT discovery_answered_at >= discovery_requested_at FROM ollama_servers"
THINKS = "SELECT bool_and(capabilities ? 'thinking') FROM ollama_models"
THINKING = {"details": {}, "capabilities": ["completion", "thinking"]}
NEVER = timedelta(minutes=5)
IS_LOADED = "SELECT size_vram IS NOT NULL FROM ollama_models WHERE model_name = $1"
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


async def test_six_instant_restarts_are_told_without_a_verdict_and_the_last_one_is_on_record(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as fake, daemon(check_interval=NEVER, discovery_interval=NEVER, fall=100):
        server_id = await observer.add(fake.url)
        for _ in range(6):
            await until_watched(observer, [fake])
            looks = fake.requests["/api/ps"]
            mark = await observer.value("SELECT clock_timestamp()")
            await fake.stop()
            await fake.start()

            async def has_looked(before: int = looks) -> bool:
                return fake.requests["/api/ps"] > before

            await observer.until_true(has_looked)
        await observer.until("SELECT restarted_at >= $1 FROM ollama_servers", mark)
        assert await observer.value("SELECT watch_state FROM ollama_servers") == "watched"
    told = [
        event
        for event in await fold.read_events(observer.connection)
        if event.type == "server.updated" and "restarted_at" in event.body
    ]
    assert 2 <= len(told) <= 6
    assert set(await observer.types(server_id)) <= {"server.created", "server.up", "server.updated"}
    await observer.check_history()


async def test_a_dead_server_has_nothing_in_memory_and_a_restart_shows_what_is_left_of_it(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as fake, daemon(discovery_interval=NEVER):
        await observer.add(fake.url)
        await observer.until("SELECT count(*) = $1 FROM ollama_models", len(fake.models))
        fake.loaded.clear()
        name = next(iter(fake.models))
        fake.load_model(name)
        await observer.value(ASK)
        await observer.until(IS_LOADED, name)
        await fake.stop()
        await observer.until("SELECT bool_and(size_vram IS NULL AND expires_at IS NULL) FROM ollama_models")
        assert await observer.value("SELECT status FROM ollama_servers") == "down"
        await fake.start()
        await observer.until(IS_LOADED, name)
        # An instant restart brings no verdict, and empties the memory.
        await until_watched(observer, [fake])
        fake.unload_model(name)
        await fake.stop()
        await fake.start()
        await observer.until("SELECT bool_and(size_vram IS NULL) FROM ollama_models")
    kinds = await observer.connection.fetch(
        "SELECT type FROM fleet_events WHERE type IN ('model.loaded', 'model.unloaded') ORDER BY seq"
    )
    assert [row["type"].removeprefix("model.") for row in kinds] == ["loaded", "unloaded"] * 2
    await observer.check_history()


async def test_a_model_whose_time_ends_is_looked_for_then_and_not_at_the_next_listing(
    observer: Observer, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "WHILE_MOVING", 1.0)
    async with FakeOllama() as fake, daemon(discovery_interval=NEVER, check_interval=NEVER):
        await observer.add(fake.url)
        await observer.until("SELECT count(*) = $1 FROM ollama_models", len(fake.models))
        name = next(iter(fake.models))
        fake.load_model(name)
        fake.loaded[name]["expires_at"] = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        await observer.value(ASK)
        await observer.until("SELECT expires_at IS NOT NULL FROM ollama_models WHERE model_name = $1", name)
        listings = fake.requests["/api/tags"]
        fake.loaded.clear()
        await observer.until("SELECT size_vram IS NULL FROM ollama_models WHERE model_name = $1", name)
        assert fake.requests["/api/tags"] == listings
    await observer.check_history()
