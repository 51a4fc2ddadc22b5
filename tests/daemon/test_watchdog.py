"""The watchdog of a daemon: one that stands still is killed and started again, one that waits is left alone."""

import asyncio
import os
import signal
import socket
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


async def test_a_daemon_that_waits_for_its_database_at_the_start_feeds_the_watchdog(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket() as port, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        # Bound, so that nobody else gets the port, and not listening.
        port.bind(("127.0.0.1", 0))
        listener.bind(str(address))
        listener.setblocking(False)
        variables = {
            "OLLAMA_FLEET_DATABASE_URL": f"postgresql://fleet@127.0.0.1:{port.getsockname()[1]}/fleet",
            "NOTIFY_SOCKET": str(address),
            "WATCHDOG_USEC": "300000",
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "monitor", env=os.environ | variables)
        heard: list[str] = []
        async with asyncio.timeout(30):
            while heard.count("READY=1") < 1 or heard.count("WATCHDOG=1") < 3:
                heard.append((await asyncio.get_running_loop().sock_recv(listener, 1024)).decode())
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
