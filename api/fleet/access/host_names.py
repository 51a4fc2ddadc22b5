"""Names of hosts as a Host header has them: spelt in one way, and whether they are this machine."""

import ipaddress
import re
from functools import lru_cache

from yarl import URL

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


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
    try:
        return (URL(f"http://{host}").raw_host or "").lower()
    except ValueError:
        return ""
