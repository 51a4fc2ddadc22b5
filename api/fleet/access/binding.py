"""On which address the API may listen: on one that others can reach only if they need a token."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from api.fleet.access import host_names
from api.fleet.access.token_table import TokenTable
from monitor.domain.errors import ConfigurationError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; `0.0.0.0` and `::` are all addresses, so others do."""
    return host_names.is_local(f"[{host}]" if ":" in host else host)


def from_here(base_url: str) -> str:
    """Return the URL to ask from this machine: a browser takes no address that stands for all of them."""
    return base_url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


async def require_token(table: TokenTable, host: str) -> None:
    """Raise `ConfigurationError` unless somebody could be let in at an address that others reach."""
    await table.refresh()
    if not table.has_usable():
        raise ConfigurationError(
            f"OLLAMA_FLEET_API_HOST is {host}, which other machines reach, and there is no token that is good: make "
            "one with `ollama-fleet token create NAME --scope read --scope write`, or listen on 127.0.0.1."
        )


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do some work that may wait for the database; False when the stop came first."""
    tasks = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
