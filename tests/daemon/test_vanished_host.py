"""A host that vanishes without a FIN or a RST: found by the checks, and soon after the first one that times out."""

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.daemon.watching import RARELY, WATCH_STATE
from tests.fakes.ollama import FakeOllama
from tests.fakes.tcp_proxy import TcpProxy

REQUEST_CHECK = "UPDATE ollama_servers SET check_requested_at = clock_timestamp()"


async def test_it_is_found_by_the_regular_checks(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, TcpProxy((fake.host, fake.port)) as proxy, daemon():
        server_id = await observer.add(proxy.url)
        await observer.until_status(server_id, "up")
        proxy.freeze()
        await observer.until_status(server_id, "down")
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "timeout"
        proxy.thaw()
        await observer.until_status(server_id, "up")
    await observer.check_history()


async def test_after_the_first_time_out_no_further_interval_is_waited_for(observer: Observer, daemon: Daemon) -> None:
    async with (
        FakeOllama() as fake,
        TcpProxy((fake.host, fake.port)) as proxy,
        daemon(check_interval=RARELY, discovery_interval=RARELY),
    ):
        server_id = await observer.add(proxy.url)
        await observer.until(WATCH_STATE, "watched")
        proxy.freeze()
        # Stands for the regular check, of which the next but two would come in half an hour.
        await observer.connection.execute(REQUEST_CHECK)
        await observer.until_status(server_id, "down")
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "timeout"
    await observer.check_history()
