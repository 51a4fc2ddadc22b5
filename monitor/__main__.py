"""The daemon as a process of its own: `python -m monitor`, or `ollama-fleet monitor`."""

import asyncio
import sys

from monitor import app, logs, process, settings, systemd
from monitor.domain.errors import ConfigurationError
from monitor.settings import Settings


def run(configuration: Settings, *, dsn: str) -> int:
    """Run the daemon on the database at `dsn` until a signal comes; return the exit code."""

    async def main(stop: asyncio.Event) -> None:
        await app.serve(configuration, dsn=dsn, stop=stop, ready=lambda: systemd.notify("READY=1"))

    return process.run(main)


def main() -> int:
    """Run the daemon as the environment configures it."""
    try:
        configuration = settings.load()
        dsn = configuration.required_database_url()
    except ConfigurationError as error:
        return process.report(error)
    logs.configure(configuration.log_format, configuration.log_level)
    return run(configuration, dsn=dsn)


if __name__ == "__main__":
    sys.exit(main())
