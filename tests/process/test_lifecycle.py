"""Parts of a process: none ends unnoticed, and each step of the stop is bounded."""

import asyncio

import pytest
from structlog.testing import capture_logs

from monitor import lifecycle
from monitor.domain.errors import FleetError


async def test_a_part_that_ends_by_itself_is_an_error_with_its_name() -> None:
    with pytest.raises(FleetError, match="The part recorder ended by itself"):
        await lifecycle.endless("recorder", asyncio.sleep(0))


async def test_a_part_that_fails_fails_as_it_is() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await lifecycle.endless("recorder", fail())


async def test_a_cancelled_part_has_ended_afterwards() -> None:
    ended: list[str] = []

    async def part() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append("part")

    task = asyncio.create_task(part())
    await asyncio.sleep(0)
    await lifecycle.cancel(task)
    assert ended == ["part"]
    assert task.cancelled()


async def test_parts_end_in_order_after_the_block_and_without_further_steps_when_it_is_cancelled() -> None:
    ended: list[str] = []

    def part(name: str) -> lifecycle.Part:
        async def run() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(name)

        async def flush() -> None:
            ended.append(f"{name} flushed")

        return lifecycle.Part(name=name, run=run, then=(flush,))

    async def block(stop: asyncio.Event) -> None:
        async with lifecycle.running([part("recorder"), part("watch")]):
            await stop.wait()

    for is_cancelled in (False, True):
        stop = asyncio.Event()
        task = asyncio.create_task(block(stop))
        await asyncio.sleep(0.01)
        if is_cancelled:
            task.cancel()
        stop.set()
        await asyncio.wait([task])
        assert task.cancelled() is is_cancelled
        if is_cancelled:
            # All at once, in no order.
            assert sorted(ended) == ["recorder", "watch"]
        else:
            assert ended == ["recorder", "recorder flushed", "watch", "watch flushed"]
        ended.clear()


async def test_a_part_that_ends_by_itself_ends_the_block_and_the_others() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with lifecycle.running([lifecycle.Part(name="recorder", run=lambda: asyncio.sleep(0))]):
            await asyncio.sleep(3600)
    assert caught.group_contains(FleetError, match="The part recorder ended by itself")


async def test_work_goes_on_unless_it_is_to_stop() -> None:
    stop = asyncio.Event()
    assert await lifecycle.unless(stop, asyncio.sleep(0, "done")) == "done"
    task = asyncio.create_task(lifecycle.unless(stop, asyncio.sleep(3600, "done")))
    await asyncio.sleep(0)
    stop.set()
    assert await asyncio.wait_for(task, 10) is None


async def test_the_steps_of_a_stop_are_taken_in_order_and_one_that_hangs_is_cut() -> None:
    taken: list[str] = []

    async def step(name: str) -> None:
        taken.append(name)

    with capture_logs() as logs:
        hanging = asyncio.sleep(3600)
        await asyncio.wait_for(lifecycle.end("work", step("one"), hanging, step("two"), limit=0.01), 10)
    assert taken == ["one", "two"]
    assert [(line["event"], line["part"]) for line in logs] == [("stop_step_cut_short", "work")]
