"""Which servers speak the OpenAI-style API alone, and how that is found out: it is asked for when the native answer is
not Ollama's.

A server that wants a credential on the way is asked for one thing at each check, and for both when that changed: two
refusals at a time would have us banned twice as soon.
"""

from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import quote

from monitor.domain import reasons
from monitor.domain.probe import Listing, ProbeResult, Reason
from monitor.domain.server import Api, Server, ServerId
from monitor.ollama.client import Answer, OllamaClient
from monitor.ollama.failure import Failure

MOST_SERVERS = 65_536
# So many checks of an OpenAI-style server until its native API is looked for again: one odd answer may have misled us.
CHECKS_UNTIL_NATIVE = 20
ROOT = "/"
# An answer came, and Ollama gives no such answers to these questions. What has no end is not asked for more.
FOREIGN = frozenset({Reason.NOT_OLLAMA, Reason.BAD_JSON, Reason.HOST_RULE})

Found = TypeVar("Found")


def models_path(server: Server) -> str:
    """Return the path of the OpenAI-style list; the stored prefix may have been edited by hand."""
    prefix = quote(server.api_version.strip("/"))
    return f"/{prefix}/models" if prefix else "/models"


def may_speak(answer: Failure | ProbeResult | Listing) -> bool:
    """Whether a native answer leaves open that the server speaks the OpenAI-style API."""
    if isinstance(answer, Failure):
        if answer.elsewhere:
            return False
        if answer.status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_IMPLEMENTED}:
            return True
    return answer.reason in FOREIGN


async def explain_forbidden(
    client: OllamaClient, server: Server, failure: Failure, path: str, *, deadline: float
) -> Failure:
    """Return why a path is forbidden (403 with a body): a credential is wanted, unless the server answers on `/`."""
    if failure.reason is not Reason.AUTH or failure.status != HTTPStatus.FORBIDDEN:
        return failure
    if not isinstance(await client.get(server, ROOT, deadline=deadline), Answer):
        return failure
    return Failure(reason=Reason.NOT_OLLAMA, detail=reasons.FORBIDDEN_PATH.format(path=path), status=failure.status)


class Remembered(Generic[Found]):
    """What was found out about servers, until they are edited; what was found longest ago is forgotten first."""

    def __init__(self) -> None:
        self._found: OrderedDict[ServerId, tuple[int, Found]] = OrderedDict()

    def get(self, server: Server) -> Found | None:
        """Return what is known of the server as it is configured now."""
        version, found = self._found.get(server.id, (None, None))
        return found if version == server.row_version else None

    def put(self, server: Server, found: Found) -> None:
        """Remember it."""
        self._found[server.id] = (server.row_version, found)
        self._found.move_to_end(server.id)
        if len(self._found) > MOST_SERVERS:
            self._found.popitem(last=False)

    def forget(self, server: Server) -> None:
        """Forget it."""
        self._found.pop(server.id, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standoff:
    """What both APIs of a server answered that wants a credential, what it amounts to, and which was asked last."""

    native: ProbeResult
    openai: ProbeResult
    verdict: ProbeResult
    last: Api
