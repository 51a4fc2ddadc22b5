"""A browser for the session, and for each test a page of its own that must get into no trouble."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from monitor.postgres import database
from monitor.postgres.database import Connection
from tests.dashboard import chromium
from tests.dashboard.stage import Stage

# For a machine with much else to do.
PATIENCE_MS = 30_000.0
# What the browser says of every answer that is a refusal: it is the page that has to tell of those.
REFUSAL = "Failed to load resource"

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium_address() -> Iterator[str]:
    """The browser that all tests of the session share."""
    program = chromium.find()
    if program is None:
        pytest.skip("Chromium is missing: install Debian's package chromium, or name another one in CHROMIUM.")
    profile = Path(tempfile.mkdtemp(prefix="ollama-fleet-chromium-"))
    with chromium.running(program, profile) as address:
        yield address
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
async def browser(chromium_address: str) -> AsyncIterator[Browser]:
    """The browser, controlled from the test's event loop."""
    async with chromium.connected(chromium_address) as connection:
        yield connection


class Trouble:
    """What must not be seen while pages are open."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def watch(self, page: Page) -> None:
        """Note errors, dialogs, breaches of the content security policy, and requests to other hosts."""
        page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.seen.append(f"dialog: {dialog.message}"))
        page.on("console", self._hear)
        page.on("request", lambda request: self._look(request.url))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(REFUSAL):
            self.seen.append(f"console: {message.text}")

    def _look(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:")):
            self.seen.append(f"request: {url}")


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A window of nobody who was here before; the test fails if a page of it gets into trouble."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    trouble = Trouble()
    context.on("page", trouble.watch)
    yield context
    await context.close()
    assert trouble.seen == []


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    """An empty page."""
    return await context.new_page()


@pytest.fixture
def stage(dsn: str) -> Stage:
    """API and monitor on the test's database; the test says when they run."""
    return Stage(dsn)


@pytest.fixture
async def psql(dsn: str) -> AsyncIterator[Connection]:
    """A person who writes to the tables by hand; jsonb is Python values."""
    connection = await database.connect(dsn, name="psql")
    yield connection
    await connection.close()
