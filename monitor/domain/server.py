"""One Ollama server as the monitor sees it: where it is and how it is to be checked."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, NewType
from uuid import UUID

from monitor.domain.credential import ClientKey, Credential, Unreadable

ServerId = NewType("ServerId", UUID)
# In place of an API: to be found out.
AUTO: Final = "auto"


class Api(StrEnum):
    """Which API a server speaks: Ollama's own, or the OpenAI-style one alone."""

    NATIVE = "native"
    OPENAI = "openai"


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
class Tls:
    """How a server and this monitor prove to each other who they are; None is as the settings say.

    `ca_pem` are the only authorities that may vouch for the server. `client_cert`, with its chain, and `client_key`
    are shown to a server that asks for a certificate. `server_name` is the name in the server's certificate, where
    that is not the host of its URL.
    """

    ca_pem: str | None = None
    client_cert: str | None = None
    client_key: ClientKey | Unreadable | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The configuration of a registered server, as of one `row_version`.

    `url` is the normalised base URL (no trailing slash); `row_version` changes with every edit
    by an operator, and a result that was obtained under an older one is dropped. `connection_watch`
    is false where no idle connection is to be held. `credential` is sent with every question; a server
    whose credential cannot be read is asked nothing. `pinned` is the API that the operator says it speaks, None to find
    out.
    """

    id: ServerId
    name: str
    url: str
    api_version: str
    row_version: int
    policy: Policy
    connection_watch: bool = True
    credential: Credential | Unreadable | None = None
    tls: Tls = Tls()
    pinned: Api | None = None

    @property
    def unreadable(self) -> Unreadable | None:
        """Why the server is asked nothing: the credential or the client key that cannot be read."""
        for secret in (self.credential, self.tls.client_key):
            if isinstance(secret, Unreadable):
                return secret
        return None
