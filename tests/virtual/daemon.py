"""The monitor's real parts over a simulated network: the only wiring, to be kept like that of `monitor/lease_scope.py`.

Left out are the database, the listings, and the metronome, which is APScheduler on the clock on the wall: what it
beats, beats here in virtual time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from asyncpg.pgproto.pgproto import UUID

from monitor.domain import schedule
from monitor.domain.availability import Availability, Status
from monitor.domain.counters import Counters
from monitor.domain.event import Announcement, EventType
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.probe import Reason
from monitor.domain.schedule import Schedule
from monitor.domain.server import Server, ServerId
from monitor.lease_scope import CHECK_SWEEP, CONNECTION_SWEEP, MOST_CONNECTING
from monitor.services.check import Check
from monitor.services.dispatcher import Dispatcher
from monitor.services.own_health import OwnHealth
from monitor.services.sentry import Sentry
from monitor.services.suspicions import Suspicions
from monitor.services.sweep import Sweep
from monitor.settings import Settings
from tests.virtual.clock import VirtualLoop
from tests.virtual.network import Client, Host
from tests.virtual.stand_ins import NotingRecorder, SimulatedHolder, SimulatedProber

# Those of a daemon that is told nothing else.
SETTINGS = Settings.model_construct()
POLICY = SETTINGS.policy


class Daemon:
    """A monitor whose fleet is up when it begins."""

    def __init__(self, loop: VirtualLoop, client: Client, hosts: list[Host], chance: random.Random) -> None:
        """`client` has the monitor's connections; `chance` gives the servers their ids."""
        self._fleet, self._agenda = Fleet(), Schedule()
        self.recorder = NotingRecorder(loop)
        self.isolations = 0
        self._counters = Counters()
        self._suspicions = Suspicions(fleet=self._fleet, recorder=self.recorder)
        self._health = self._wire_health(client)
        self._check = self._wire_check(SimulatedProber(loop, client))
        self._sweep = Sweep(self._agenda, self._check_again, every=CHECK_SWEEP)
        self._checks = Dispatcher(self._check.run, name="check", limit=SETTINGS.max_concurrent_checks)
        self._sentry = Sentry(
            fleet=self._fleet,
            holder=SimulatedHolder(loop, client),
            recorder=self.recorder,
            wake=self._check_again,
            restart=self._check_anew,
            most=len(hosts),
            on=SETTINGS.connection_watch,
        )
        self._connecting = Dispatcher(self._sentry.connect, name="connection", limit=MOST_CONNECTING)
        for host in hosts:
            self._watch(server(host, chance), now=loop.time())

    def _wire_health(self, client: Client) -> OwnHealth:
        return OwnHealth(
            fleet=self._fleet,
            policy=POLICY,
            ask=self._check_soon,
            publish=self._publish,
            announce=self._announced,
            counters=self._counters,
            looked_up_at=lambda: client.looked_up_at,
        )

    def _wire_check(self, prober: SimulatedProber) -> Check:
        return Check(
            fleet=self._fleet,
            agenda=self._agenda,
            prober=prober,
            recorder=self.recorder,
            doubt=self._health,
            discover=lambda _: None,
            suspect=self._suspicions.add,
            counters=self._counters,
        )

    def _watch(self, server: Server, *, now: float) -> None:
        # As after a restart: what the database said of the server holds, and the checks are spread.
        self._fleet.put(Watched(server=server, availability=Availability(status=Status.UP, reason=Reason.OK, good=5)))
        self._agenda.set(server.id, now + schedule.phase(server.id, POLICY.interval))
        self.recorder.know(server)

    def _publish(self, watched: Watched, verdict: Availability) -> None:
        self._check.publish(watched, verdict)

    def _check_soon(self, server_id: ServerId) -> None:
        self._checks.submit(server_id)

    def _check_again(self, server_id: ServerId) -> None:
        self._checks.submit(server_id, repeat=True)

    def _check_anew(self, server_id: ServerId) -> None:
        self._checks.submit(server_id, restart=True)

    def _announced(self, announcement: Announcement) -> None:
        self.isolations += announcement.type is EventType.MONITOR_ISOLATED

    async def _sweep_checks(self) -> None:
        await self._sweep.look()
        self._suspicions.sweep()

    async def _sweep_connections(self) -> None:
        for server_id in self._sentry.sweep():
            self._connecting.submit(server_id)

    async def run(self, seconds: float) -> None:
        """Be at work for so long."""
        parts = [
            asyncio.create_task(self._health.run()),
            asyncio.create_task(_beat(self._sweep_checks, CHECK_SWEEP)),
            asyncio.create_task(_beat(self._sweep_connections, CONNECTION_SWEEP)),
        ]
        await asyncio.sleep(seconds)
        for part in parts:
            assert not part.done(), part
            part.cancel()


def server(host: Host, chance: random.Random) -> Server:
    """Return a server of the fleet; its id, and with it its phase, is any, of the kind that the database gives."""
    address = f"gpu-{host.number}.example" if host.named else f"10.{host.network}.0.{host.number % 250}"
    return Server(
        id=ServerId(UUID(chance.randbytes(16))),
        name=str(host.number),
        url=f"http://{address}:{11434 + host.number}",
        api_version="native",
        row_version=1,
        policy=POLICY,
    )


async def _beat(act: Callable[[], Awaitable[None]], every: timedelta) -> None:
    while True:
        await act()
        await asyncio.sleep(every.total_seconds())
