"""Wake-ups from NOTIFY: one session of its own that never stays dead without being noticed.

A notification is a hint. Whoever is woken reads the tables; and is woken every few seconds even
without one, so that a lost hint costs a delay and nothing else.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import asyncpg
import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.postgres import database
from monitor.postgres.database import Connection, Database
from monitor.postgres.notify_proof import NotifyProof

PING_INTERVAL = 5.0
PING_TIMEOUT = 5.0
FIRST_RETRY = 0.2
LAST_RETRY = 5.0

log = structlog.get_logger(__name__)


class Listener:
    """Calls `wake` on every notification, after every (re)connect, and every 5 s anyway."""

    def __init__(
        self,
        dsn: str,
        *,
        name: str,
        channels: Sequence[str],
        wake: Callable[[], None],
        wakes: Mapping[str, Callable[[], None]] = MappingProxyType({}),
        sender: Database | None = None,
    ) -> None:
        """`wake` is called in the event loop and must only set a flag; `sender` proves that a NOTIFY gets here.

        `wakes` are channels that wake somebody else.
        """
        self._dsn = dsn
        self._name = name
        self._wakes = {**dict.fromkeys(channels, wake), **wakes}
        self._proof = None if sender is None else NotifyProof(sender)
        self.reconnects = 0
        self.is_connected = False

    async def run(self) -> None:
        """Listen until cancelled; a lost session is opened again with a growing, jittered delay."""
        retry = FIRST_RETRY
        while True:
            try:
                connection = await database.connect(self._dsn, name=self._name, statement_cache_size=0)
            except DatabaseUnavailableError as error:
                if retry == FIRST_RETRY:
                    log.warning("listener_disconnected", error=str(error))
                await asyncio.sleep(retry * random.uniform(0.5, 1))
                retry = min(retry * 2, LAST_RETRY)
                continue
            proving: asyncio.Task[None] | None = None
            try:
                await self._listen(connection)
                if self._proof is not None:
                    proving = asyncio.create_task(self._proof.run(), name="notify_proof")
                retry = FIRST_RETRY
                self.is_connected = True
                log.info("listener_connected", channels=list(self._wakes))
                await self._keep_alive(connection)
            except (*database.LOST, asyncpg.PostgresError) as error:
                log.warning("listener_lost", error=str(error) or type(error).__name__)
            finally:
                self.is_connected = False
                if proving is not None:
                    proving.cancel()
                # close() could wait for ever on a peer that is silent; there is nothing to say good-bye for.
                connection.terminate()
            self.reconnects += 1
            await asyncio.sleep(retry * random.uniform(0.5, 1))

    async def _listen(self, connection: Connection) -> None:
        for channel, wake in self._wakes.items():
            await connection.add_listener(channel, partial(_call, wake))
        if self._proof is not None:
            await self._proof.listen(connection)
        self._wake_all()

    async def _keep_alive(self, connection: Connection) -> None:
        closed = asyncio.Event()
        connection.add_termination_listener(lambda *_: closed.set())
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_INTERVAL):
                    await closed.wait()
                raise ConnectionResetError("the connection was closed by the other side")
            await connection.execute("SELECT 1", timeout=PING_TIMEOUT)
            self._wake_all()

    def _wake_all(self) -> None:
        for wake in dict.fromkeys(self._wakes.values()):
            wake()


def _call(wake: Callable[[], None], *_notification: object) -> None:
    wake()
