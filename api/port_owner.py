"""Who has the port of the API: nobody, an API of ours, or another program."""

import asyncio
from enum import Enum

LIVENESS = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SECONDS = 2.0
MOST_BYTES = 65_536


class PortOwner(Enum):
    """What answers at an address."""

    NOBODY = "nobody"
    API = "api"
    OTHER = "other"


async def find(host: str, port: int) -> PortOwner:
    """Ask at an address; what takes longer than two seconds is nobody."""
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(LIVENESS)
                answer = await reader.read(MOST_BYTES)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return PortOwner.NOBODY
    is_ours = answer.startswith(b"HTTP/1.1 200") and b'{"status":"ok"}' in answer
    return PortOwner.API if is_ours else PortOwner.OTHER
