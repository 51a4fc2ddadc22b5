"""How the long-lived parts of a process run and end: each named, none ends unnoticed, each stop is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from monitor.domain.errors import FleetError

STEP_LIMIT = 2.0

log = structlog.get_logger(__name__)

T = TypeVar("T")
Step = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What runs until it is cancelled, if anything, and the steps to take after that; `limit` is seconds a step."""

    name: str
    run: Step | None = None
    then: tuple[Step, ...] = ()
    limit: float = STEP_LIMIT


@asynccontextmanager
async def running(parts: Sequence[Part]) -> AsyncIterator[None]:
    """Run all parts during the block, then end them one after the other, in the order given.

    A part that ends by itself ends the block and all others, and raises `FleetError` in a group. When the block
    is cancelled or fails, the parts are cancelled, and the steps that would come after them are not taken.
    """
    async with asyncio.TaskGroup() as group:
        tasks = {
            part.name: group.create_task(endless(part.name, part.run()), name=part.name) for part in parts if part.run
        }
        yield
        for part in parts:
            if part.name in tasks:
                await end(part.name, cancel(tasks[part.name]), limit=part.limit)
            for step in part.then:
                await end(part.name, step(), limit=part.limit)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what `work` returns; None if `stop` is set before, and then `work` is cancelled."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait([working, stopping])


async def endless(name: str, part: Coroutine[Any, Any, None]) -> None:
    """Run a part that is never to end; raises `FleetError` naming it when it does."""
    await part
    raise FleetError(f"The part {name} ended by itself; the process stops so that it can be started afresh.")


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.wait([task])


async def end(name: str, *steps: Coroutine[Any, Any, None], limit: float = STEP_LIMIT) -> None:
    """Take the steps of stopping a part one after the other, each within `limit` seconds."""
    for step in steps:
        try:
            async with asyncio.timeout(limit):
                await step
        except TimeoutError:
            log.warning("stop_step_cut_short", part=name, limit_s=limit)
        except Exception:
            # The parts that come after this one are to be stopped in order all the same.
            log.exception("stop_step_failed", part=name)
