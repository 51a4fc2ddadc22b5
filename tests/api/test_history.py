"""History over HTTP: its shape, its bounds, many servers at once, and servers that have none yet."""

import uuid

from monitor.domain import history
from monitor.domain.history import FIVE_MINUTES, HOUR, Page
from monitor.domain.latency import Counts
from monitor.domain.lease import Lease
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS
from monitor.postgres.database import Connection, Database
from monitor.postgres.history_store import PostgresHistoryStore
from tests.api import stand_in
from tests.api.client import ApiClient

NOBODY = "00000000-0000-0000-0000-000000000000"


async def write(dsn: str, psql: Connection, server_id: str, *statuses: int) -> None:
    """Have had the server be in one status after the other, for five minutes each, up to the last full five minutes."""
    row = await psql.fetchrow("SELECT shard, owner, epoch FROM monitor_leases")
    assert row is not None
    database = Database(dsn, name="the test")
    await database.open()
    store = PostgresHistoryStore(database, Lease(**row))
    end = int(await store.clock()) // FIVE_MINUTES * FIVE_MINUTES
    start = end - len(statuses) * FIVE_MINUTES
    await store.write([_page(server_id, start + place * FIVE_MINUTES, status) for place, status in enumerate(statuses)])
    await database.close()


def _page(server_id: str, start: int, status: int) -> Page:
    runs = [(start * TICKS, (start + FIVE_MINUTES) * TICKS, status)]
    latencies = Counts({40: 4})
    return history.page(ServerId(uuid.UUID(server_id)), start, runs=runs, good=4, bad=0, latencies=latencies)


async def test_a_server_without_history_is_unknown_all_the_time(api: ApiClient) -> None:
    server = await api.add("a")
    answer = await api.ask("GET", f"/api/servers/{server['id']}/history")
    assert set(answer.body["windows"]) == {"1h", "24h", "7d", "30d"}
    day = answer.body["windows"]["24h"]
    assert day == {"uptime": None, "unknown_seconds": 86_400, "checks": 0, "latency_ms": None}
    assert len(answer.body["slots"]) == 90
    assert answer.body["transitions"] == []
    strips = await api.ask("GET", "/api/history")
    nothing = {"uptime": None, "unknown_seconds": 86_400}
    assert strips.body["items"][server["id"]] == {"slots": "n" * 90, "latency_ms": [None] * 90, **nothing}


async def test_history_is_told_of_one_server_and_of_many(api: ApiClient, dsn: str, psql: Connection) -> None:
    server, other = await api.add("a"), await api.add("b")
    async with stand_in.at_work(psql):
        await write(dsn, psql, server["id"], 0, 0, 1, 2)
        one = await api.ask("GET", f"/api/servers/{server['id']}/history?window=1h")
        hour = one.body["windows"]["1h"]
        assert (hour["uptime"], hour["checks"]) == (0.75, 16)
        assert abs(hour["unknown_seconds"] - (HOUR - 1200)) < 1
        assert hour["latency_ms"] == {"p50": 1.962, "p95": 1.962, "p99": 1.962}
        slots = one.body["slots"]
        assert [round(sum(slot[each] for slot in slots)) for each in ("up", "degraded", "down")] == [600, 300, 300]
        many = await api.ask("GET", f"/api/history?window=1h&server_id={server['id']}")
        assert list(many.body["items"]) == [server["id"]]
        strip = many.body["items"][server["id"]]
        expected = ["d" if s["down"] else "g" if s["degraded"] else "u" if s["up"] else "n" for s in slots]
        assert strip["slots"] == "".join(expected)
        assert strip["latency_ms"] == [slot["latency_p50_ms"] for slot in slots]
        assert strip["uptime"] == hour["uptime"]
        assert abs(strip["unknown_seconds"] - hour["unknown_seconds"]) < 1
        everybody = await api.ask("GET", "/api/history?window=7d")
        assert set(everybody.body["items"]) == {server["id"], other["id"]}


async def test_a_server_that_is_gone_has_no_history(api: ApiClient, dsn: str, psql: Connection) -> None:
    server = await api.add("a")
    async with stand_in.at_work(psql):
        await write(dsn, psql, server["id"], 0)
        await api.ask("DELETE", f"/api/servers/{server['id']}")
        assert (await api.ask("GET", f"/api/servers/{server['id']}/history")).status == 404
        assert (await api.ask("GET", "/api/history")).body["items"] == {}


async def test_what_cannot_be_asked_is_refused(api: ApiClient) -> None:
    for path in (f"/api/servers/{NOBODY}/history?window=2h", "/api/history?window=", "/api/history?server_id=x"):
        assert (await api.ask("GET", path)).status == 422
    assert (await api.ask("GET", f"/api/servers/{NOBODY}/history")).status == 404
    assert (await api.ask("GET", f"/api/history?server_id={NOBODY}")).body["items"] == {}


async def test_only_the_newest_transitions_are_told(api: ApiClient, psql: Connection) -> None:
    server = await api.add("a")
    for number in range(104):
        await psql.execute("UPDATE ollama_servers SET status = $1", ("up", "down")[number % 2])
    answer = await api.ask("GET", f"/api/servers/{server['id']}/history")
    seqs = [each["seq"] for each in answer.body["transitions"]]
    assert len(seqs) == 100
    assert seqs == sorted(seqs, reverse=True)
