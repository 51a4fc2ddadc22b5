"""Names of servers for a shell that completes one: quick, and silent about whatever is in the way."""

from collections.abc import Sequence

from api.cli import listing
from api.cli.invocation import Invocation
from monitor.domain.errors import FleetError
from monitor.embedded import postgres as embedded


def beginning(invocation: Invocation, begun: str) -> Sequence[str]:
    """Return the names that begin so, none when the fleet cannot be reached; no database is started for it."""
    try:
        settings = invocation.settings
        is_elsewhere = settings.api_url is not None or settings.database_url is not None
        if not is_elsewhere and embedded.peek(settings.state_dir) is None:
            return []
        servers = invocation.on_registry(listing.all_servers)
    except FleetError:
        return []
    return [server.name for server in servers if server.name.startswith(begun)]
