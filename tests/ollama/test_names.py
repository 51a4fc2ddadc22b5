"""Look-ups of names: shared, bounded, and of no harm to others when they hang."""

import asyncio
import errno
import socket
import threading
from collections import Counter

import pytest

from monitor.domain.probe import Reason
from monitor.ollama import names
from monitor.ollama.client import OllamaClient
from monitor.ollama.failure import FailureError
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import eventually, server_at


class Lookups:
    """A stand-in for the system's resolver: names that begin with `hang` hang until released."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.released = threading.Event()

    def __call__(self, host: str) -> list[str]:
        self.asked[host] += 1
        if host.startswith("hang"):
            self.released.wait(30)
        return ["127.0.0.1"]


async def test_fifty_names_that_hang_delay_nobody(fake: FakeOllama) -> None:
    lookups = Lookups()
    try:
        async with OllamaClient(names=NameResolver(lookups)) as client:
            prober = HttpProber(client)
            hanging = [
                asyncio.create_task(prober.probe(server_at(f"http://hang-{number}.example", timeout=0.5)))
                for number in range(50)
            ]
            await eventually(lambda: len(lookups.asked) == 50)
            for number in range(20):
                server = server_at(f"http://good-{number}.example:{fake.port}")
                assert (await prober.probe(server)).reason is Reason.OK
            results = await asyncio.gather(*hanging)
    finally:
        lookups.released.set()
    assert {result.reason for result in results} == {Reason.DNS}


async def test_one_look_up_serves_all_who_ask_for_a_name_even_when_one_gives_up() -> None:
    lookups = Lookups()
    resolver = NameResolver(lookups)
    asking = [asyncio.create_task(resolver.resolve("hang.example")) for _ in range(10)]
    await eventually(lambda: bool(lookups.asked))
    asking[0].cancel()
    lookups.released.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [["127.0.0.1"]] * 9
    assert lookups.asked == {"hang.example": 1}


async def test_a_name_that_gets_no_turn_is_our_own_fault_and_passes(fake: FakeOllama) -> None:
    lookups = Lookups()
    async with OllamaClient(names=NameResolver(lookups, max_lookups=2)) as client:
        prober = HttpProber(client)
        hanging = [server_at(f"http://hang-{number}.example:{fake.port}", timeout=0.3) for number in range(2)]
        good = server_at(f"http://good.example:{fake.port}", timeout=0.3)
        for server in hanging:
            assert (await prober.probe(server)).reason is Reason.DNS
        assert (await prober.probe(good)).reason is Reason.LOCAL
        lookups.released.set()
        patient = server_at(f"http://good.example:{fake.port}")
        assert (await prober.probe(patient)).reason is Reason.OK


async def test_a_literal_address_is_never_looked_up(fake: FakeOllama) -> None:
    lookups = Lookups()
    async with OllamaClient(names=NameResolver(lookups)) as client:
        assert (await HttpProber(client).probe(server_at(fake.url))).reason is Reason.OK
    assert not lookups.asked


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Reason.DNS),
        (socket.gaierror(socket.EAI_AGAIN, "later"), Reason.DNS),
        (socket.gaierror(socket.EAI_FAIL, "failed"), Reason.DNS),
        (socket.gaierror(socket.EAI_MEMORY, "memory"), Reason.LOCAL),
        (OSError(errno.EMFILE, "too many open files"), Reason.LOCAL),
        (UnicodeError("label too long"), Reason.DNS),
    ],
)
async def test_a_failed_look_up_has_one_reason(error: Exception, reason: Reason) -> None:
    def lookup(_host: str) -> list[str]:
        raise error

    with pytest.raises(FailureError) as raised:
        await NameResolver(lookup).resolve("gpu-1.example")
    assert raised.value.failure.reason is reason


async def test_a_name_without_an_address_is_dns() -> None:
    async with OllamaClient(names=NameResolver(lambda _host: [])) as client:
        result = await HttpProber(client).probe(server_at("http://gpu-1.example"))
    assert result.reason is Reason.DNS


async def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in names.system_lookup("localhost")


async def test_while_the_name_server_is_away_or_hangs_a_server_is_where_it_was(
    fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "PATIENCE_SECONDS", 0.05)
    released = threading.Event()
    answers = iter(
        (
            lambda: [fake.host],
            lambda: _fail(socket.gaierror(socket.EAI_AGAIN, "away")),
            lambda: [str(released.wait(30))],
            lambda: _fail(socket.gaierror(socket.EAI_NONAME, "gone")),
        )
    )
    resolver = NameResolver(lambda _: next(answers)())
    assert [await resolver.resolve("gpu-1") for _ in range(3)] == [[fake.host]] * 3
    released.set()
    await eventually(lambda: not resolver.is_running("gpu-1"))
    # Of a name that is gone there is no doubt.
    with pytest.raises(FailureError) as caught:
        await resolver.resolve("gpu-1")
    assert caught.value.failure.reason is Reason.DNS


async def test_a_name_never_found_is_not_made_up(fake: FakeOllama) -> None:
    resolver = NameResolver(lambda _: _fail(socket.gaierror(socket.EAI_AGAIN, "away")))
    with pytest.raises(FailureError):
        await resolver.resolve("gpu-1")


@pytest.mark.parametrize(("address", "counts"), [("127.0.0.1", False), ("10.1.2.3", True)])
async def test_only_what_a_name_server_knows_shows_that_it_works(address: str, counts: bool) -> None:
    resolver = NameResolver(lambda _: [address])
    await resolver.resolve("gpu-1")
    assert (resolver.looked_up_at > float("-inf")) is counts


def _fail(error: Exception) -> list[str]:
    raise error


async def test_a_name_server_that_takes_long_is_believed_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "PATIENCE_SECONDS", 0.05)
    released = threading.Event()
    answers = iter((lambda: "10.0.0.1", lambda: released.wait(30) and "10.0.0.2", lambda: released.wait(30) and "away"))
    resolver = NameResolver(lambda _: [str(next(answers)())])
    assert [await resolver.resolve("gpu-1") for _ in range(2)] == [["10.0.0.1"]] * 2
    released.set()
    await eventually(lambda: not resolver.is_running("gpu-1"))
    released.clear()
    assert await resolver.resolve("gpu-1") == ["10.0.0.2"]
    released.set()
