"""What an idle connection to a watched server costs in memory, plain and behind TLS; beside it, what TLS would keep."""

import argparse
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme

from tests.benchmarks import stage

HOST = "127.0.0.1"
# Enough to see that it works.
SMOKE = ("--connections", "20")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many connections are held."""
    parser.add_argument("--connections", type=int, default=10_000)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Hold them to a server in another process, each kind in a process of its own with the daemon's event loop."""
    authority = trustme.CA()
    figures: dict[str, Any] = {"connections": options.connections}
    with tempfile.TemporaryDirectory() as folder:
        trusted, certified = Path(folder, "authority.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(str(trusted))
        authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(certified))
        async with _server() as plain, _server("--certificate", str(certified)) as secure:
            for name, kind, url in (
                ("plain", "idle", f"http://{HOST}:{plain}"),
                ("tls", "idle", f"https://{HOST}:{secure}"),
                ("tls_kept", "kept", f"https://{HOST}:{secure}"),
            ):
                arguments = (url, str(options.connections), kind)
                async with stage.process(
                    "-m", "tests.benchmarks.holding", *arguments, environment={"SSL_CERT_FILE": str(trusted)}
                ) as holding:
                    held, before, after = (float(word) for word in await stage.line(holding))
                assert held == options.connections
                figures[f"{name}_mb"] = round(after - before, 1)
                figures[f"{name}_bytes_each"] = round((after - before) * 1_000_000 / held)
    return figures


@asynccontextmanager
async def _server(*arguments: str) -> AsyncIterator[int]:
    """Run a server; lend its port."""
    async with stage.process("-m", "tests.fakes.ollama", *arguments) as process:
        yield int((await stage.line(process))[1])
