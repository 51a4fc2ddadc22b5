"""The proxy ends idle connections after a second or five: that is learnt, and no event, no doubt and no flapping."""

from datetime import timedelta

import pytest

from tests.daemon.proxies.conftest import Behind, Watching
from tests.daemon.proxies.running import Setup
from tests.daemon.proxies.scene import RARELY
from tests.fakes.ollama import FakeOllama

pytestmark = pytest.mark.long

STATE = "SELECT watch_state = 'not_held' FROM ollama_servers WHERE id = $1"
STRIKES = 3
# A check at the start, and one for each watch that has ended.
MOST_CHECKS = 1 + STRIKES
CHECKS = 12


def impatient(program: str, seconds: int) -> Setup:
    """Return what ends connections on which nothing comes, before the first request as well as after one."""
    if program == "nginx":
        return Setup(settings=f"keepalive_timeout {seconds}s; client_header_timeout {seconds}s;")
    limits = ("client", "http-request", "http-keep-alive")
    return Setup(defaults="\n".join(f"    timeout {limit} {seconds}s" for limit in limits))


@pytest.mark.parametrize("seconds", [1, 5])
@pytest.mark.parametrize("program", ["nginx", "haproxy"])
async def test_a_watch_that_the_proxy_ends_is_given_up_without_a_word(
    program: str, seconds: int, behind: Behind, watching: Watching
) -> None:
    setup = impatient(program, seconds)
    async with FakeOllama() as fake, behind(program, fake.url, setup) as proxy, watching() as scene:
        await scene.add(proxy.url)
        await scene.until_known(fake)
        await scene.observer.until(STATE, scene.id, within=60)
        assert fake.requests["/api/version"] <= MOST_CHECKS
        assert await scene.pause() >= 0.8 * RARELY.total_seconds()
        assert await scene.types() <= {"server.created", "server.updated", "server.up"}
        assert await scene.told() == ["created", "up"]
        assert await scene.restarts_claimed() == 0


@pytest.mark.parametrize("program", ["nginx", "haproxy"])
async def test_checks_as_rare_as_the_time_out_find_the_server_up_each_time(
    program: str, behind: Behind, watching: Watching
) -> None:
    second, patient = timedelta(seconds=1), timedelta(seconds=10)
    setup = impatient(program, 1)
    async with (
        FakeOllama() as fake,
        behind(program, fake.url, setup) as proxy,
        watching(check_interval=second, discovery_interval=second, check_timeout=patient) as scene,
    ):
        await scene.add(proxy.url)
        await scene.until_known(fake)

        async def checked() -> bool:
            return fake.requests["/api/version"] >= CHECKS

        await scene.observer.until_true(checked, within=120)
        assert await scene.types() <= {"server.created", "server.updated", "server.up"}
        assert await scene.told() == ["created", "up"]
        assert await scene.restarts_claimed() == 0
        assert {asked.status for asked in proxy.asked} == {200}
