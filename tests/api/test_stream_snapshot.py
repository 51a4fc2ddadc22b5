"""A stream that begins with the fleet: the snapshot and the changes after it make up the tables."""

import asyncio
import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

import asyncpg

from api.fleet.queries import whole_fleet
from api.fleet.views import ModelView, ServerView
from monitor.domain.event import Event, EventType
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests import fold
from tests.api.client import ApiClient, serving
from tests.api.event_source import EventSource, Message, listening

WRITES = (
    "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)",
    "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, $1, $1 FROM ollama_servers LIMIT 3",
    "UPDATE ollama_servers SET priority = priority + 1, status = 'up', is_available = true WHERE name < $1",
    "DELETE FROM ollama_servers WHERE name = (SELECT min(name) FROM ollama_servers WHERE name > $1)",
    "UPDATE ollama_models SET removed_at = now(), is_active = false WHERE model_name < $1 AND removed_at IS NULL",
)


async def read_snapshot(source: EventSource) -> tuple[dict[str, list[dict[str, Any]]], Message]:
    """Return servers and models of all pieces, and the message that ends them."""
    fleet: dict[str, list[dict[str, Any]]] = {"servers": [], "models": []}
    while (message := await source.next()).name == "snapshot":
        assert message.id == ""
        assert 0 < max(len(message.data[part]) for part in fleet) <= whole_fleet.SHOWN_BATCH or message.data["seq"] == 0
        for part in fleet:
            fleet[part] += message.data[part]
    assert message.name == "snapshot.end"
    assert message.data == {"seq": int(message.id), **{part: len(rows) for part, rows in fleet.items()}}
    return fleet, message


def as_events(fleet: dict[str, list[dict[str, Any]]], seq: int) -> list[Event]:
    """The snapshot told as if everything had just been added."""
    at = datetime.now(UTC)
    added: list[tuple[EventType, dict[str, Any], str, str | None]]
    added = [(EventType.SERVER_CREATED, row, row["id"], None) for row in fleet["servers"]]
    added += [(EventType.MODEL_ADDED, row, row["server_id"], row["id"]) for row in fleet["models"]]
    return [
        Event(
            seq=seq,
            type=type_,
            server_id=uuid.UUID(server_id),
            model_id=None if model_id is None else uuid.UUID(model_id),
            at=at,
            body=row,
        )
        for type_, row, server_id, model_id in added
    ]


def as_event(message: Message) -> Event:
    """A message of the stream as what it tells of."""
    data = message.data
    return Event(
        seq=int(message.id),
        type=EventType(message.name),
        server_id=data["server_id"] and uuid.UUID(data["server_id"]),
        model_id=data["model_id"] and uuid.UUID(data["model_id"]),
        at=datetime.fromisoformat(data["at"]),
        body=data["body"],
    )


def check_same(told: fold.State, tables: fold.State, fleet: dict[str, list[dict[str, Any]]]) -> None:
    """Compare all fields that both the tables and REST have."""
    for part, ours, theirs in (("servers", told.servers, tables.servers), ("models", told.models, tables.models)):
        assert ours.keys() == theirs.keys()
        # By the time of the snapshot the writers may have deleted all that there was of a kind.
        shown = set((ServerView if part == "servers" else ModelView).model_fields)
        for key, row in theirs.items():
            # What a server speaks is in the table as it was found, and apart from that what an operator says of it.
            fields = (shown & row.keys()) - {"api"}
            assert len(fields) > 10
            assert {field: ours[key][field] for field in fields} == {field: row[field] for field in fields}


async def write(dsn: str, writer: int, *, begun: asyncio.Event, stop: asyncio.Event) -> None:
    """Change the fleet in every way until told to stop."""
    session = await asyncpg.connect(dsn)
    for number in itertools.count():
        for statement in WRITES:
            try:
                await session.execute(statement, f"{writer:02}-{number:04}")
            except (asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError):
                continue
        if number == 1:
            begun.set()
        if stop.is_set():
            break
    await session.close()


async def test_a_snapshot_and_the_changes_after_it_are_the_tables_under_ten_writers(
    api: ApiClient, dsn: str, psql: Connection
) -> None:
    stop, begun = asyncio.Event(), [asyncio.Event() for _ in range(10)]
    await api.add("zoe")
    await psql.execute(
        "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm' FROM ollama_servers"
    )
    writers = asyncio.gather(*(write(dsn, number, begun=event, stop=stop) for number, event in enumerate(begun)))
    await asyncio.gather(*(event.wait() for event in begun))
    async with listening(api, "snapshot=true") as source:
        fleet, end = await read_snapshot(source)
        messages = await source.take(100)
        stop.set()
        await writers
        head = await psql.fetchval("SELECT seq FROM fleet_event_head")
        while int(messages[-1].id) < head:
            messages.append(await source.next())
    seq = int(end.id)
    assert [int(message.id) for message in messages] == list(range(seq + 1, head + 1))
    told = fold.fold([*as_events(fleet, seq), *map(as_event, messages)])
    check_same(told, await fold.table_state(psql), fleet)


async def test_a_snapshot_shows_servers_and_models_as_rest_does_in_pieces(api: ApiClient, psql: Connection) -> None:
    count = 2 * whole_fleet.SHOWN_BATCH + 1
    await psql.execute(
        "INSERT INTO ollama_servers (name, url) SELECT 's' || n, 'http://s' || n FROM generate_series(1, $1::int) AS n",
        count,
    )
    await psql.execute(
        "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm' FROM ollama_servers"
    )
    async with listening(api, "snapshot=true") as source:
        fleet, _ = await read_snapshot(source)
    servers = fleet["servers"]
    page = (await api.ask("GET", "/api/servers?limit=1000")).body["items"]
    assert servers == page
    assert (len(servers), len(fleet["models"])) == (count, count)
    models = (await api.ask("GET", f"/api/servers/{servers[0]['id']}/models")).body["items"]
    assert [model for model in fleet["models"] if model["server_id"] == servers[0]["id"]] == models


async def test_a_snapshot_of_an_empty_fleet_ends_too(api: ApiClient) -> None:
    async with listening(api, "snapshot=true") as source:
        fleet, end = await read_snapshot(source)
        assert (fleet, end.id) == ({"servers": [], "models": []}, "0")
        await api.add("anna")
        assert (await source.next()).id == "1"


async def test_a_snapshot_of_one_server_has_only_that(api: ApiClient) -> None:
    anna = await api.add("anna")
    await api.add("berta")
    async with listening(api, f"snapshot=true&server_id={anna['id']}") as source:
        fleet, _ = await read_snapshot(source)
    assert [server["name"] for server in fleet["servers"]] == ["anna"]


async def test_a_client_that_reconnects_gets_no_snapshot_unless_its_cursor_is_lost(
    api: ApiClient, psql: Connection, settings: Settings, dsn: str
) -> None:
    for number in range(3):
        await api.add(f"s{number}")
    async with listening(api, "snapshot=true", last_id="2") as source:
        assert (await source.next()).id == "3"
    await psql.execute("DELETE FROM fleet_events WHERE seq <= 2")
    # An API that was at work before may still have the deleted ones in its memory.
    async with serving(settings, dsn) as (fresh, _):
        for last_id in ("1", "99"):
            async with listening(fresh, "snapshot=true", last_id=last_id) as source:
                fleet, end = await read_snapshot(source)
                assert (len(fleet["servers"]), end.id) == (3, "3")
