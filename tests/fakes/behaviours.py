"""What a server can do instead of answering well, one function for each."""

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.fakes.exchange import Behaviour, Connection, Request, head_of

JSON = {"Content-Type": "application/json; charset=utf-8"}
MEBIBYTE = 1024 * 1024


def hang() -> Behaviour:
    """Accept and never answer."""

    async def behave(_connection: Connection, _request: Request) -> None:
        return

    return behave


def hang_up() -> Behaviour:
    """Close the connection instead of answering."""

    async def behave(connection: Connection, _request: Request) -> None:
        connection.close()

    return behave


def reset() -> Behaviour:
    """Send half of an answer, then a RST."""

    async def behave(connection: Connection, _request: Request) -> None:
        connection.write(head_of(200, JSON | {"Content-Length": "100"}) + b'{"version"')
        # The bytes must be out before the RST, which throws away what is still to be sent.
        await asyncio.sleep(0.02)
        connection.reset()

    return behave


def cut_short() -> Behaviour:
    """Send half of an answer, then close in good order."""

    async def behave(connection: Connection, _request: Request) -> None:
        connection.write(head_of(200, JSON | {"Content-Length": "100"}) + b'{"version"')
        connection.close()

    return behave


def status(code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Behaviour:
    """Answer with a status."""

    async def behave(connection: Connection, _request: Request) -> None:
        connection.answer(code, body, headers)

    return behave


def document(value: Any) -> Behaviour:
    """Answer 200 with JSON; `value` is text to be sent as it is, or anything that becomes JSON."""
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return status(200, body, JSON)


def html() -> Behaviour:
    """Answer 200 with a web page."""
    return status(200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"})


def redirect(url: str, code: int = 302) -> Behaviour:
    """Answer with a redirect."""
    return status(code, b"", {"Location": url})


def raw(data: bytes, *, close: bool = True) -> Behaviour:
    """Send bytes of the test's choice."""

    async def behave(connection: Connection, _request: Request) -> None:
        connection.write(data)
        if close:
            connection.close()

    return behave


def behind_proxy(then: Callable[[Connection, Request], None], *, header: str, value: str) -> Behaviour:
    """Stand behind a proxy that lets only requests through which have this header; `header` in lower case."""

    async def behave(connection: Connection, request: Request) -> None:
        if request.headers.get(header) == value:
            then(connection, request)
        else:
            connection.answer(401, b"Unauthorized", {"WWW-Authenticate": 'Basic realm="gpu"'})

    return behave


def slow(delay: float, then: Behaviour) -> Behaviour:
    """Wait some seconds, then do something else."""

    async def behave(connection: Connection, request: Request) -> None:
        await asyncio.sleep(delay)
        await then(connection, request)

    return behave


def drip(interval: float = 0.5) -> Behaviour:
    """Send a good answer, but one byte at a time."""

    async def behave(connection: Connection, _request: Request) -> None:
        body = b'{"version": "0.33.0"}'
        for byte in head_of(200, JSON | {"Content-Length": str(len(body))}) + body:
            connection.write(bytes([byte]))
            await connection.drain()
            await asyncio.sleep(interval)

    return behave


def endless_body() -> Behaviour:
    """Send a body without an end."""
    return _endless(head_of(200, JSON | {"Content-Length": str(1 << 40)}) + b'"', b"a" * 16_384)


def endless_chunks() -> Behaviour:
    """Send a chunked body without an end, in chunks of one byte."""
    return _endless(head_of(200, JSON | {"Transfer-Encoding": "chunked"}), b"1\r\n[\r\n" * 2_000)


def endless_chunk_extension() -> Behaviour:
    """Begin a chunk and never come to the end of its first line."""
    return _endless(head_of(200, JSON | {"Transfer-Encoding": "chunked"}) + b"1;", b"a" * 16_384)


def endless_trailers() -> Behaviour:
    """End a chunked body and send trailers for ever."""
    start = head_of(200, JSON | {"Transfer-Encoding": "chunked"}) + b"2\r\n{}\r\n0\r\n"
    return _endless(start, b"X-Trailer: a\r\n" * 1_000)


def endless_headers() -> Behaviour:
    """Send headers without an end."""
    return _endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: aaaa\r\n" * 1_000)


def endless_header_line() -> Behaviour:
    """Send one header without an end."""
    return _endless(b"HTTP/1.1 200 OK\r\nX-Header: ", b"a" * 16_384)


def continue_flood() -> Behaviour:
    """Send `100 Continue` for ever."""
    return _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500)


def gzip_bomb(size: int = 200 * MEBIBYTE) -> Behaviour:
    """Send a small gzip body that becomes a large one."""
    body = gzip.compress(b" " * size, compresslevel=1)
    return status(200, body, JSON | {"Content-Encoding": "gzip"})


def chunked(body: bytes, size: int) -> Behaviour:
    """Answer 200 with a body in chunks of some bytes each."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return raw(head_of(200, JSON | {"Transfer-Encoding": "chunked"}) + coded + b"0\r\n\r\n", close=False)


def bad_chunks() -> Behaviour:
    """Send a chunked body whose second length is no number."""
    return raw(head_of(200, JSON | {"Transfer-Encoding": "chunked"}) + b"1\r\n{\r\nzz\r\n}\r\n0\r\n\r\n")


def nested(depth: int = 100_000) -> Behaviour:
    """Answer with JSON that is nested very deep."""
    return document('{"version": ' + "[" * depth + "]" * depth + "}")


def _endless(start: bytes, piece: bytes) -> Behaviour:
    async def behave(connection: Connection, _request: Request) -> None:
        connection.write(start)
        while True:
            connection.write(piece)
            await connection.drain()

    return behave
