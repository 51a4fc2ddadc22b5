"""What `ollama-fleet status` reads: all servers, and how database, schema and monitor are."""

from datetime import UTC, datetime

from api.cli import listing
from api.cli.invocation import Invocation
from api.cli.reach import Reach
from api.cli.screen import output, repetition, text
from api.cli.status import troubles
from api.cli.status import view as status_view
from api.cli.status.troubles import Overview

EXIT_TROUBLE = 1


def show(invocation: Invocation, *, every: float | None, as_json: bool) -> int:
    """Show it, once or again and again; return the exit code."""

    def print_(overview: Overview) -> None:
        if as_json:
            output.say(text.to_json(status_view.document(overview), indent=2 if every is None else None))
            return
        for line in status_view.lines(overview, now=datetime.now(UTC)):
            output.say(line)

    overview = repetition.look(invocation, _read, print_, every=every)
    return EXIT_TROUBLE if overview is not None and overview.troubles else 0


async def _read(reach: Reach) -> Overview:
    return troubles.overview(await listing.all_servers(reach.registry), await reach.registry.readiness())
