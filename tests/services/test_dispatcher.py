"""Work side by side: one piece per server, a bound for all, a line in order, an end in order."""

import asyncio

from structlog.testing import capture_logs

from monitor.domain.server import ServerId
from monitor.services.dispatcher import Dispatcher
from tests.services.conftest import settled, until, watched
from tests.services.told import open_gate

ONE, TWO, THREE, FOUR = (watched(number).server.id for number in range(1, 5))


class Bench:
    """Work that waits at a gate, and a note of what began and what ended how."""

    def __init__(self) -> None:
        self.gate = open_gate()
        self.gate.clear()
        self.begun: list[ServerId] = []
        self.ended: list[ServerId] = []
        self.cut: list[ServerId] = []
        self.faulty: set[ServerId] = set()

    async def work(self, server_id: ServerId) -> None:
        """Work on a server until the gate is open."""
        self.begun.append(server_id)
        if server_id in self.faulty:
            raise RuntimeError("a bug")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cut.append(server_id)
            raise
        self.ended.append(server_id)


async def test_one_server_is_worked_on_once_at_a_time() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=10)
    for server_id in (ONE, ONE, TWO, ONE):
        dispatcher.submit(server_id)
    await until(lambda: len(bench.begun) == 2)
    assert dispatcher.in_flight == 2
    bench.gate.set()
    await until(lambda: dispatcher.in_flight == 0)
    await settled()
    assert sorted(bench.begun) == [ONE, TWO]
    dispatcher.submit(ONE)
    await until(lambda: bench.ended.count(ONE) == 2)


async def test_work_under_way_does_not_count_for_who_asks_to_repeat_it() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=10)
    dispatcher.submit(ONE, repeat=True)
    await until(lambda: bench.begun == [ONE])
    dispatcher.submit(ONE, repeat=True)
    dispatcher.submit(ONE, repeat=True)
    await settled()
    assert bench.begun == [ONE]
    bench.gate.set()
    await until(lambda: dispatcher.in_flight == 0)
    assert bench.ended == [ONE, ONE]


async def test_work_under_way_is_cut_short_for_who_asks_to_restart_it() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=1)
    dispatcher.submit(ONE, restart=True)
    await until(lambda: bench.begun == [ONE])
    dispatcher.submit(ONE, restart=True)
    await until(lambda: bench.begun == [ONE, ONE])
    bench.gate.set()
    await until(lambda: dispatcher.in_flight == 0)
    await settled()
    assert (bench.cut, bench.ended) == ([ONE], [ONE])


async def test_beyond_the_limit_servers_wait_in_line_once_each_and_in_order() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=1)
    for server_id in (ONE, TWO, THREE, TWO, FOUR, THREE):
        dispatcher.submit(server_id)
    await until(lambda: bench.begun == [ONE])
    await settled()
    assert (dispatcher.in_flight, bench.begun) == (1, [ONE])
    bench.gate.set()
    await until(lambda: bench.ended == [ONE, TWO, THREE, FOUR])


async def test_a_server_asked_for_again_and_again_does_not_keep_the_others_waiting() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=1)
    dispatcher.submit(ONE)
    await until(lambda: bench.begun == [ONE])
    dispatcher.submit(TWO)
    dispatcher.submit(ONE, repeat=True)
    bench.gate.set()
    await until(lambda: bench.ended == [ONE, TWO, ONE])


async def test_work_that_raises_is_logged_and_the_others_go_on() -> None:
    bench = Bench()
    bench.faulty = {ONE}
    dispatcher = Dispatcher(bench.work, name="check", limit=1)
    with capture_logs() as logs:
        dispatcher.submit(ONE)
        dispatcher.submit(TWO)
        bench.gate.set()
        await until(lambda: bench.ended == [TWO])
    failures = [line for line in logs if line["event"] == "work_failed"]
    assert [(line["work"], line["server_id"], line["exc_info"]) for line in failures] == [("check", str(ONE), True)]
    bench.faulty.clear()
    dispatcher.submit(ONE)
    await until(lambda: bench.ended == [TWO, ONE])


async def test_at_the_stop_work_under_way_may_end_and_no_other_begins() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=2)
    for server_id in (ONE, TWO, THREE):
        dispatcher.submit(server_id)
    dispatcher.submit(ONE, repeat=True)
    await until(lambda: len(bench.begun) == 2)
    stopping = asyncio.create_task(dispatcher.stop(patience=30))
    await settled()
    dispatcher.submit(FOUR)
    bench.gate.set()
    await asyncio.wait_for(stopping, 10)
    assert sorted(bench.ended) == [ONE, TWO]
    assert (bench.begun, bench.cut, dispatcher.in_flight) == ([ONE, TWO], [], 0)


async def test_at_the_stop_work_that_takes_too_long_is_cut() -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.work, name="check", limit=2)
    dispatcher.submit(ONE)
    dispatcher.submit(TWO)
    await until(lambda: len(bench.begun) == 2)
    await asyncio.wait_for(dispatcher.stop(patience=0.01), 10)
    assert sorted(bench.cut) == [ONE, TWO]
    assert dispatcher.in_flight == 0


async def test_stopping_without_work_takes_no_time() -> None:
    dispatcher = Dispatcher(Bench().work, name="check", limit=2)
    await asyncio.wait_for(dispatcher.stop(patience=3600), 10)
