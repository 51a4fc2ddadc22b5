"""The life of a process of ours: event loop, signals, exit code, one clear line when it fails."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator

import structlog
import uvloop

from monitor.domain.errors import ConfigurationError, DatabaseRefusesError, FleetError

EXIT_FAILED = 1
EXIT_CONFIGURATION = 78
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger(__name__)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main` until it returns; return the exit code.

    `main` gets an event that is set on SIGTERM or SIGINT, and is then to stop in order. A second
    signal ends the process at once. An error of ours is one line on stderr; any other one a traceback.
    """
    try:
        uvloop.run(_with_signals(main))
    except FleetError as error:
        return report(error)
    except BaseExceptionGroup as group:
        return _report_group(group)
    return 0


def report(error: FleetError) -> int:
    """Write the error's one line to stderr and return the exit code that goes with it."""
    print(f"ollama-fleet: {error}", file=sys.stderr)  # noqa: T201  (the contract: one line on stderr)
    return EXIT_CONFIGURATION if isinstance(error, ConfigurationError | DatabaseRefusesError) else EXIT_FAILED


def _report_group(group: BaseExceptionGroup[BaseException]) -> int:
    ours, others = group.split(FleetError)
    if others is not None:
        log.critical("task_failed", exc_info=others)
    if ours is not None:
        return report(next(_leaves(ours)))
    return EXIT_FAILED


def _leaves(group: BaseExceptionGroup[FleetError]) -> Iterator[FleetError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _with_signals(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        stop.set()
        # The next one, whichever it is, is not asked for but taken.
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, ask_to_stop)
    await main(stop)
