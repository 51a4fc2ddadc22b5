"""A daemon among hostile servers leaves nothing behind: no task, no descriptor, no error that nobody saw."""

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.fleet import FakeFleet

HOSTILE = (
    behaviours.hang(),
    behaviours.hang_up(),
    behaviours.reset(),
    behaviours.cut_short(),
    behaviours.status(403),
    behaviours.status(503, headers={"Retry-After": "1"}),
    behaviours.html(),
    behaviours.redirect("http://127.0.0.1:9/"),
    behaviours.drip(),
    behaviours.endless_body(),
    behaviours.endless_headers(),
    behaviours.continue_flood(),
    behaviours.gzip_bomb(),
    behaviours.bad_chunks(),
    behaviours.nested(),
)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


async def test_hostile_servers_leave_no_task_descriptor_or_unseen_error(observer: Observer, daemon: Daemon) -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    async with FakeFleet(len(HOSTILE)) as fleet:
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        tasks, before = len(asyncio.all_tasks()), descriptors()
        async with daemon():
            await observer.until("SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'", len(HOSTILE))
            for fake, behaviour in zip(fleet, HOSTILE, strict=True):
                fake.behave(behaviour)
            await observer.until("SELECT count(*) = 0 FROM ollama_servers WHERE status = 'up'", within=30)
        for fake in fleet:
            await fake.stop()
        assert descriptors() <= before - len(HOSTILE)
        assert len(asyncio.all_tasks()) <= tasks
    assert unseen == []
    await observer.check_history()
