"""Looking once, or again and again until Ctrl-C: the `--watch` of the commands that show how things are."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.cli.screen import output, terminal, text
from monitor.domain.errors import UnavailableError

if TYPE_CHECKING:
    from api.cli.invocation import Invocation
    from api.cli.reach import Reach

SECONDS = 2.0
LEAST_SECONDS = 0.2

Found = TypeVar("Found")


class Interval(click.ParamType[float]):
    """Seconds, or a duration such as 500ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        from monitor.durations import parse_duration  # noqa: PLC0415  (0.3 s that `--help` need not wait for)

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


def look(
    invocation: "Invocation",
    read: "Callable[[Reach], Awaitable[Found]]",
    show: Callable[[Found], None],
    *,
    every: float | None,
) -> Found | None:
    """Read and show once, and return what was read; with `every` do so for ever, whatever is away meanwhile."""
    if every is None:
        found = invocation.on_fleet(read)
        show(found)
        return found

    import asyncio  # noqa: PLC0415  (`--help` need not wait for it)

    async def look_again(reach: "Reach") -> None:
        while True:
            try:
                seen = await read(reach)
            except UnavailableError as error:
                _turn_page(every)
                output.note(f"ollama-fleet: {text.printable(str(error))}")
            else:
                _turn_page(every)
                show(seen)
            await asyncio.sleep(every)

    try:
        invocation.on_fleet(look_again)
    except KeyboardInterrupt:
        output.note("")
    return None


def _turn_page(every: float) -> None:
    # Into a pipe or a file one look follows the other.
    if terminal.is_screen():
        click.clear()
        output.say(f"{text.local_time(datetime.now().astimezone())}, every {every:g} s; Ctrl-C ends it.\n")
