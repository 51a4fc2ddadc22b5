"""How long-lived parts of a process run and end: each named, none ends unnoticed, each stop is bounded."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from monitor.domain.errors import FleetError

STEP_LIMIT = 2.0

log = structlog.get_logger(__name__)


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
