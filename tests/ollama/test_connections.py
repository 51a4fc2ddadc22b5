"""How connections are used: kept, renewed, guarded, and nothing sent that is not meant to be."""

import asyncio
import ipaddress
import os
import socket
import time
from datetime import timedelta

import pytest

from monitor.domain.probe import Reason
from monitor.ollama import race
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from monitor.ollama.race import Endpoint
from tests.fakes import behaviours
from tests.fakes.exchange import Connection, Request
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import eventually, filled, server_at


async def test_a_connection_is_kept_for_the_next_question(client: OllamaClient, fake: FakeOllama) -> None:
    for _ in range(5):
        assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.OK
        assert (await HttpLister(client).list_models(server_at(fake.url))).reason is Reason.OK
    assert fake.accepted == 1


async def test_an_answer_says_whether_its_connection_is_new_and_when_the_one_before_ended(
    client: OllamaClient, fake: FakeOllama
) -> None:
    prober, server = HttpProber(client), server_at(fake.url)
    began = time.monotonic()
    first, second = await prober.probe(server), await prober.probe(server)
    assert (first.is_new_connection, first.lost) == (True, None)
    assert (second.is_new_connection, second.lost) == (False, None)
    before = time.monotonic()
    await fake.stop()
    await fake.start()
    third = await prober.probe(server)
    assert third.reason is Reason.OK
    assert third.is_new_connection
    assert third.lost is not None
    assert before <= third.lost.at <= time.monotonic()
    assert 0 < third.lost.idle <= third.lost.at - began
    assert not (await prober.probe(server)).is_new_connection


async def test_a_bad_status_keeps_the_connection_too(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.status(429, b"busy"))
    for _ in range(3):
        assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.BUSY
    assert fake.accepted == 1


@pytest.mark.parametrize("connections", [1, 3])
async def test_an_idle_connection_that_the_server_closed_is_no_reset(
    client: OllamaClient, fake: FakeOllama, connections: int
) -> None:
    prober, lister = HttpProber(client), HttpLister(client)
    server = server_at(fake.url)
    await asyncio.gather(*(prober.probe(server) for _ in range(connections)))
    assert fake.accepted == connections
    idle = set(fake.connections)

    async def close_idle(connection: Connection, request: Request) -> None:
        if connection in idle:
            connection.close()
        else:
            fake.answer_well(connection, request)

    fake.behave(close_idle)
    assert (await lister.show(server, "tiny-chat:latest")).reason is Reason.OK
    assert (await prober.probe(server)).reason is Reason.OK
    assert fake.accepted == connections + 1


async def test_an_idle_connection_that_was_reset_is_no_reset(client: OllamaClient, fake: FakeOllama) -> None:
    await HttpProber(client).probe(server_at(fake.url))
    for connection in list(fake.connections):
        connection.reset()
    assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.OK


async def test_with_little_time_to_connect_a_new_connection_is_made_and_those_from_before_are_closed(
    client: OllamaClient, fake: FakeOllama
) -> None:
    prober, server = HttpProber(client), server_at(fake.url)
    await asyncio.gather(*(prober.probe(server) for _ in range(3)))
    before = set(fake.connections)
    assert (await prober.probe(server, connect_within=timedelta(seconds=1))).reason is Reason.OK
    await eventually(lambda: not before & set(fake.connections))
    assert fake.accepted == 4
    assert (await prober.probe(server)).reason is Reason.OK
    assert fake.accepted == 4


async def test_who_does_not_connect_in_the_little_time_is_not_waited_for(client: OllamaClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, filled(listener):
        server = server_at(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60)
        began = time.monotonic()
        result = await HttpProber(client).probe(server, connect_within=timedelta(seconds=0.1))
    assert result.reason is Reason.CONNECT_TIMEOUT
    assert time.monotonic() - began < 30


async def test_a_new_connection_that_is_closed_is_a_reset_and_not_tried_again(
    client: OllamaClient, fake: FakeOllama
) -> None:
    fake.behave(behaviours.hang_up())
    assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.RESET
    assert (await HttpLister(client).show(server_at(fake.url), "a:b")).reason is Reason.RESET
    assert fake.accepted == 2


async def test_a_restart_of_the_server_in_between_goes_unnoticed(client: OllamaClient, fake: FakeOllama) -> None:
    await HttpProber(client).probe(server_at(fake.url))
    await fake.stop()
    await fake.start()
    assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.OK


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(client: OllamaClient, fake: FakeOllama, code: int) -> None:
    async with FakeOllama(host="127.0.0.2") as elsewhere:
        fake.behave(behaviours.redirect(f"{elsewhere.url}/api/version", code))
        result = await HttpProber(client).probe(server_at(fake.url))
        assert result.reason is Reason.NOT_OLLAMA
        assert (await HttpLister(client).show(server_at(fake.url), "a:b")).reason is Reason.NOT_OLLAMA
        assert elsewhere.accepted == 0


async def test_a_proxy_of_the_environment_is_not_used(
    client: OllamaClient, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeOllama(host="127.0.0.2") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.OK
        assert proxy.accepted == 0


async def test_a_cookie_is_not_sent_back(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.status(200, b'{"version": "1"}', {"Set-Cookie": "a=b; Path=/"}))
    for _ in range(2):
        await HttpProber(client).probe(server_at(fake.url))
    assert all("cookie" not in request.headers for request in fake.received)


async def test_the_headers_are_ours_and_no_others(client: OllamaClient, fake: FakeOllama) -> None:
    await HttpProber(client).probe(server_at(fake.url))
    (request,) = fake.received
    assert set(request.headers) == {"host", "accept", "accept-encoding", "user-agent"}
    assert request.headers["host"] == f"127.0.0.1:{fake.port}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("ollama-fleet")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0"])
async def test_a_literal_address_that_is_refused_is_blocked(client: OllamaClient, host: str) -> None:
    result = await HttpProber(client).probe(server_at(f"http://{host}:1"))
    assert result.reason is Reason.BLOCKED


async def test_an_address_outside_the_allowed_networks_is_never_connected() -> None:
    networks = [ipaddress.ip_network("127.0.0.1/32")]
    names = NameResolver(lambda _host: ["127.0.0.2", "::ffff:127.0.0.2"])
    async with (
        FakeOllama() as inside,
        FakeOllama(host="127.0.0.2") as outside,
        OllamaClient(allowed_networks=networks, names=names) as client,
    ):
        prober = HttpProber(client)
        assert (await prober.probe(server_at(inside.url))).reason is Reason.OK
        assert (await prober.probe(server_at(outside.url))).reason is Reason.BLOCKED
        named = f"http://gpu-1.example:{outside.port}"
        assert (await prober.probe(server_at(named))).reason is Reason.BLOCKED
        assert outside.accepted == 0


async def test_a_name_that_leads_to_metadata_is_blocked() -> None:
    async with OllamaClient(names=NameResolver(lambda _host: ["169.254.169.254"])) as client:
        result = await HttpProber(client).probe(server_at("http://gpu-1.example:80"))
    assert result.reason is Reason.BLOCKED


async def test_a_name_is_connected_only_at_its_addresses_that_are_allowed(fake: FakeOllama) -> None:
    names = NameResolver(lambda _host: ["169.254.169.254", "127.0.0.1"])
    async with OllamaClient(names=names) as client:
        result = await HttpProber(client).probe(server_at(f"http://gpu-1.example:{fake.port}"))
    assert result.reason is Reason.OK


async def test_a_name_that_is_bound_anew_between_questions_cannot_pass(fake: FakeOllama) -> None:
    looked_up = []

    def lookup(host: str) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["169.254.169.254"]

    async with OllamaClient(names=NameResolver(lookup)) as client:
        server = server_at(f"http://gpu-1.example:{fake.port}")
        assert (await HttpProber(client).probe(server)).reason is Reason.OK
        # One look-up gave both the address that was judged and the one that was connected.
        assert looked_up == ["gpu-1.example"]
        await fake.stop()
        await fake.start()
        assert (await HttpProber(client).probe(server)).reason is Reason.BLOCKED


async def test_a_dead_address_beside_a_living_one_does_not_matter(fake: FakeOllama) -> None:
    names = NameResolver(lambda _host: ["127.0.0.9", "::1", "127.0.0.1"])
    async with OllamaClient(names=names) as client:
        result = await HttpProber(client).probe(server_at(f"http://gpu-1.example:{fake.port}"))
    assert result.reason is Reason.OK


async def test_a_name_with_no_living_address_has_the_most_telling_reason(fake: FakeOllama) -> None:
    await fake.stop()
    names = NameResolver(lambda _host: ["127.0.0.9", "::1", "127.0.0.1"])
    async with OllamaClient(names=names) as client:
        result = await HttpProber(client).probe(server_at(f"http://gpu-1.example:{fake.port}"))
    assert result.reason is Reason.REFUSED


def test_the_families_of_addresses_take_turns() -> None:
    tried = [Endpoint(host, 1) for host in ("::1", "::2", "127.0.0.1", "127.0.0.2")]
    assert [endpoint.host for endpoint in race._alternate(tried)] == ["::1", "127.0.0.1", "::2", "127.0.0.2"]


async def test_the_first_address_that_answers_wins_over_one_that_hangs(fake: FakeOllama) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.2", fake.port))
        full.listen(0)
        with filled(full):
            endpoints = [Endpoint("127.0.0.2", fake.port), Endpoint("127.0.0.1", fake.port)]
            with await race.connect(asyncio.get_running_loop(), endpoints) as winner:
                assert winner.getpeername() == ("127.0.0.1", fake.port)


async def go_wrong_in_every_way() -> None:
    """Probe bad servers of all kinds with a client of their own, and close it."""
    lookup: dict[str, list[str]] = {"none.example": [], "dead.example": ["127.0.0.9", "127.0.0.8"]}
    async with (
        FakeOllama() as fake,
        OllamaClient(names=NameResolver(lambda host: lookup[host])) as client,
    ):
        urls = [
            fake.url,
            f"https://127.0.0.1:{fake.port}",
            f"http://none.example:{fake.port}",
            f"http://dead.example:{fake.port}",
            "http://169.254.169.254",
        ]
        for behaviour in (behaviours.hang(), behaviours.reset(), behaviours.endless_body(), behaviours.html()):
            fake.behave(behaviour)
            for url in urls:
                await HttpProber(client).probe(server_at(url, timeout=0.05))


async def test_no_descriptor_is_lost_whatever_goes_wrong() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    # The event loop may open some for itself the first time.
    await go_wrong_in_every_way()
    before = count()
    for _ in range(2):
        await go_wrong_in_every_way()
    await eventually(lambda: count() <= before)
