"""A daemon among hostile servers leaves nothing behind: no task, no descriptor, no error that nobody saw."""

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.daemon.conftest import Daemon
from tests.daemon.hostility import HOSTILE
from tests.daemon.observer import Observer
from tests.fakes.fleet import FakeFleet


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
