"""Where the API listens and under which names it is asked: who can reach that, and who has the port already."""

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

from yarl import URL

from api.fleet.access.tokens import TokenTable
from monitor.domain.errors import ConfigurationError

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
LIVENESS = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ANSWER_SECONDS = 2.0
MOST_ANSWER_BYTES = 65_536


@lru_cache(256)
def is_local(host: str) -> bool:
    """Whether a Host header, or the address of a setting, names this machine."""
    spelt = name(host)
    try:
        return spelt in {"localhost", "localhost."} or ipaddress.ip_address(spelt).is_loopback
    except ValueError:
        return False


def name(host: str) -> str:
    """Return the name in a Host header, empty for one that no browser sends and only a lenient parser understands."""
    return ascii_name(host) if _HOST.fullmatch(host) else ""


def ascii_name(host: str) -> str:
    """Return a host's name in ASCII and lower case, without its port; empty for what is none."""
    try:
        return (URL(f"http://{host}").raw_host or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; `0.0.0.0` and `::` are all addresses, so others do."""
    return is_local(f"[{host}]" if ":" in host else host)


def from_here(base_url: str) -> str:
    """Return the URL to ask from this machine: a browser takes no address that stands for all of them."""
    return base_url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def exposure(host: str, hostnames: Sequence[str]) -> tuple[str, str] | None:
    """Return why others reach an API with these settings, and what ends that; None for one of this machine alone.

    Behind a proxy each request comes from this machine, so a name for others counts like an address for others.
    """
    if not is_loopback(host):
        return f"OLLAMA_FLEET_API_HOST is {host}, which other machines reach", "listen on 127.0.0.1"
    if hostnames:
        names = ", ".join(hostnames)
        return f"OLLAMA_FLEET_API_HOSTNAMES is {names}, a name for others to ask by", "leave that setting out"
    return None


async def require_token(table: TokenTable, host: str, hostnames: Sequence[str]) -> None:
    """Raise `ConfigurationError` unless somebody could be let in at an API that others reach."""
    exposed = exposure(host, hostnames)
    if exposed is None:
        return
    await table.refresh()
    if not table.has_usable():
        why, otherwise = exposed
        raise ConfigurationError(
            f"{why}, and there is no token that is good: make one with `ollama-fleet token create NAME --scope read "
            f"--scope write`, or {otherwise}."
        )


class PortOwner(Enum):
    """What answers at an address."""

    NOBODY = "nobody"
    API = "api"
    OTHER = "other"


async def port_owner(host: str, port: int) -> PortOwner:
    """Ask at an address; what takes longer than two seconds is nobody."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(LIVENESS)
                answer = await reader.read(MOST_ANSWER_BYTES)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return PortOwner.NOBODY
    is_ours = answer.startswith(b"HTTP/1.1 200") and b'{"status":"ok"}' in answer
    return PortOwner.API if is_ours else PortOwner.OTHER
