"""`ollama-fleet events`: what has happened in the fleet, and what happens."""

from typing import TYPE_CHECKING

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output
from api.cli.servers.commands import complete
from monitor.domain.event import EventType

if TYPE_CHECKING:
    from api.cli.reach import Reach

SHOWN = 20


@click.command(cls=Manual, epilog="Example: ollama-fleet events --follow --type server.down --type server.up")
@click.option("--after", type=click.IntRange(min=0), metavar="SEQ", help="From the first event above this number on.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice([one.value for one in EventType]),
    metavar="TYPE",
    help="Only events of this type, such as server.down; may be repeated.",
)
@click.option(
    "--server",
    metavar="SERVER",
    shell_complete=complete,
    help="Only events of this server and its models: a name, a URL, or an id, also of one that was removed.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"At most N events: the newest ones ({SHOWN} if not given), with --after the first ones (all if not given).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@pass_invocation
def events(
    invocation: Invocation,
    *,
    after: int | None,
    follow: bool,
    types: tuple[str, ...],
    server: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what has happened, and what happens.

    Without options the last events, with --after those above a number, with --follow all from now on. Numbers
    are contiguous and in the order of commits: whoever remembers the last one seen and asks for what comes
    after it misses nothing.
    """
    if follow and after is not None and limit is not None:
        raise click.UsageError("--limit together with --after and --follow would leave events out; drop one of them.")
    from api.cli.events import view as event_view  # noqa: PLC0415  (brings in the database driver)

    async def show(reach: "Reach") -> bool:
        return await event_view.show(
            reach,
            types=types,
            server=server,
            after=after,
            limit=limit,
            newest=SHOWN,
            follow=follow,
            as_json=as_json,
        )

    if not invocation.on_fleet(show) and not follow:
        output.note(
            f"There is no {'such ' if types or server else ''}event yet."
            if after is None
            else f"Nothing of that has happened since {after}."
        )
