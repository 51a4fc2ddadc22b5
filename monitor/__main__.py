"""The daemon as a process of its own: `python -m monitor`, or `ollama-fleet monitor`."""

import asyncio
import sys

from monitor import app, logs, process, settings, systemd
from monitor.domain.errors import ConfigurationError
from monitor.settings import Settings


def run(configuration: Settings) -> int:
    """Run the daemon until a signal comes; return the exit code. ConfigurationError when no database is set."""
    dsn = configuration.required_database_url()
    logs.configure(configuration.log_format, configuration.log_level)

    async def main(stop: asyncio.Event) -> None:
        await app.serve(configuration, dsn=dsn, stop=stop, ready=lambda: systemd.notify("READY=1"))

    return process.run(main)


def main() -> int:
    """Run the daemon as the environment configures it."""
    try:
        return run(settings.load())
    except ConfigurationError as error:
        return process.report(error)


if __name__ == "__main__":
    sys.exit(main())
