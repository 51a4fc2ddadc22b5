"""A command's whole run on an API elsewhere: connected, asked, and hung up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.cli.reach import Reach
from api.cli.remote.connection import ApiConnection
from api.cli.remote.event_log import RemoteEventLog
from api.cli.remote.registry import RemoteRegistry
from api.cli.remote.resolver import RemoteResolver

Result = TypeVar("Result")


def use(action: Callable[[Reach], Awaitable[Result]], *, api_url: str, token: str | None) -> Result:
    """Run one action on the fleet behind an API, in an event loop of its own."""

    async def run() -> Result:
        async with ApiConnection(api_url, token=token) as connection:
            log = RemoteEventLog(connection)
            reach = Reach(
                registry=RemoteRegistry(connection),
                resolver=RemoteResolver(connection),
                read_events=log,
                make_waker=lambda: log,
            )
            return await action(reach)

    return asyncio.run(run())
