"""How many connections are begun and held: no storm after a start, and descriptors are left for the checks."""

import pytest
from structlog.testing import capture_logs

from monitor.domain.server import ServerId
from monitor.services import sentry
from tests.services.holds import Bench


async def test_a_big_fleet_is_watched_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    count = 3 * sentry.MOST_PER_SWEEP
    for number in range(1, count + 1):
        bench.put(number)
    assert bench.sentry.sweep() == []
    bench.now += 2
    under_way: list[ServerId] = []
    for _ in range(3):
        under_way += bench.sentry.sweep()
        # Those not connected yet count, however often it is swept.
        assert len(under_way) <= sentry.MOST_PER_SWEEP
    assert len(set(under_way)) == len(under_way)
    for server_id in under_way:
        await bench.sentry.connect(server_id)
    for _ in range(3):
        assert await bench.sweep() <= sentry.MOST_PER_SWEEP
    bench.sentry.sweep()
    assert bench.sentry.held == count


async def test_no_more_connections_are_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, most=3)
    for number in range(1, 6):
        bench.put(number)
    with capture_logs() as logs:
        for _ in range(5):
            await bench.sweep()
    assert bench.holder.open == 3
    assert [line["event"] for line in logs] == ["connections_limited"]
    bench.holder.holds[0].end()
    await bench.sweep()
    assert bench.holder.open == 3
