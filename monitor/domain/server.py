"""One Ollama server as the monitor sees it: where it is and how it is to be checked."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NewType
from uuid import UUID

from monitor.domain.credential import Credential, Unreadable

ServerId = NewType("ServerId", UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how patiently a server is checked.

    `rise` good probes in a row bring a server that is down back up; `fall` bad ones take it down.
    """

    interval: timedelta
    timeout: timedelta
    rise: int
    fall: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The configuration of a registered server, as of one `row_version`.

    `url` is the normalised base URL (no trailing slash); `row_version` changes with every edit
    by an operator, and a result that was obtained under an older one is dropped. `connection_watch`
    is false where no idle connection is to be held. `credential` is sent with every question; a server
    whose credential cannot be read is asked nothing.
    """

    id: ServerId
    name: str
    url: str
    api_version: str
    row_version: int
    policy: Policy
    connection_watch: bool = True
    credential: Credential | Unreadable | None = None
