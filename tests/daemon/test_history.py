"""History from end to end: what a daemon saw of a server is what the API tells, and what nobody saw is unknown."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from monitor.domain import timeline
from monitor.domain.timeline import TICKS
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.daemon import processes
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes.ollama import FakeOllama

QUICK = {"check_interval": timedelta(seconds=0.2), "check_timeout": timedelta(seconds=1), "rise": 1, "fall": 1}
WRITTEN = "SELECT count(*) >= $1 FROM server_history_recent"


async def told(api: ApiClient, server_id: uuid.UUID, window: str = "1h") -> dict[str, Any]:
    """The history of a server."""
    answer = await api.ask("GET", f"/api/servers/{server_id}/history?window={window}")
    assert answer.status == 200
    body: dict[str, Any] = answer.body
    return body


def seconds(body: dict[str, Any], status: str) -> float:
    """The time in a status, of all slots."""
    return sum(float(slot[status]) for slot in body["slots"])


async def unknown_between(observer: Observer) -> float:
    """The seconds between what the first monitor knew last and what the second one knew first."""
    rows = await observer.connection.fetch(
        "SELECT extract(epoch FROM start_at)::bigint AS start, epoch, timeline FROM server_history_recent"
    )
    runs = [(row["epoch"], run) for row in rows for run in timeline.decode(row["timeline"], row["start"] * TICKS)]
    last = max(end for epoch, (_, end, _) in runs if epoch == 1)
    first = min(start for epoch, (start, _, _) in runs if epoch > 1)
    return (first - last) / TICKS


async def test_time_up_time_down_and_time_without_a_monitor_are_told_apart(
    dsn: str, observer: Observer, daemon: Daemon
) -> None:
    settings = Settings.model_validate({"api_port": "0"} | QUICK)
    async with FakeOllama() as fake, serving(settings, dsn) as (api, _):
        async with daemon(**QUICK):
            server_id = await observer.add(fake.url)
            await observer.until_status(server_id, "up")
            await asyncio.sleep(1)
            await fake.stop()
            await observer.until_status(server_id, "down")
            await asyncio.sleep(1)
            live = await told(api, server_id)
        # What was seen is told before it is written, as far as the present status goes back.
        assert seconds(live, "down") >= 0.9
        await observer.until(WRITTEN, 1)
        first = await told(api, server_id)
        assert first["windows"]["1h"]["checks"] >= 6
        assert seconds(first, "up") >= 0.9
        assert seconds(first, "down") >= 0.9
        assert 0 < first["windows"]["1h"]["uptime"] < 1
        assert first["windows"]["1h"]["latency_ms"]["p50"] > 0
        known = sum(seconds(first, status) for status in ("up", "degraded", "down"))
        assert first["windows"]["1h"]["unknown_seconds"] == pytest.approx(3600 - known, abs=1)
        assert [each["to"] for each in first["transitions"]] == ["down", "up"]
        assert first["transitions"][0]["from"] == "up"
        assert first["transitions"][0]["reason"] == "refused"

    await asyncio.sleep(1)
    async with daemon(**QUICK):
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until("SELECT last_checked_at > $1 FROM ollama_servers", mark)
    await observer.until(WRITTEN, 2)
    assert await unknown_between(observer) >= 1


async def test_the_time_that_a_killed_monitor_had_not_written_is_unknown(dsn: str, observer: Observer) -> None:
    # Pages are written at each five minutes of the clock, and none is to be before the monitor is killed.
    await observer.until("SELECT extract(epoch FROM now())::bigint % 300 BETWEEN 2 AND 270", within=40)
    async with FakeOllama() as fake, processes.running(dsn) as first:
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up", within=30)
        await first.kill()
        assert await observer.value("SELECT count(*) FROM server_history_recent") == 0
        async with serving(Settings.model_validate({"api_port": "0"}), dsn) as (api, _):
            await observer.connection.execute(
                "UPDATE monitor_leases SET taken_at = clock_timestamp(), epoch = epoch + 1"
            )
            body = await told(api, server_id, "24h")
            assert body["windows"]["24h"]["uptime"] is None
            assert seconds(body, "up") == 0
