"""The text of an address variable, read as the programs read it that it was written for.

No refusal here repeats any part of the text, which may hold a password in the wrong place.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from monitor.domain import url
from monitor.domain.errors import InvalidUrlError

MASK = "•••"
LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
CLOUD = "ollama.com"

_SEPARATOR = re.compile(r"[;,]")
_COMMA = re.compile(r";|,(?=\s*https?://)")
_NEXT = re.compile(r"[;,]\s*https?://")
_OF_OLLAMA = re.compile(rf"[A-Za-z0-9.\]_-]:{url.OLLAMA_PORT}(?![0-9])")
_AUTHORITY = re.compile(r"[^/?#]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A normalised URL, who to be there, and what is to be said about how it was read."""

    url: str
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    note: str = ""

    @property
    def shown(self) -> str:
        """The address for a report: with a mask for whatever stood before the @."""
        return self.url if self.username is None else self.url.replace("://", f"://{MASK}@", 1)


def read(text: str, *, like_ollama: bool = False) -> Address:
    """Read one address; without a scheme it is http, and port 11434 unless it names one.

    `like_ollama` is for OLLAMA_HOST: no host is this machine, and a port that is none is the default one.
    Raises `InvalidUrlError`.
    """
    text = text.strip().strip("\"'").strip()
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme:
        scheme, rest = ("https" if text == CLOUD else "http"), text
    authority = _AUTHORITY.match(rest)
    assert authority is not None  # the pattern matches an empty text, too
    path = rest[authority.end() :]
    if "@" in path:
        raise InvalidUrlError("In a user name or password each of the characters / ? # @ is written as %2F and so on.")
    user_info, has_user, host_and_port = authority[0].rpartition("@")
    host, port = _split(host_and_port)
    notes: list[str] = []
    if port is not None and like_ollama and not _is_port(port):
        port = None
        notes.append("its port is none, so Ollama takes the default one")
    if port is None and not has_scheme and text != CLOUD:
        port = str(url.OLLAMA_PORT)
    host = _reachable(host, like_ollama=like_ollama, notes=notes)
    username, password = _credential(user_info) if has_user else (None, "")
    suffix = "" if port is None else f":{port}"
    return Address(
        url=url.normalize(f"{scheme}://{host}{suffix}{path}"),
        username=username,
        password=password,
        note="; ".join(notes),
    )


def several(text: str) -> list[str]:
    """Return the addresses of a list, with ; between, or with commas where these cannot be part of a password."""
    return [one for one in (_COMMA if "@" in text else _SEPARATOR).split(text) if one.strip()]


def is_list(text: str) -> bool:
    """Whether a text that is to be one address is surely several."""
    return _NEXT.search(text) is not None


def has_port_of_ollama(text: str) -> bool:
    """Whether a text looks like the address of an Ollama, whatever it is called."""
    return _OF_OLLAMA.search(text) is not None


def _split(text: str) -> tuple[str, str | None]:
    """Return host and port; an IPv6 address may stand without brackets when no port follows."""
    try:
        return f"[{ipaddress.IPv6Address(text)}]", None
    except ValueError:
        pass
    if text.startswith("["):
        host, colon, port = text.partition("]:")
        return (f"{host}]", port) if colon else (text, None)
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, None)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:6]) <= url.MAX_PORT


def _reachable(host: str, *, like_ollama: bool, notes: list[str]) -> str:
    """Return the host to connect to where an address to listen on is given."""
    if like_ollama and not host:
        notes.append("it names no host, which means this machine")
        return "127.0.0.1"
    try:
        literal = f"[{ipaddress.IPv6Address(host[1:-1])}]" if host[:1] + host[-1:] == "[]" else host
    except ValueError:
        return host
    if literal not in LOOPBACK:
        return host
    notes.append(f"{host} is an address to listen on, so this machine is meant")
    return LOOPBACK[literal]


def _credential(user_info: str) -> tuple[str, str]:
    username, _, password = user_info.partition(":")
    try:
        return unquote(username, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidUrlError("The user name or password in the URL is not UTF-8 once it is decoded.") from error
