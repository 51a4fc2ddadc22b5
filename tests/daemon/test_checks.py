"""The daemon against real servers: what it finds is what the tables say, and every change is an event."""

from datetime import timedelta

import pytest

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour
from tests.fakes.fleet import FakeFleet
from tests.fakes.ollama import FakeOllama

MODELS = "SELECT count(*) FILTER (WHERE is_active) = $1 FROM ollama_models"


async def test_a_new_server_is_checked_and_its_models_are_listed(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon():
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up")
        await observer.until(MODELS, len(fake.models))
    row = await observer.connection.fetchrow("SELECT * FROM ollama_servers")
    assert row is not None
    assert row["is_available"]
    assert row["last_checked_at"] is not None
    assert row["next_check_at"] > row["last_checked_at"]
    assert row["server_version"] == fake.version
    await observer.check_history()


async def test_a_server_that_speaks_only_v1_is_up_with_its_models_and_stays_so(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama(native=False) as fake, daemon(check_timeout=timedelta(seconds=10)):
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up")
        await observer.until(MODELS, len(fake.models))
        fake.add_model("new:1b")
        await observer.until("SELECT is_active FROM ollama_models WHERE model_name = 'new:1b'")
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(
            "SELECT least(last_checked_at, models_listed_at) > $1::timestamptz + interval '2 seconds' "
            "FROM ollama_servers",
            mark,
        )
        assert (fake.requests["/api/version"], fake.requests["/api/show"]) == (1, 0)
    kinds = [kind for kind in await observer.types(server_id) if kind != "server.updated"]
    assert kinds == ["server.created", "server.up"]
    told = await observer.value("SELECT count(*) FROM fleet_events WHERE model_id IS NOT NULL")
    assert told == len(fake.models)
    assert await observer.value("SELECT bool_and(capabilities_source = 'none') FROM ollama_models")
    await observer.check_history()


async def test_a_server_that_dies_goes_down_with_its_cause_and_comes_back(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon():
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up")
        await fake.stop()
        await observer.until_status(server_id, "down")
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "refused"
        assert not await observer.value("SELECT is_available FROM ollama_servers")
        await fake.start()
        await observer.until_status(server_id, "up")
    kinds = [kind for kind in await observer.types(server_id) if kind != "server.updated"]
    assert kinds == ["server.created", "server.up", "server.down", "server.up"]
    await observer.check_history()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (behaviours.html(), "not_ollama"),
        (behaviours.hang(), "timeout"),
        (behaviours.endless_body(), "too_large"),
        (behaviours.nested(20_000), "bad_json"),
    ],
    ids=["html", "hang", "endless", "nested"],
)
async def test_a_sick_server_goes_down_and_the_others_stay_on_time(
    observer: Observer, daemon: Daemon, behaviour: Behaviour, reason: str
) -> None:
    async with FakeFleet(10) as fleet, daemon(check_timeout=timedelta(seconds=0.5)):
        ids = [await observer.add(fake.url, fake.host) for fake in fleet]
        for server_id in ids:
            await observer.until_status(server_id, "up")
        fleet[0].behave(behaviour)
        await observer.until_status(ids[0], "down")
        assert await observer.value("SELECT status_reason FROM ollama_servers WHERE id = $1", ids[0]) == reason
        # Each of the others is checked twice more while the sick one is.
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(
            "SELECT min(last_checked_at) > $1::timestamptz + interval '1 second' FROM ollama_servers WHERE id <> $2",
            mark,
            ids[0],
        )
        assert await observer.value("SELECT count(*) FROM ollama_servers WHERE status = 'up'") == len(ids) - 1
    await observer.check_history()


async def test_a_list_that_fails_degrades_the_server_and_removes_no_model(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon():
        server_id = await observer.add(fake.url)
        await observer.until(MODELS, len(fake.models))
        fake.behave(behaviours.status(500), path="/api/tags")
        await observer.until_status(server_id, "degraded")
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "list_failed"
        assert await observer.value("SELECT is_available FROM ollama_servers")
        assert await observer.value(MODELS, len(fake.models))
        fake.behave_well()
        await observer.until_status(server_id, "up")
    await observer.check_history()


async def test_models_that_come_change_go_and_load_are_followed(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon():
        await observer.add(fake.url)
        await observer.until(MODELS, len(fake.models))
        fake.add_model("new:1b")
        await observer.until("SELECT is_active FROM ollama_models WHERE model_name = 'new:1b'")
        fake.load_model("new:1b", size=100, size_vram=60)
        await observer.until("SELECT size_vram = 60 FROM ollama_models WHERE model_name = 'new:1b'")
        fake.unload_model("new:1b")
        await observer.until("SELECT size_vram IS NULL FROM ollama_models WHERE model_name = 'new:1b'")
        before = await observer.value("SELECT digest FROM ollama_models WHERE model_name = 'new:1b'")
        fake.change_model("new:1b")
        await observer.until("SELECT digest <> $1 FROM ollama_models WHERE model_name = 'new:1b'", before)
        fake.remove_model("new:1b")
        await observer.until("SELECT removed_at IS NOT NULL FROM ollama_models WHERE model_name = 'new:1b'")
        fake.add_model("new:1b")
        await observer.until("SELECT removed_at IS NULL FROM ollama_models WHERE model_name = 'new:1b'")
    rows = await observer.connection.fetch(
        "SELECT type FROM fleet_events WHERE model_id = (SELECT id FROM ollama_models WHERE model_name = 'new:1b')"
    )
    kinds = [row["type"].removeprefix("model.") for row in rows]
    assert kinds == ["added", "loaded", "unloaded", "changed", "removed", "added"]
    await observer.check_history()


async def test_a_model_deleted_by_hand_comes_back_with_the_next_listing(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon():
        await observer.add(fake.url)
        await observer.until(MODELS, len(fake.models))
        await observer.connection.execute("DELETE FROM ollama_models WHERE model_name LIKE 'tiny-chat%'")
        await observer.until(MODELS, len(fake.models))
    await observer.check_history()


async def test_a_model_that_the_operator_disabled_stays_disabled(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon():
        await observer.add(fake.url)
        await observer.until(MODELS, len(fake.models))
        await observer.connection.execute(
            "UPDATE ollama_models SET is_active = false, capabilities = '[\"mine\"]' WHERE model_name LIKE 'tiny-chat%'"
        )
        fake.change_model("tiny-chat:latest")
        digest = fake.models["tiny-chat:latest"]["digest"]
        await observer.until("SELECT digest = $1 FROM ollama_models WHERE model_name LIKE 'tiny-chat%'", digest)
        row = await observer.connection.fetchrow("SELECT * FROM ollama_models WHERE model_name LIKE 'tiny-chat%'")
        assert row is not None
        assert not row["is_active"]
        assert row["capabilities"] == '["mine"]'
    await observer.check_history()


async def test_old_servers_are_asked_for_the_capabilities_of_each_digest_once(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama(recorded="0.9.6") as fake, daemon():
        await observer.add(fake.url)
        await observer.until(
            "SELECT capabilities = '[\"completion\", \"tools\"]' FROM ollama_models WHERE model_name LIKE 'tiny-chat%'"
        )
        listings = fake.requests["/api/tags"]
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(
            "SELECT models_listed_at > $1::timestamptz + interval '1 second' FROM ollama_servers", mark
        )
        assert fake.requests["/api/tags"] > listings
        assert fake.requests["/api/show"] == len({model["digest"] for model in fake.models.values()})
    await observer.check_history()
