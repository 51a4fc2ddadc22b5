"""A daemon whose event loop stands still for good: killed, started again, and no server was to blame."""

import signal
import sys
from pathlib import Path

from tests.daemon.observer import Observer
from tests.daemon.processes import QUICK
from tests.daemon.supervisor import Supervisor
from tests.fakes.fleet import FakeFleet

# The unit has 20 s; here it is time enough for a busy machine to let the daemon have its turn.
PATIENCE = 6.0
CHECKED = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up' AND last_checked_at > $2"


async def test_a_blocked_daemon_is_killed_and_its_successor_goes_on_without_a_false_down(
    dsn: str, observer: Observer, tmp_path: Path
) -> None:
    supervisor = Supervisor(
        [sys.executable, "-m", "tests.daemon.blockable_monitor"],
        folder=tmp_path,
        patience=PATIENCE,
        # One bad answer would be enough.
        environment=QUICK | {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_FALL": "1"},
    )
    async with FakeFleet(5) as fleet, supervisor.at_work():
        start = await observer.value("SELECT clock_timestamp()")
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        await observer.until(CHECKED, len(fleet), start, within=30)
        assert supervisor.endings == []
        assert supervisor.process is not None
        supervisor.process.send_signal(signal.SIGUSR1)

        async def killed() -> bool:
            return bool(supervisor.endings)

        await observer.until_true(killed, within=30)
        assert supervisor.endings == [-signal.SIGABRT]
        # In life the lease has run out by now: it lasts 15 s, and the watchdog is 20 s patient.
        await observer.connection.execute("UPDATE monitor_leases SET expires_at = clock_timestamp()")
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(CHECKED, len(fleet), mark, within=30)
        assert supervisor.ready == 2
        assert await observer.value("SELECT count(*) FROM fleet_events WHERE type = 'server.down'") == 0
    await observer.check_history()
