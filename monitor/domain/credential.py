"""How the fleet proves to a server who it is: the secrets in the clear, which show themselves to nobody.

A credential is opened where it is used and lives in memory only: its secrets are no part of its `repr`,
and it cannot be pickled or copied.
"""

import base64
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn, TypeAlias, assert_never

DEFAULT_HEADER = "X-API-Key"
MAX_HEADER_LENGTH = 64
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# They say how the request is to be read, where it goes or what comes back: not for a credential to change.
RESERVED_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-connection",
        "range",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    }
)


class AuthType(StrEnum):
    """The kinds of credentials (contract section 1)."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    API_KEY = "api_key"


class Guarded:
    """Keeps what inherits from it in this process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("A credential does not leave the process, so it cannot be pickled or copied.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic(Guarded):
    """User name and password (RFC 7617)."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer(Guarded):
    """A token (RFC 6750)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(Guarded):
    """A key in a header of its own."""

    key: str = field(repr=False)
    header: str = DEFAULT_HEADER


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey(Guarded):
    """The private key of a client certificate, in PEM and not encrypted; it goes nowhere, TLS only signs with it."""

    pem: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A credential is stored but cannot be opened; `why` is a sentence of at most 200 characters."""

    why: str


Credential: TypeAlias = Basic | Bearer | ApiKey


def is_usable_header(name: str) -> bool:
    """Whether a credential may be sent in this header."""
    well_formed = len(name) <= MAX_HEADER_LENGTH and _TOKEN.fullmatch(name) is not None
    return well_formed and name.lower() not in RESERVED_HEADERS


def secrets(credential: Credential | None) -> tuple[str, ...]:
    """Return every spelling in which a secret of the credential is sent or known, to find it in what comes back."""
    match credential:
        case None:
            return ()
        case Basic():
            return credential.password, headers(credential)["Authorization"].removeprefix("Basic ")
        case Bearer():
            return (credential.token,)
        case ApiKey():
            return (credential.key,)
        case _:
            assert_never(credential)


def headers(credential: Credential | None) -> dict[str, str]:
    """Return the headers that prove to the server who asks; none without a credential."""
    match credential:
        case None:
            return {}
        case Basic():
            pair = f"{credential.username}:{credential.password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
        case Bearer():
            return {"Authorization": f"Bearer {credential.token}"}
        case ApiKey():
            return {credential.header: credential.key}
        case _:
            assert_never(credential)
