"""Servers as the monitor reads them: a snapshot with its number, changes after it, and requests without an answer."""

import uuid
from datetime import timedelta

import asyncpg

from monitor.domain.availability import Status
from monitor.domain.server import Api, Policy, ServerId
from monitor.postgres.database import Connection
from monitor.postgres.server_store import PostgresServerStore
from tests.postgres.conftest import POLICY, AddServer


async def test_a_snapshot_has_the_active_servers_and_the_number_they_are_true_at(
    store: PostgresServerStore, connection: Connection, add_server: AddServer
) -> None:
    assert await store.snapshot() == ([], 0)
    plain = await add_server(name="plain", url="http://plain")
    await add_server(is_active=False)
    own = await add_server(
        check_interval_seconds=2.5, check_timeout_seconds=0.5, rise=1, fall=9, connection_watch=False
    )

    servers, seq = await store.snapshot()

    assert seq == 3
    policies = {watched.server.id: watched.server.policy for watched in servers}
    assert policies == {
        plain: POLICY,
        own: Policy(interval=timedelta(seconds=2.5), timeout=timedelta(seconds=0.5), rise=1, fall=9),
    }
    assert {watched.server.id for watched in servers if watched.server.connection_watch} == {plain}
    (watched,) = await store.read([ServerId(plain)])
    assert (watched.server.name, watched.server.url, watched.server.row_version) == ("plain", "http://plain", 1)
    assert watched.availability.status is Status.UNKNOWN


async def test_a_pinned_api_is_read(store: PostgresServerStore, add_server: AddServer) -> None:
    pins = {await add_server(url=f"http://{api}", name=api, api=api): api for api in ("auto", "native", "openai")}
    servers, _ = await store.snapshot()
    pinned = {pins[watched.server.id]: watched.server.pinned for watched in servers}
    assert pinned == {"auto": None, "native": Api.NATIVE, "openai": Api.OPENAI}


async def test_a_snapshot_and_the_events_after_it_miss_nothing(
    store: PostgresServerStore, connection: Connection, add_server: AddServer, dsn: str
) -> None:
    server_id = await add_server()
    other: Connection = await asyncpg.connect(dsn)
    await other.execute("BEGIN")
    await other.execute("UPDATE ollama_servers SET priority = 1")

    ((before,), seq) = await store.snapshot()
    await other.execute("COMMIT")
    await other.close()

    assert (before.server.row_version, seq) == (1, 1)
    events, _ = await store.changes_after(seq, limit=10)
    assert [(event.seq, event.server_id) for event in events] == [(2, server_id)]
    assert (await store.changes_after(2, limit=10))[0] == []


async def test_a_request_stands_until_a_later_answer(
    store: PostgresServerStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    ask = "UPDATE ollama_servers SET {0}_requested_at = clock_timestamp()"
    answer = "UPDATE ollama_servers SET {0}_answered_at = {0}_requested_at"
    for kind in ("check", "discovery"):
        for _ in range(2):
            await connection.execute(ask.format(kind))
            assert (await store.changes_after(1, limit=1))[1] == [server_id]
            (watched,) = await store.read([ServerId(server_id)])
            assert getattr(watched, f"{kind}_requested_at") is not None
            await connection.execute(answer.format(kind))
            assert (await store.changes_after(1, limit=1))[1] == []
            (watched,) = await store.read([ServerId(server_id)])
            assert getattr(watched, f"{kind}_requested_at") is None

    await connection.execute(ask.format("check"))
    await connection.execute("UPDATE ollama_servers SET is_active = false")
    assert (await store.changes_after(1, limit=1))[1] == []
    assert await store.read([ServerId(server_id), ServerId(uuid.uuid4())]) == []
