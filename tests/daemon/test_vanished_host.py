"""A host that vanishes without a FIN or a RST: found by the checks, and soon after the first one that times out."""

from contextlib import suppress
from datetime import timedelta

import pytest

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.daemon.watching import RARELY, WATCH_STATE
from tests.fakes.ollama import FakeOllama
from tests.fakes.tcp_proxy import TcpProxy

FALL = 4
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
        daemon(check_interval=RARELY, discovery_interval=RARELY, check_timeout=timedelta(seconds=1.5), fall=FALL),
    ):
        server_id = await observer.add(proxy.url)
        await observer.until(WATCH_STATE, "watched")
        proxy.freeze()
        # Each stands for a regular check, of which the next one would come in ten minutes. On a busy machine the
        # daemon may take a time-out for its own fault; but so few of them alone take no server down.
        for _ in range(FALL - 1):
            await observer.connection.execute(REQUEST_CHECK)
            with suppress(pytest.fail.Exception):
                await observer.until_status(server_id, "down")
                break
        assert await observer.value("SELECT status FROM ollama_servers") == "down"
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "timeout"
    await observer.check_history()
