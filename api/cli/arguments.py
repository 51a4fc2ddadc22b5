"""The options and arguments that several commands share, and the names that a shell completes."""

import asyncio
from collections.abc import Sequence

import click

from api.cli import listing, sessions
from api.cli.invocation import Invocation
from monitor.domain.errors import FleetError
from monitor.embedded import postgres as embedded

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text for a person.")


def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of servers that begin so; none, and nothing said, when the fleet cannot be reached."""
    try:
        names = asyncio.run(_names(Invocation(context.find_root().params.get("config"))))
    except FleetError:
        return []
    return [name for name in names if name.startswith(begun)]


reference_argument = click.argument("reference", metavar="SERVER", shell_complete=complete)


async def _names(invocation: Invocation) -> Sequence[str]:
    settings = invocation.settings
    is_elsewhere = settings.api_url is not None or settings.database_url is not None
    # No database is started for it.
    if not is_elsewhere and embedded.peek(settings.state_dir) is None:
        return []
    async with sessions.fleet(invocation) as fleet:
        return [server.name for server in await listing.all_servers(fleet.registry)]
