"""The dashboard's files over HTTP: how they are kept, what the browser may do with them, and what is in them."""

import gzip
import re
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from api.web.handlers import pages
from monitor.domain.event import EventType
from monitor.domain.probe import Reason
from monitor.postgres.tables import ollama_servers
from tests.dashboard.stage import Stage
from tests.deploy.checkout import ROOT

FOLDER = ROOT / "api" / "web" / "dashboard"
MINE = [path for path in FOLDER.rglob("*") if path.is_file() and "vendor" not in path.parts]
MOST_LINES = 250


async def test_the_page_is_kept_by_its_tag_and_comes_compressed_if_wanted(stage: Stage) -> None:
    async with stage.api(), aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(stage.url, headers={"Accept-Encoding": "gzip"}) as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            content = gzip.decompress(await packed.read())
        async with session.get(stage.url, headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers
            assert await plain.read() == content == (FOLDER / "index.html").read_bytes()
            assert plain.headers["ETag"] != packed.headers["ETag"]
        known = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]}
        async with session.get(stage.url, headers=known) as again:
            assert (again.status, await again.read()) == (304, b"")


async def test_the_browser_is_told_to_run_nothing_but_these_files(stage: Stage) -> None:
    async with stage.api(), aiohttp.ClientSession() as session, session.get(stage.url) as page:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["nothing.js", "../app.py", "..%2fapp.py", "pages", "pages/", "%00"])
async def test_what_is_no_file_of_the_dashboard_is_not_found(path: str, stage: Stage) -> None:
    url = URL(f"{stage.url}/dashboard/{path}", encoded=True)
    async with stage.api(), aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "not_found"


def test_every_reason_and_every_event_type_is_known_to_the_page() -> None:
    reasons = set(re.findall(r"^  (\w+): \[", (FOLDER / "verdicts.js").read_text(), re.MULTILINE))
    assert reasons == {reason.value for reason in Reason}
    listed = set(re.findall(r'"((?:server|model|monitor)\.\w+)"', (FOLDER / "pages/event_log.js").read_text()))
    assert {event_type.value for event_type in EventType} <= listed


def test_what_the_page_loads_is_there_and_what_it_needs_at_first_is_asked_for_at_once() -> None:
    files = pages.load_dashboard()
    page = (FOLDER / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="dashboard/([^"]+)"', page))
    assert named <= set(files)
    wanted, seen = ["app.js"], set()
    while wanted:
        path = wanted.pop()
        seen.add(path)
        imports = re.findall(r'(?:^import|from) ?"(\.[^"]+)"', (FOLDER / path).read_text(), re.MULTILINE)
        imports += re.findall(r'from"(\.[^"]+)"', (FOLDER / path).read_text())
        found = {str((FOLDER / path).parent.joinpath(name).resolve().relative_to(FOLDER)) for name in imports}
        wanted += found - seen
    assert seen <= named


@pytest.mark.parametrize("path", MINE, ids=lambda path: path.name)
def test_a_file_says_first_what_it_is_stays_short_and_names_no_other_host(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    assert len(lines) <= MOST_LINES
    if path.suffix in {".js", ".css"}:
        assert lines[0].startswith(("// ", "/* "))
    hosts = set(re.findall(r"https?://(\w[\w.-]*)", text)) - {"10.0.0.5", "www.w3.org"}
    assert not hosts
    assert "unsafeHTML" not in text
    assert not re.search(r'\sstyle="', text)


def test_the_page_reads_again_what_rest_shows_and_no_event_tells() -> None:
    (listed,) = re.findall(r"^const SILENT = (\[.*?\]);", (FOLDER / "fleet.js").read_text(), re.MULTILINE | re.DOTALL)
    silent = set(ollama_servers.shown) - set(ollama_servers.told) - {"updated_at"}
    assert set(re.findall(r'"(\w+)"', listed)) == silent | {"stale"}
