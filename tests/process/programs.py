"""Small programs run as processes of their own, the way the daemon is."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def started(program: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program; end it with the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | variables,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def finished(program: str, **variables: str) -> tuple[int | None, str]:
    """Run a program to its end; return its exit code and what it wrote to stderr."""
    async with started(program, **variables) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode, errors.decode()
