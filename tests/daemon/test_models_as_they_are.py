"""What a running daemon says of models while servers are restarted, upgraded and emptied: what is so now."""

from datetime import timedelta

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.exchange import Connection, Request
from tests.fakes.ollama import FakeOllama

ASK = "UPDATE ollama_servers SET discovery_requested_at = clock_timestamp()"
LISTED_AGAIN = "SELECT models_listed_at > $1 FROM ollama_servers"


async def test_a_listing_that_a_restart_cut_short_does_not_degrade_a_server_that_answers(
    observer: Observer, daemon: Daemon
) -> None:
    # Good checks lie between the two listings.
    async with FakeOllama() as fake, daemon(discovery_interval=timedelta(seconds=4)):
        server_id = await observer.add(fake.url)
        await observer.until("SELECT models_listed_at IS NOT NULL FROM ollama_servers")
        cut = behaviours.reset()

        async def cut_once(connection: Connection, request: Request) -> None:
            fake.behave_well()
            await cut(connection, request)

        mark = await observer.value("SELECT clock_timestamp()")
        fake.behave(cut_once, path="/api/tags")
        await observer.value(ASK)
        await observer.until(LISTED_AGAIN, mark)
        assert fake.requests["/api/tags"] >= 3
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "ok"
    assert "server.degraded" not in await observer.types(server_id)
    await observer.check_history()
