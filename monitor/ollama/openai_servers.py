"""Which servers have no native API, as far as is known: they answer on the OpenAI-style one alone."""

from collections import OrderedDict
from urllib.parse import quote

from monitor.domain.server import Server, ServerId

MOST_SERVERS = 65_536


def models_path(server: Server) -> str:
    """Return the path of the OpenAI-style list; the stored prefix may have been edited by hand."""
    prefix = quote(server.api_version.strip("/"))
    return f"/{prefix}/models" if prefix else "/models"


class OpenAiServers:
    """Remembers them until they are edited; the ones remembered longest ago are forgotten first."""

    def __init__(self) -> None:
        self._found: OrderedDict[ServerId, tuple[int, bool]] = OrderedDict()

    def knows(self, server: Server) -> bool:
        """Whether the server, as it is configured now, was found to have no native API."""
        return self._found.get(server.id, (0, False))[0] == server.row_version

    def trusts(self, server: Server) -> bool:
        """Whether there is no reason to ask for the native API again."""
        return self._found.get(server.id) == (server.row_version, True)

    def add(self, server: Server) -> None:
        """Remember that the server answers on the OpenAI-style API only."""
        self._found[server.id] = (server.row_version, True)
        if len(self._found) > MOST_SERVERS:
            self._found.popitem(last=False)

    def doubt(self, server: Server) -> None:
        """Have the native API be asked for again."""
        if self.knows(server):
            self._found[server.id] = (server.row_version, False)

    def forget(self, server: Server) -> None:
        """Forget a server that has the native API."""
        self._found.pop(server.id, None)
