"""Finds out whether a NOTIFY sent over the main address arrives at the listener at all.

Through a transaction pooler LISTEN seems to work and hears nothing; without a proof nobody would know.
"""

import asyncio
import secrets

import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.postgres.database import Connection, Database

# Ours alone: each proof is a word that only its sender knows, and all others overhear it in vain.
CHANNEL = "ollama_fleet_proofs"
SECONDS = 5.0

log = structlog.get_logger(__name__)


class NotifyProof:
    """Sends a word through `sender` and waits for it on the session that listens."""

    def __init__(self, sender: Database) -> None:
        self._sender = sender
        self._word = ""
        self._heard = asyncio.Event()
        self._is_told = False

    async def listen(self, connection: Connection) -> None:
        """Prepare a session that nobody uses yet."""
        await connection.add_listener(CHANNEL, self._hear)

    async def run(self) -> None:
        """Send and wait; warn, once until it works again, when nothing comes. No verdict without the database."""
        self._heard.clear()
        self._word = secrets.token_hex(8)
        try:
            async with self._sender.session() as connection:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._word)
        except DatabaseUnavailableError:
            return
        try:
            async with asyncio.timeout(SECONDS):
                await self._heard.wait()
            self._is_told = False
        except TimeoutError:
            if not self._is_told:
                log.warning(
                    "notify_not_arriving",
                    hint="Changes are noticed by a look every 5 s only. Set OLLAMA_FLEET_LISTEN_DATABASE_URL to the "
                    "same database directly, not through a transaction pooler.",
                )
            self._is_told = True

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._word:
            self._heard.set()
