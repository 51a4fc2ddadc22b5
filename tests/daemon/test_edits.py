"""What operators do while the daemon works: edits, deletions, requests, by plain SQL."""

import asyncio
from datetime import timedelta

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.exchange import Connection, Request
from tests.fakes.ollama import FakeOllama


async def test_an_edited_address_is_checked_at_once_and_the_late_result_is_dropped(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as old, FakeOllama() as new, daemon(check_interval=timedelta(seconds=30)):
        server_id = await observer.add(old.url)
        await observer.until_status(server_id, "up")
        new.version = "9.9.9"
        old.behave(behaviours.slow(0.8, behaviours.document({"version": "0.0.1"})), path="/api/version")
        asked = old.requests["/api/version"]
        await observer.connection.execute("UPDATE ollama_servers SET check_requested_at = clock_timestamp()")

        async def old_is_asked() -> bool:
            return old.requests["/api/version"] > asked

        await observer.until_true(old_is_asked)
        await observer.connection.execute("UPDATE ollama_servers SET url = $1", new.url)
        await observer.until("SELECT server_version = '9.9.9' FROM ollama_servers WHERE status = 'up'")
        answered = "SELECT check_answered_at >= check_requested_at FROM ollama_servers"
        await observer.until(answered)
        assert await observer.value("SELECT server_version FROM ollama_servers") == "9.9.9"
    seen = await observer.value("SELECT count(*) FROM fleet_events WHERE body ->> 'server_version' = '0.0.1'")
    assert seen == 0
    await observer.check_history()


async def test_what_is_found_out_about_a_deleted_server_is_not_said_of_one_with_its_name_and_address(
    observer: Observer, daemon: Daemon
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()
    async with FakeOllama() as fake, daemon(check_timeout=timedelta(seconds=10)):

        async def answer_late(connection: Connection, request: Request) -> None:
            asked.set()
            await answer.wait()
            connection.answer(200, b'{"version": "0.0.1"}')

        old = await observer.add(fake.url)
        await observer.until_status(old, "up")
        fake.behave(answer_late, path="/api/version")
        async with asyncio.timeout(15):
            await asked.wait()
        await observer.connection.execute("DELETE FROM ollama_servers")
        fake.behave_well()
        new = await observer.add(fake.url)
        await observer.until_status(new, "up")
        answer.set()
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until("SELECT last_checked_at > $1 FROM ollama_servers", mark)
        assert await observer.value("SELECT array_agg(id) FROM ollama_servers") == [new]
    seen = await observer.value("SELECT count(*) FROM fleet_events WHERE body ->> 'server_version' = '0.0.1'")
    assert seen == 0
    assert (await observer.types(old))[-1] == "server.deleted"
    await observer.check_history()


async def test_an_inactive_server_is_left_alone_and_a_deleted_one_does_not_come_back(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as kept, FakeOllama(host="127.0.0.2") as deleted, daemon():
        kept_id = await observer.add(kept.url, "kept")
        deleted_id = await observer.add(deleted.url, "deleted")
        await observer.until_status(kept_id, "up")
        await observer.until_status(deleted_id, "up")
        await observer.connection.execute("UPDATE ollama_servers SET is_active = false WHERE id = $1", kept_id)
        await observer.connection.execute("DELETE FROM ollama_servers WHERE id = $1", deleted_id)
        other = await observer.add(deleted.url, "deleted")
        await observer.until_status(other, "up")
        asked = kept.requests["/api/version"]
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(
            "SELECT last_checked_at > $2::timestamptz + interval '1.5 seconds' FROM ollama_servers WHERE id = $1",
            other,
            mark,
        )
        assert kept.requests["/api/version"] <= asked + 1
        assert await observer.value("SELECT status FROM ollama_servers WHERE id = $1", kept_id) == "unknown"
    assert (await observer.types(deleted_id))[-1] == "server.deleted"
    await observer.check_history()


async def test_requests_are_answered_and_tell_what_was_found(observer: Observer, daemon: Daemon) -> None:
    async with (
        FakeOllama() as fake,
        daemon(check_interval=timedelta(seconds=60), discovery_interval=timedelta(seconds=60)),
    ):
        server_id = await observer.add(fake.url)
        await observer.until("SELECT models_listed_at IS NOT NULL FROM ollama_servers")
        fake.add_model("new:1b")
        gone = next(iter(fake.models))
        fake.remove_model(gone)
        await observer.connection.execute("UPDATE ollama_servers SET discovery_requested_at = clock_timestamp()")
        await observer.until("SELECT discovery_answered_at >= discovery_requested_at FROM ollama_servers")
        answer = "SELECT discovery_result ->> $1 FROM ollama_servers"
        assert await observer.value(answer, "added") == '["new:1b"]'
        assert await observer.value(answer, "removed") == f'["{gone}"]'
        await fake.stop()
        await observer.connection.execute("UPDATE ollama_servers SET check_requested_at = clock_timestamp()")
        await observer.until("SELECT check_answered_at >= check_requested_at FROM ollama_servers")
        assert await observer.value("SELECT check_result ->> 'reason' FROM ollama_servers") == "refused"
        await observer.until_status(server_id, "down")
    await observer.check_history()


async def test_a_request_made_while_no_daemon_works_is_answered_by_the_next_one(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as fake:
        await observer.add(fake.url)
        await observer.connection.execute("UPDATE ollama_servers SET check_requested_at = clock_timestamp()")
        async with daemon():
            await observer.until("SELECT check_answered_at >= check_requested_at FROM ollama_servers")
