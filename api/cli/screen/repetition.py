"""Looking once, or again and again until Ctrl-C: the `--watch` of the commands that show how things are."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from api.cli.screen import output, terminal, text
from monitor.domain.errors import UnavailableError
from monitor.durations import parse_duration

SECONDS = 2.0
LEAST_SECONDS = 0.2

Found = TypeVar("Found")


class Interval(click.ParamType[float]):
    """Seconds, or a duration such as 500ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        try:
            seconds = parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r}: {error}.", param, ctx)
        if seconds < LEAST_SECONDS:
            self.fail(f"{value!r} is not in the range x>={LEAST_SECONDS:g}.", param, ctx)
        return seconds


option = click.option(
    "--watch",
    type=Interval(),
    is_flag=False,
    flag_value=SECONDS,
    metavar="[SECONDS]",
    help=f"Show it anew every {SECONDS:g} s, or as often as given, until Ctrl-C.  [x>={LEAST_SECONDS:g}]",
)


async def repeat(read: Callable[[], Awaitable[Found]], show: Callable[[Found], None], *, every: float) -> None:
    """Read and show until Ctrl-C, whatever is away meanwhile."""
    try:
        while True:
            try:
                seen = await read()
            except UnavailableError as error:
                _turn_page(every)
                output.note(f"ollama-fleet: {text.printable(str(error))}")
            else:
                _turn_page(every)
                show(seen)
            await asyncio.sleep(every)
    except asyncio.CancelledError:
        # Ctrl-C, by `asyncio.run`: it is how a watch ends, so the command goes on and ends well.
        _uncancel()
        output.note("")


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _turn_page(every: float) -> None:
    # Into a pipe or a file one look follows the other.
    if terminal.is_screen():
        click.clear()
        output.say(f"{text.local_time(datetime.now().astimezone())}, every {every:g} s; Ctrl-C ends it.\n")
