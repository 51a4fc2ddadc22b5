"""The proxy packs what it hands on: only when it is asked to, or in any case, which is unpacked and read."""

import pytest

from tests.daemon.proxies.conftest import Behind, Watching
from tests.daemon.proxies.running import Setup
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama

pytestmark = pytest.mark.long

BOTH = pytest.mark.parametrize("program", ["nginx", "haproxy"])
COUNT = "SELECT count(*) = $2 FROM ollama_models WHERE server_id = $1 AND is_active"
PACKS = {
    "nginx": "gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;",
    "haproxy": "    compression algo gzip\n    compression type application/json",
}
# Packed it is shorter than the longest answer that is read, unpacked a hundred times longer.
SIZE = 8 * behaviours.MEBIBYTE
ALWAYS = "    http-request set-header Accept-Encoding gzip\n"
ASKS = Setup(location="proxy_set_header Accept-Encoding gzip; proxy_http_version 1.1;")


@BOTH
async def test_a_proxy_that_packs_for_those_who_ask_packs_nothing_for_the_monitor(
    program: str, behind: Behind, watching: Watching
) -> None:
    async with (
        FakeOllama() as fake,
        behind(program, fake.url, Setup(settings=PACKS[program])) as proxy,
        watching() as scene,
    ):
        await scene.add(proxy.url)
        await scene.until_known(fake)
        await scene.observer.until(COUNT, scene.id, len(fake.models))
        assert await scene.told() == ["created", "up"]


async def test_nginx_behind_another_that_asks_it_to_pack_is_read(behind: Behind, watching: Watching) -> None:
    async with (
        FakeOllama() as fake,
        behind("nginx", fake.url, Setup(settings=PACKS["nginx"])) as packing,
        behind("nginx", packing.url, ASKS) as proxy,
        watching() as scene,
    ):
        await scene.add(proxy.url)
        await scene.until_known(fake)
        await scene.observer.until(COUNT, scene.id, len(fake.models))
        assert {asked.status for asked in proxy.asked} == {200}
        assert await scene.told() == ["created", "up"]


async def test_haproxy_that_always_packs_is_read(behind: Behind, watching: Watching) -> None:
    always = Setup(settings=ALWAYS + PACKS["haproxy"])
    async with FakeOllama() as fake, behind("haproxy", fake.url, always) as proxy, watching() as scene:
        await scene.add(proxy.url)
        await scene.until_known(fake)
        await scene.observer.until(COUNT, scene.id, len(fake.models))
        assert {asked.status for asked in proxy.asked} == {200}
        assert await scene.told() == ["created", "up"]


@BOTH
async def test_a_small_packed_answer_that_becomes_a_large_one_is_cut_at_the_cap(
    program: str, behind: Behind, watching: Watching
) -> None:
    async with FakeOllama() as fake, behind(program, fake.url) as proxy, watching() as scene:
        fake.behave(behaviours.gzip_bomb(SIZE))
        await scene.add(proxy.url)
        await scene.until("down", "too_large")
        assert await scene.told() == ["created", "down"]
