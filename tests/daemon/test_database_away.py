"""A daemon without its database: it waits, goes on checking, and tells everything once when it is back."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from monitor.embedded import postgres as embedded
from monitor.postgres import schema_version
from monitor.postgres.database import Connection
from tests import fold
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Eventually, Observer
from tests.embedded import embedded_user
from tests.fakes.ollama import FakeOllama


class Cluster:
    """A PostgreSQL of the test's own that comes and goes."""

    def __init__(self, state_dir: Path, stack: ExitStack) -> None:
        self._state_dir = state_dir
        self._stack = stack

    def start(self) -> str:
        """Start it, and return the address of its database."""
        return self._stack.enter_context(embedded.running(self._state_dir)).dsn()

    def stop(self) -> None:
        """Stop it, whoever uses it."""
        assert embedded.stop(self._state_dir)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that is stopped at the end."""
    with embedded_user.state_dir() as path, ExitStack() as stack:
        yield Cluster(path, stack)


async def test_a_daemon_starts_without_its_database_and_recovers_by_itself(
    cluster: Cluster, daemon: Daemon, eventually: Eventually
) -> None:
    dsn = cluster.start()
    await schema_version.upgrade(dsn)
    cluster.stop()
    async with FakeOllama() as fake, daemon(database_url=dsn):
        cluster.start()
        session: Connection = await asyncpg.connect(dsn)
        observer = Observer(session, eventually)
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up", within=30)
        await session.close()


async def test_checks_go_on_without_the_database_and_each_change_is_told_once(
    cluster: Cluster, daemon: Daemon, eventually: Eventually
) -> None:
    dsn = cluster.start()
    await schema_version.upgrade(dsn)
    async with FakeOllama() as alive, FakeOllama(host="127.0.0.2") as dying, daemon(database_url=dsn):
        session: Connection = await asyncpg.connect(dsn)
        observer = Observer(session, eventually)
        await observer.until_status(await observer.add(alive.url, "alive"), "up")
        dying_id = await observer.add(dying.url, "dying")
        await observer.until_status(dying_id, "up")
        session.terminate()
        cluster.stop()
        await dying.stop()
        asked = alive.requests["/api/version"]

        async def checks_go_on() -> bool:
            return alive.requests["/api/version"] > asked + 3

        await eventually(checks_go_on, what="checks without a database")
        cluster.start()
        session = await asyncpg.connect(dsn)
        observer = Observer(session, eventually)
        await observer.until_status(dying_id, "down", within=30)
        kinds = [kind for kind in await observer.types(dying_id) if kind != "server.updated"]
        assert kinds == ["server.created", "server.up", "server.down"]
        fold.check_invariants(await fold.read_events(session))
        await session.close()
