"""The API in a thread of its own, for tests that ask it as any blocking program does."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from api import app
from monitor.settings import Settings

PATIENCE = 30.0


@contextmanager
def serving_beside(settings: Settings, dsn: str) -> Iterator[str]:
    """Serve while the block runs; yields the base URL."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        address: Future[str] = Future()
        stop: Future[Callable[[], object]] = Future()
        running = pool.submit(asyncio.run, _serve(settings, dsn, address, stop))
        try:
            yield address.result(PATIENCE)
        finally:
            stop.result(PATIENCE)()
            running.result(PATIENCE)


async def _serve(settings: Settings, dsn: str, address: Future[str], stop: Future[Callable[[], object]]) -> None:
    end, loop = asyncio.Event(), asyncio.get_running_loop()
    stop.set_result(lambda: loop.call_soon_threadsafe(end.set))
    await app.serve(settings, dsn=dsn, stop=end, ready=address.set_result)
