"""How many bytes go over the wire before the first servers can be seen."""

import zlib

import aiohttp

from api.web.handlers import pages


def page_bytes() -> int:
    """Return the size of the page and of all that it loads at once, compressed."""
    files = pages.load_dashboard()
    page = files["index.html"].content.decode()
    first = [path for path in files if f'"dashboard/{path}"' in page]
    return sum(len(files[path].compressed) for path in ["index.html", *first])


async def servers_bytes(url: str, count: int) -> int:
    """Return how much of the stream has come when it has told of so many servers."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    received, text = 0, b""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{url}api/events/stream?snapshot=true", headers={"Accept-Encoding": "gzip"}) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        while text.count(b'"row_version"') < count:
            # In small parts, since what follows is of no interest.
            part = await response.content.read(1024)
            assert part, "the stream ended"
            received += len(part)
            text += unpacker.decompress(part)
    return received
