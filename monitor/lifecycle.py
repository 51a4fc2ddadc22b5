"""How the long-lived parts of a process run and end: each named, none ends unnoticed, each stop is bounded."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from monitor.domain.errors import FleetError

STEP_LIMIT = 2.0

log = structlog.get_logger(__name__)


Step = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What runs until it is cancelled, if anything, and the steps to take after that; `limit` is seconds a step."""

    name: str
    run: Step | None = None
    then: tuple[Step, ...] = ()
    limit: float = STEP_LIMIT


async def run(parts: Sequence[Part], stop: asyncio.Event) -> None:
    """Run all parts until `stop` is set, then end them one after the other, in the order given.

    A part that ends by itself ends all others and raises `FleetError` in a group.
    """
    async with asyncio.TaskGroup() as group:
        tasks = {
            part.name: group.create_task(endless(part.name, part.run()), name=part.name) for part in parts if part.run
        }
        await stop.wait()
        for part in parts:
            if part.name in tasks:
                await end(part.name, cancel(tasks[part.name]), limit=part.limit)
            for step in part.then:
                await end(part.name, step(), limit=part.limit)


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
