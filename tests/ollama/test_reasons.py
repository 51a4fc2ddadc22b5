"""Each reason of the contract, caused by a real server over a real socket."""

import errno
import os
import resource
import socket
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus

import pytest

from monitor.domain.probe import ProbeResult, Reason
from monitor.ollama import failure, refusal
from monitor.ollama.client import OllamaClient
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import filled, server_at

LEGAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SHORT = 0.3


async def probe(client: OllamaClient, url: str, *, limit: float = 5.0) -> ProbeResult:
    """Probe a URL once, and check what holds for every result."""
    result = await HttpProber(client).probe(server_at(url, timeout=limit))
    assert (result.latency is not None) == (result.reason is Reason.OK)
    assert (result.detail == "") == (result.reason is Reason.OK)
    assert result.detail.isprintable()
    assert len(result.detail) <= 200
    return result


async def test_a_server_that_answers_well_is_ok_with_its_version(client: OllamaClient, fake: FakeOllama) -> None:
    result = await probe(client, fake.url)
    assert (result.reason, result.server_version) == (Reason.OK, "0.33.0-rc2")
    assert result.latency is not None
    assert timedelta() < result.latency < timedelta(seconds=5)


async def test_a_path_prefix_is_kept(client: OllamaClient, fake: FakeOllama) -> None:
    assert (await probe(client, f"{fake.url}/gpu/1")).reason is Reason.NOT_OLLAMA
    assert fake.requests == {"/gpu/1/api/version": 1, "/gpu/1/v1/models": 1}


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (behaviours.status(401), Reason.AUTH),
        (behaviours.status(401, b"denied"), Reason.AUTH),
        (behaviours.status(403, b"denied"), Reason.AUTH),
        (behaviours.status(403), Reason.HOST_RULE),
        (behaviours.status(429), Reason.BUSY),
        (behaviours.status(503, b'{"error": "no backend"}'), Reason.SERVER_ERROR),
        (behaviours.status(500), Reason.SERVER_ERROR),
        (behaviours.status(502, b"bad gateway"), Reason.SERVER_ERROR),
        (behaviours.status(599), Reason.SERVER_ERROR),
        (behaviours.status(404, b"404 page not found"), Reason.NOT_OLLAMA),
        (behaviours.status(405), Reason.NOT_OLLAMA),
        (behaviours.status(418), Reason.NOT_OLLAMA),
        (behaviours.status(204), Reason.NOT_OLLAMA),
        (behaviours.status(201, b"{}"), Reason.NOT_OLLAMA),
        (behaviours.status(304), Reason.NOT_OLLAMA),
        (behaviours.html(), Reason.NOT_OLLAMA),
        (behaviours.document([]), Reason.NOT_OLLAMA),
        (behaviours.document({"object": "list", "data": {}}), Reason.NOT_OLLAMA),
        (behaviours.document("{"), Reason.BAD_JSON),
        (behaviours.nested(20_000), Reason.BAD_JSON),
        (behaviours.nested(100_000), Reason.TOO_LARGE),
        (behaviours.reset(), Reason.RESET),
        (behaviours.cut_short(), Reason.RESET),
        (behaviours.hang_up(), Reason.RESET),
        (behaviours.raw(LEGAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"), Reason.RESET),
        (behaviours.raw(b"HTTP/1.1 200"), Reason.RESET),
        (behaviours.bad_chunks(), Reason.PROTOCOL),
        (behaviours.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), Reason.PROTOCOL),
        (behaviours.raw(b"HTTP/1.1 abc OK\r\n\r\n"), Reason.PROTOCOL),
        (behaviours.raw(LEGAL + b"Content-Length: x\r\n\r\n"), Reason.PROTOCOL),
        (behaviours.raw(LEGAL + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), Reason.PROTOCOL),
        (behaviours.status(200, b"{}", {"Content-Encoding": "br"}), Reason.PROTOCOL),
    ],
)
async def test_what_a_server_answers_has_one_reason(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour, reason: Reason
) -> None:
    fake.behave(behaviour)
    first = await probe(client, fake.url)
    assert first.reason is reason
    assert await probe(client, fake.url) == first, "the detail is the same for the same cause"


async def test_a_body_that_ends_with_the_connection_is_a_whole_answer(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.raw(LEGAL + b'\r\n{"version": "1"}'))
    assert (await probe(client, fake.url)).server_version == "1"


async def test_nothing_on_the_port_is_refused_until_something_listens_again(
    client: OllamaClient, fake: FakeOllama
) -> None:
    await fake.stop()
    assert (await probe(client, fake.url)).reason is Reason.REFUSED
    await fake.start()
    assert (await probe(client, fake.url)).reason is Reason.OK


async def test_a_name_that_nobody_knows_is_dns() -> None:
    def lookup(_host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with OllamaClient(names=NameResolver(lookup)) as client:
        assert (await probe(client, "http://gpu-1.example:11434")).reason is Reason.DNS


async def test_a_full_queue_of_connections_is_a_connect_timeout(client: OllamaClient) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with filled(listener):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            result = await probe(client, url, limit=SHORT)
    assert result.reason is Reason.CONNECT_TIMEOUT


@pytest.mark.parametrize("behaviour", [behaviours.hang(), behaviours.drip(0.05)])
async def test_a_connection_without_a_whole_answer_is_a_timeout(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour
) -> None:
    fake.behave(behaviour)
    assert (await probe(client, fake.url, limit=SHORT)).reason is Reason.TIMEOUT


async def test_a_hanging_answer_on_a_kept_connection_is_a_timeout_too(client: OllamaClient, fake: FakeOllama) -> None:
    await probe(client, fake.url)
    fake.behave(behaviours.hang())
    assert (await probe(client, fake.url, limit=SHORT)).reason is Reason.TIMEOUT
    assert fake.accepted == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0", 0), (" 120 ", 120), ("999999999999", 3600), ("-1", None), ("soon", None), ("", None)],
)
async def test_the_wish_for_a_later_check_is_passed_on_within_bounds(
    client: OllamaClient, fake: FakeOllama, value: str, seconds: int | None
) -> None:
    fake.behave(behaviours.status(503, b"", {"Retry-After": value}))
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert (await probe(client, fake.url)).retry_after == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta()),
        ("Wed, 21 Oct 2235 07:28:00 GMT", refusal.MAX_RETRY_AFTER),
    ],
)
async def test_a_date_for_a_later_check_is_understood(
    client: OllamaClient, fake: FakeOllama, value: str, expected: timedelta
) -> None:
    fake.behave(behaviours.status(HTTPStatus.TOO_MANY_REQUESTS, b"", {"Retry-After": value}))
    assert (await probe(client, fake.url)).retry_after == expected


async def test_no_file_descriptor_left_is_our_own_fault_and_passes(client: OllamaClient, fake: FakeOllama) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    holes = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        with suppress(OSError):
            while True:
                holes.append(os.open("/dev/null", os.O_RDONLY))
        assert (await probe(client, fake.url)).reason is Reason.LOCAL
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for hole in holes:
            os.close(hole)
    assert (await probe(client, fake.url)).reason is Reason.OK


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EHOSTUNREACH, Reason.UNREACHABLE),
        (errno.ENETUNREACH, Reason.UNREACHABLE),
        (errno.ECONNREFUSED, Reason.REFUSED),
        (errno.ETIMEDOUT, Reason.CONNECT_TIMEOUT),
        (errno.ECONNRESET, Reason.RESET),
        (errno.ECONNABORTED, Reason.RESET),
        (errno.EMFILE, Reason.LOCAL),
        (errno.ENFILE, Reason.LOCAL),
        (errno.ENOBUFS, Reason.LOCAL),
        (errno.EADDRNOTAVAIL, Reason.LOCAL),
        (errno.ENETDOWN, Reason.LOCAL),
        (errno.EIO, Reason.PROTOCOL),
    ],
)
def test_an_error_of_the_system_while_connecting_has_one_reason(number: int, reason: Reason) -> None:
    assert failure.of_connecting(OSError(number, "at port 12345")).reason is reason


def test_an_error_that_nobody_foresaw_is_protocol_and_shows_nothing_of_itself() -> None:
    found = failure.of_exchange(LookupError("secret"))
    assert found.reason is Reason.PROTOCOL
    assert "secret" not in found.detail


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gpu-1",
        "ftp://gpu-1",
        "http://",
        "http://user:secret@127.0.0.1:1",
        "http://[::1",
        "http://a\nb",
        "http://a:99999",
        "http://0x7f.1:1",
        "http://2130706433",
        "http://127.1",
        "http://\x00",
        "http://a?b#c",
    ],
)
async def test_a_stored_url_that_is_garbage_is_protocol_and_says_why(client: OllamaClient, url: str) -> None:
    result = await probe(client, url)
    assert result.reason is Reason.PROTOCOL
    assert result.detail.startswith("The stored URL cannot be used: ")
    assert "secret" not in result.detail
