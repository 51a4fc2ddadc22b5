"""`ollama-fleet servers history`: what a server was like, in figures, a strip, and its latest changes."""

from typing import TYPE_CHECKING

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output
from api.cli.servers.commands import json_option, reference_argument

if TYPE_CHECKING:
    from api.cli.reach import FleetRegistry
    from api.fleet.history.views import HistoryView

WINDOWS = ("1h", "24h", "7d", "30d")


@click.command(cls=Manual, epilog="Example: ollama-fleet servers history gpu-1 --window 7d")
@reference_argument
@click.option("--window", type=click.Choice(WINDOWS), default="24h", show_default=True, help="What the strip shows.")
@json_option
@pass_invocation
def history(invocation: Invocation, /, *, reference: str, window: str, as_json: bool) -> None:
    """Show a server's uptime, latency and changes.

    Uptime is the share of the time that is known, and KNOWN says how much that is: what no monitor saw counts
    neither way.
    """
    from api.cli.servers import history_view  # noqa: PLC0415  (0.5 s that `--help` need not wait for)

    found = _found(invocation, reference, window)
    if as_json:
        output.as_json(found.model_dump(mode="json", by_alias=True))
        return
    output.table(history_view.COLUMNS, history_view.rows(found), empty="")
    for line in history_view.caution(found):
        output.say(line)
    output.say()
    for line in history_view.strip(found):
        output.say(line)
    if found.transitions:
        output.say()
        output.table(history_view.CHANGES, history_view.changes(found), empty="")


def _found(invocation: Invocation, reference: str, window: str) -> "HistoryView":
    from api.cli import listing  # noqa: PLC0415  (0.5 s that `--help` need not wait for)
    from monitor.domain.uptime import Window  # noqa: PLC0415

    async def read(registry: "FleetRegistry") -> "HistoryView":
        server = await listing.one_server(registry, reference)
        return await registry.history(server.id, window=Window(window))

    return invocation.on_registry(read)
