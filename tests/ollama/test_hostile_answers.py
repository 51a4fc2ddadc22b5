"""Servers that send without an end, or something that grows: cut at the cap, within the limit."""

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from monitor.domain.probe import Reason
from monitor.ollama.client import MAX_BODY, MAX_LIST, OllamaClient
from monitor.ollama.connector import MAX_HEAD, Intake
from monitor.ollama.lister import HttpLister
from monitor.ollama.prober import HttpProber
from tests.fakes import behaviours
from tests.fakes.behaviours import MEBIBYTE
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import eventually, server_at

# What may come on top of a body, and the byte by which it shows that there is more.
HEADS_AND_CODING = 2 * MAX_HEAD + 1
HOSTILE = {
    "body": behaviours.endless_body(),
    "chunks": behaviours.endless_chunks(),
    "chunk extension": behaviours.endless_chunk_extension(),
    "trailers": behaviours.endless_trailers(),
    "headers": behaviours.endless_headers(),
    "header line": behaviours.endless_header_line(),
    "interim answers": behaviours.continue_flood(),
}
PACKINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZIP", gzip.compress),
    ("deflate", zlib.compress),
    # So some take "deflate", without zlib's header.
    (" deflate ", lambda body: zlib.compress(body, wbits=-zlib.MAX_WBITS)),
]
ENDLESS = pytest.mark.parametrize("behaviour", HOSTILE.values(), ids=HOSTILE.keys())


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes were taken from sockets, read by read."""
    reads: list[int] = []
    update = Intake.buffer_updated

    def note(intake: Intake, nbytes: int) -> None:
        reads.append(nbytes)
        update(intake, nbytes)

    monkeypatch.setattr(Intake, "buffer_updated", note)
    return reads


@ENDLESS
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_more_of_an_answer_without_an_end_is_taken_than_an_honest_one_may_have(
    taken: list[int], run: Callable[[Coroutine[Any, Any, None]], None], behaviour: Behaviour
) -> None:
    async def ask() -> None:
        async with FakeOllama() as fake, OllamaClient() as client:
            fake.behave(behaviour)
            server = server_at(fake.url, timeout=30)
            assert (await HttpProber(client).probe(server)).reason in {Reason.TOO_LARGE, Reason.PROTOCOL}
            assert sum(taken) <= MAX_BODY + HEADS_AND_CODING
            taken.clear()
            assert (await HttpLister(client).list_models(server)).reason in {Reason.TOO_LARGE, Reason.PROTOCOL}
            assert 0 < sum(taken) <= MAX_LIST + HEADS_AND_CODING
            await eventually(lambda: not fake.connections)

    run(ask())


@pytest.mark.parametrize("size", [512, 2048, 100_000])
async def test_a_list_as_long_as_the_cap_may_come_in_chunks(client: OllamaClient, fake: FakeOllama, size: int) -> None:
    body = b'{"models": []}'.ljust(MAX_LIST)
    fake.behave(behaviours.chunked(body, size))
    assert (await HttpLister(client).list_models(server_at(fake.url, timeout=30))).reason is Reason.OK
    fake.behave(behaviours.chunked(body, 1))
    assert (await HttpLister(client).list_models(server_at(fake.url, timeout=30))).reason is Reason.TOO_LARGE


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


@pytest.mark.parametrize(
    ("size", "detail"),
    [
        (50 * MEBIBYTE, "The answer is larger than is accepted."),
        (5 * MEBIBYTE, "The answer is larger than is accepted once it is unpacked (gzip)."),
    ],
    ids=["packed", "unpacked"],
)
async def test_a_gzip_bomb_is_unpacked_no_further_than_the_cap(
    client: OllamaClient, fake: FakeOllama, size: int, detail: str
) -> None:
    fake.behave(behaviours.gzip_bomb(size))
    tracemalloc.start()
    try:
        result = await HttpProber(client).probe(server_at(fake.url))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (result.reason, result.detail) == (Reason.TOO_LARGE, detail)
    assert peak < MEBIBYTE


@pytest.mark.parametrize("packing", PACKINGS, ids=lambda packing: packing[0])
async def test_what_a_proxy_packs_without_being_asked_is_read(
    client: OllamaClient, fake: FakeOllama, packing: tuple[str, Callable[[bytes], bytes]]
) -> None:
    encoding, pack = packing
    for path, document in (("/api/version", {"version": "1"}), ("/api/tags", {"models": list(fake.models.values())})):
        packed = pack(json.dumps(document).encode())
        fake.behave(behaviours.status(200, packed, {"Content-Encoding": encoding}), path=path)
    assert (await HttpProber(client).probe(server_at(fake.url))).server_version == "1"
    assert len((await HttpLister(client).list_models(server_at(fake.url))).models) == len(fake.models)
    failed = behaviours.status(500, pack(b'{"error": "no disk"}'), {"Content-Encoding": encoding})
    fake.behave(failed, path="/api/tags")
    assert (await HttpLister(client).list_models(server_at(fake.url))).detail == (
        'The server failed (HTTP 500): "no disk".'
    )


async def test_a_packed_body_may_be_as_long_as_the_cap_and_not_longer(fake: FakeOllama) -> None:
    async with OllamaClient(max_list=100_000) as client:
        for size, reason in ((100_000, Reason.OK), (100_001, Reason.TOO_LARGE)):
            body = gzip.compress(b'{"models": []}'.ljust(size))
            fake.behave(behaviours.status(200, body, {"Content-Encoding": "gzip"}))
            assert (await HttpLister(client).list_models(server_at(fake.url))).reason is reason


@pytest.mark.parametrize(
    ("encoding", "body", "detail"),
    [
        ("gzip", b"no gzip", "The answer cannot be unpacked, which says it is gzip."),
        ("deflate", b"\xff\xff", "The answer cannot be unpacked, which says it is deflate."),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-6], "The answer is packed (gzip), and its end is missing."),
        ("br", b"x", "The answer is encoded without being asked (br)."),
        ("gzip, gzip", b"x", "The answer is encoded without being asked (gzip, gzip)."),
    ],
)
async def test_a_packed_answer_that_cannot_be_read_says_why(
    client: OllamaClient, fake: FakeOllama, encoding: str, body: bytes, detail: str
) -> None:
    fake.behave(behaviours.status(200, body, {"Content-Encoding": encoding}))
    result = await HttpProber(client).probe(server_at(fake.url))
    assert (result.reason, result.detail) == (Reason.PROTOCOL, detail)


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
