"""The reference for what we answer over HTTP: an aiohttp handler in a process of its own that answers from memory."""

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks import stage

PROGRAM = """
import asyncio, sys
import uvloop
from aiohttp import web

async def answer(request):
    return web.Response(body=body, content_type="application/json")

async def main(port, path):
    app = web.Application()
    app.add_routes([web.get(path, answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

body = sys.stdin.buffer.read(int(sys.argv[3]))
uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
"""


@asynccontextmanager
async def running(port: int, path: str, body: bytes) -> AsyncIterator[Process]:
    """Answer at this path with this body."""
    async with stage.process("-c", PROGRAM, str(port), path, str(len(body))) as child:
        assert child.stdin is not None
        child.stdin.write(body)
        await stage.line(child)
        yield child
