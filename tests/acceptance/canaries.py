"""Secrets that are planted to be looked for: plain, in base64 at any offset, in hexadecimal, percent-encoded."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from urllib.parse import quote

# To be percent-encoded wherever a secret stands in a URL, and allowed wherever one is taken.
AWKWARD = "+/%7E="


class Canaries:
    """Secrets by the names of what they are; each has a core that no encoding but base64 and hexadecimal changes."""

    def __init__(self) -> None:
        self._cores: dict[str, bytes] = {}

    def plant(self, name: str) -> str:
        """Return a new secret of visible ASCII."""
        core = f"canary{secrets.token_hex(8)}"
        self._cores[name] = core.encode()
        return f"{AWKWARD}{core}{AWKWARD}"

    def watch(self, name: str, secret: bytes) -> None:
        """Look for a secret that somebody else has made."""
        self._cores[name] = secret

    def found_in(self, places: Mapping[str, bytes]) -> list[str]:
        """Return which secret is where, and how it is written there."""
        return [
            f"{name}, {how}, in {place}"
            for name, core in self._cores.items()
            for how, needle in _needles(core)
            for place, text in places.items()
            if needle in text
        ]


def _needles(core: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", core
    yield "percent-encoded", quote(core, safe="").encode()
    yield "in hexadecimal", core.hex().encode()
    for offset in range(3):
        # Without the characters at both ends that depend on what stands before and after it.
        first, last = (offset * 8 + 5) // 6, (offset + len(core)) * 8 // 6
        standard = base64.b64encode(bytes(offset) + core)[first:last]
        yield "in base64", standard
        yield "in base64 for URLs", standard.replace(b"+", b"-").replace(b"/", b"_")
