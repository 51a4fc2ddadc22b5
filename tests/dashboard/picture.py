"""Makes the README's picture of the dashboard: `python -m tests.dashboard.picture`.

The fleet is painted: a real API shows it, and only history and readiness, which take a day and a monitor to come
about, are answered here.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Route, expect

import monitor
from monitor.postgres import database
from tests.benchmarks import stage as benchmark_stage
from tests.dashboard import chromium, scene
from tests.dashboard.stage import Stage

TARGET = Path(monitor.__file__).resolve().parent.parent / "deploy" / "images" / "dashboard.png"
COUNT = 12
READY = {"ready": True, "reasons": [], "checks": {"database": "ok", "schema": "ok", "monitor": "ok"}}


async def take(browser: Browser, dsn: str, target: Path) -> None:
    """Paint the fleet and write the picture of it."""
    psql = await database.connect(dsn, name="picture")
    history = scene.history(await scene.paint(psql, COUNT))
    await psql.close()

    async def show_history(route: Route) -> None:
        await route.fulfill(body=history, content_type="application/json")

    async def be_ready(route: Route) -> None:
        await route.fulfill(json=READY)

    stage = Stage(dsn)
    async with stage.api():
        page = await browser.new_page(viewport={"width": 1280, "height": 630}, color_scheme="light", locale="en-GB")
        await page.route("**/api/history?**", show_history)
        await page.route("**/readyz", be_ready)
        await page.goto(stage.url)
        await expect(page.locator("svg.uptime")).to_have_count(COUNT)
        await page.screenshot(path=target)
        await page.close()


async def main() -> None:
    """Take the picture with a database and a browser of its own."""
    program = chromium.find()
    if program is None:
        sys.exit("Chromium is missing: install Debian's package chromium, or name another one in CHROMIUM.")
    TARGET.parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium.running(program, Path(profile)) as address,
    ):
        async with benchmark_stage.database() as dsn, chromium.connected(address) as browser:
            await take(browser, dsn, TARGET)
    sys.stdout.write(f"{TARGET}\n")


if __name__ == "__main__":
    asyncio.run(main())
