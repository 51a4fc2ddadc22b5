"""Servers that send without an end, or something that grows: cut at the cap, within the limit."""

import asyncio
import time
import tracemalloc

import pytest

from monitor.domain.probe import Reason
from monitor.ollama.client import MAX_LIST, OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.prober import HttpProber
from tests.fakes import behaviours
from tests.fakes.behaviours import MEBIBYTE
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import eventually, server_at

# What the kernel holds between two sockets counts as sent, though nobody has read it.
SOCKET_BUFFERS = 8 * MEBIBYTE
HOSTILE = {
    "body": behaviours.endless_body(),
    "chunks": behaviours.endless_chunks(),
    "chunk extension": behaviours.endless_chunk_extension(),
    "trailers": behaviours.endless_trailers(),
    "headers": behaviours.endless_headers(),
    "header line": behaviours.endless_header_line(),
    "interim answers": behaviours.continue_flood(),
}
ENDLESS = pytest.mark.parametrize("behaviour", HOSTILE.values(), ids=HOSTILE.keys())


@ENDLESS
async def test_an_answer_without_an_end_is_cut_at_the_cap(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour
) -> None:
    fake.behave(behaviour)
    result = await HttpProber(client).probe(server_at(fake.url, timeout=30))
    assert result.reason in {Reason.TOO_LARGE, Reason.PROTOCOL}
    assert fake.sent_bytes < 2 * MAX_LIST + SOCKET_BUFFERS
    await eventually(lambda: not fake.connections)


@ENDLESS
async def test_a_list_without_an_end_costs_little_memory(fake: FakeOllama, behaviour: Behaviour) -> None:
    async with OllamaClient(max_list=MEBIBYTE // 8) as client:
        await HttpLister(client).list_models(server_at(fake.url))
        fake.behave(behaviour)
        tracemalloc.start()
        try:
            listing = await HttpLister(client).list_models(server_at(fake.url, timeout=30))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert listing.reason in {Reason.TOO_LARGE, Reason.PROTOCOL}
    assert peak < 2 * MEBIBYTE


async def test_a_gzip_bomb_is_not_unpacked(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.gzip_bomb(50 * MEBIBYTE))
    tracemalloc.start()
    try:
        result = await HttpProber(client).probe(server_at(fake.url))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.reason is Reason.PROTOCOL
    assert peak < MEBIBYTE


async def test_a_body_may_be_as_long_as_the_cap_and_not_longer(fake: FakeOllama) -> None:
    async with OllamaClient(max_list=100_000) as client:
        for size, reason in ((100_000, Reason.OK), (100_001, Reason.TOO_LARGE)):
            fake.behave(behaviours.document('{"models": []}'.ljust(size)))
            listing = await HttpLister(client).list_models(server_at(fake.url))
            assert listing.reason is reason


async def test_a_drip_ends_at_the_limit_and_delays_nobody(client: OllamaClient, fake: FakeOllama) -> None:
    async with FakeOllama() as other:
        fake.behave(behaviours.drip(0.02))
        began = time.monotonic()
        dripping = asyncio.create_task(HttpProber(client).probe(server_at(fake.url, timeout=0.5)))
        for _ in range(20):
            good = await HttpProber(client).probe(server_at(other.url))
            assert good.reason is Reason.OK
        assert (await dripping).reason is Reason.TIMEOUT
        assert 0.5 <= time.monotonic() - began < 5


async def test_a_probe_that_is_cancelled_is_cancelled(client: OllamaClient, fake: FakeOllama) -> None:
    fake.behave(behaviours.hang())
    probing = asyncio.create_task(HttpProber(client).probe(server_at(fake.url)))
    await eventually(lambda: bool(fake.requests))
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    await eventually(lambda: not fake.connections)
