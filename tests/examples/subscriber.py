"""The subscriber role, made by the script that operators use."""

import asyncio
import subprocess
from pathlib import Path

from monitor.embedded.binaries import environment
from monitor.embedded.postgres import EmbeddedServer

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "sql" / "subscriber_role.sql"


async def grant(server: EmbeddedServer, dsn: str, **variables: str) -> str:
    """Run the script as the owner; return what psql said, which is nothing when all went well."""
    options = [f"--set={name}={value}" for name, value in variables.items()]
    process = await asyncio.create_subprocess_exec(
        server.binaries.psql,
        "--no-psqlrc",
        "--quiet",
        *options,
        f"--file={SCRIPT}",
        dsn,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()
