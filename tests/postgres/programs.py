"""PostgreSQL's own programs, such as psql and pg_dump, run to their end."""

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path

from monitor.embedded.binaries import environment


async def run(program: Path, arguments: Sequence[str], given: bytes = b"") -> bytes:
    """Run one of them with something to read; return what it wrote, and fail the test with its complaint."""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    said, complaints = await process.communicate(given)
    assert process.returncode == 0, complaints.decode()
    return said
