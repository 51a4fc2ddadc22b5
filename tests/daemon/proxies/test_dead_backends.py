"""What is behind the proxy is dead, hangs, or is being worked on: an error of the server, told after three checks."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.daemon.proxies.conftest import Behind, Watching
from tests.daemon.proxies.running import Setup
from tests.daemon.proxies.scene import FALL
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama

pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True)
class Case:
    """A proxy, and the status that it gives for what is behind it."""

    program: str
    setup: Setup
    status: int


DEAD = {
    "nginx": Case("nginx", Setup(), 502),
    "haproxy": Case("haproxy", Setup(), 503),
    "haproxy-that-checks": Case("haproxy", Setup(location="check inter 200 fall 1 rise 1"), 503),
}
HANGING = {
    "nginx": Case("nginx", Setup(location="proxy_read_timeout 1s;"), 504),
    "haproxy": Case("haproxy", Setup(defaults="    timeout server 1s"), 504),
}
PAGE = b"<h1>Back at noon</h1>"
ERROR_FILE = b"HTTP/1.1 503 Closed\r\nRetry-After: 120\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n" + PAGE


@pytest.mark.parametrize("case", DEAD.values(), ids=DEAD)
async def test_a_dead_backend_is_an_error_of_the_server_and_back_when_it_answers(
    case: Case, behind: Behind, watching: Watching
) -> None:
    async with FakeOllama() as fake, behind(case.program, fake.url, case.setup) as proxy, watching() as scene:
        await scene.add(proxy.url)
        await scene.until_known(fake)
        await fake.stop()
        await scene.check()
        await scene.until("down", "server_error")
        shown = await scene.shown()
        assert not shown["is_available"]
        assert f"(HTTP {case.status})" in shown["status_detail"]
        assert "proxy" in shown["advice"]
        assert "OLLAMA_MAX_QUEUE" not in shown["advice"]
        bad = await scene.bad_answers(proxy)
        assert [(asked.status, asked.path) for asked in bad] == [(case.status, "/api/version")] * FALL
        await fake.start()
        await scene.until("up")
        assert await scene.told() == ["created", "up", "down", "up"]


@pytest.mark.parametrize("case", HANGING.values(), ids=HANGING)
async def test_a_backend_that_hangs_is_an_error_of_the_server_once_the_proxy_gives_up(
    case: Case, behind: Behind, watching: Watching
) -> None:
    async with FakeOllama() as fake, behind(case.program, fake.url, case.setup) as proxy, watching() as scene:
        await scene.add(proxy.url)
        await scene.until_known(fake)
        fake.behave(behaviours.hang())
        await scene.check()
        await scene.until("down", "server_error")
        assert "(HTTP 504)" in (await scene.shown())["status_detail"]
        bad = await scene.bad_answers(proxy)
        assert [(asked.status, asked.path) for asked in bad] == [(504, "/api/version")] * FALL
        fake.behave_well()
        await scene.until("up")
        assert await scene.told() == ["created", "up", "down", "up"]


@pytest.mark.parametrize("program", ["nginx", "haproxy"])
async def test_a_maintenance_page_is_down_and_is_asked_again_when_it_says(
    program: str, behind: Behind, watching: Watching, tmp_path: Path
) -> None:
    # Twice the interval is the longest that a check waits on request.
    interval = timedelta(seconds=3)
    page = MaintenancePage(program, tmp_path)
    async with (
        FakeOllama() as fake,
        behind(program, fake.url, page.setup) as proxy,
        watching(check_interval=interval) as scene,
    ):
        await scene.add(proxy.url)
        await scene.until_known(fake)
        await page.show(fake)
        answered = fake.requests.total()
        await scene.until("down", "server_error")
        shown = await scene.shown()
        assert "(HTTP 503)" in shown["status_detail"]
        assert not shown["is_available"]
        # Without the header it would be a second.
        assert await scene.pause() >= 2 * interval.total_seconds()
        checks = [asked for asked in await scene.bad_answers(proxy) if asked.path == "/api/version"]
        assert [asked.status for asked in checks] == [503] * FALL
        assert fake.requests.total() == answered, "nothing reached the server"
        await page.take_away(fake)
        await scene.until("up")
        assert await scene.told() == ["created", "up", "down", "up"]


class MaintenancePage:
    """A page that nginx shows while there is a file, and HAProxy while no server is left."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._file = folder / "closed"
        page = folder / "page"
        if program == "nginx":
            page.write_bytes(PAGE)
            self.setup = Setup(
                settings=f"""
                error_page 503 @closed;
                location @closed {{ add_header Retry-After 120 always; root {folder}; try_files /page =500; }}
                if (-f {self._file}) {{ return 503; }}
                """
            )
        else:
            page.write_bytes(ERROR_FILE)
            self.setup = Setup(location="check inter 200 fall 1 rise 1", defaults=f"    errorfile 503 {page}")

    async def show(self, fake: FakeOllama) -> None:
        """Have it shown in place of the server."""
        if self._program == "nginx":
            self._file.touch()
        else:
            await fake.stop()

    async def take_away(self, fake: FakeOllama) -> None:
        """Let requests through again."""
        if self._program == "nginx":
            self._file.unlink()
        else:
            await fake.start()
