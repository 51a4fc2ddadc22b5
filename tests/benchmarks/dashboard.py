"""The dashboard in a browser: first paint, bytes, how soon an event is seen, stutter, memory; beside a bare page."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.async_api import Browser, Page

from monitor.postgres import database
from monitor.postgres.database import Connection
from tests.benchmarks import stage
from tests.dashboard import chromium, scene, wire
from tests.dashboard.stage import free_port

BARE = "dashboard/vendor/README.md"
SLOTS = "UPDATE ollama_servers SET max_concurrent = $2 WHERE id = $1"
EDIT_ALL = "UPDATE ollama_servers SET priority = priority + 1"
# Notes when the first server is on the screen: after the frame that draws it.
WATCH_FIRST = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("tr.server")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.paintedAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
# Notes what a server's row says of its slots, and when it is on the screen.
WATCH_ROW = """id => {
  window.seen = {};
  const row = document.querySelector(`tr[data-id="${id}"]`);
  new MutationObserver(() => {
    const text = row.querySelector(".version small").textContent;
    requestAnimationFrame(() => setTimeout(() => { window.seen[text] ??= Date.now(); }));
  }).observe(row, { childList: true, characterData: true, subtree: true });
}"""
# Notes what holds the page up: tasks of 50 ms and more.
WATCH_TASKS = """
window.tasks = [];
window.watch = new PerformanceObserver((list) => window.tasks.push(...list.getEntries()));
window.watch.observe({ type: "longtask", buffered: true });
"""
LONGEST_TASK = """() => {
  const tasks = [...window.tasks.splice(0), ...window.watch.takeRecords()];
  return Math.round(Math.max(0, ...tasks.map(({ duration }) => duration)));
}"""
# So that what was done is drawn.
SETTLED = "() => new Promise((resolve) => setTimeout(resolve, 500))"
WHEEL_TURNS = 30
SMOKE = ("--servers", "20", "--events", "3", "--loads", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is, how often the page is opened, and how many events are watched."""
    parser.add_argument("--servers", type=int, default=500)
    parser.add_argument("--loads", type=int, default=10)
    parser.add_argument("--events", type=int, default=100)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Open the page afresh several times, then watch a row while events come."""
    program = chromium.find()
    if program is None:
        return {"not_run": "Chromium is missing"}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium.running(program, Path(profile)) as address,
    ):
        async with stage.database() as dsn, chromium.connected(address) as browser:
            return {"servers": options.servers, **await _measure(options, browser, dsn)}


async def _measure(options: argparse.Namespace, browser: Browser, dsn: str) -> dict[str, Any]:
    port = free_port()
    environment = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port)}
    psql = await database.connect(dsn, name="benchmark")
    try:
        ids = await scene.paint(psql, options.servers)
        async with stage.process("-m", "api", environment=environment):
            await _wait_for(port)
            url = f"http://127.0.0.1:{port}/"
            bare = [await _load_bare(browser, url + BARE) for _ in range(options.loads)]
            loads = [await _load(browser, url) for _ in range(options.loads)]
            needed = wire.page_bytes() + await wire.servers_bytes(url, options.servers)
            lags = await _lags(browser, url, psql, ids[0], options.events)
            use = await _use(browser, url, psql, options.servers)
    finally:
        await psql.close()
    paints = [paint for paint, _ in loads]
    return {
        "first_paint_p50_ms": round(stage.percentile(paints, 0.5)),
        "first_paint_worst_ms": round(max(paints)),
        "bare_page_p50_ms": round(stage.percentile(bare, 0.5)),
        # What it takes: the page and the servers. The models follow at once, and most have come when it is seen.
        "first_paint_bytes": needed,
        "received_when_painted_bytes": max(received for _, received in loads),
        # From the answer to COMMIT to the frame that shows it.
        "event_to_pixel_p50_ms": round(stage.percentile(lags, 0.5)),
        "event_to_pixel_p95_ms": round(stage.percentile(lags, 0.95)),
        **use,
    }


async def _wait_for(port: int) -> None:
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError("The API did not begin to listen within 30 s.")


async def _load_bare(browser: Browser, url: str) -> float:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(url)
    took: float = await page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
    await context.close()
    return took


async def _load(browser: Browser, url: str) -> tuple[float, int]:
    """Open the page with an empty cache; return when it was painted, in ms, and how many bytes had come till then."""
    context = await browser.new_context()
    page = await context.new_page()
    received = 0

    def count(data: dict[str, Any]) -> None:
        nonlocal received
        received += data["encodedDataLength"]

    protocol = await context.new_cdp_session(page)
    await protocol.send("Network.enable")
    protocol.on("Network.dataReceived", count)
    await page.add_init_script(WATCH_FIRST)
    await page.goto(url, wait_until="commit")
    painted: float = await _wait_until(page, "() => window.paintedAt")
    sent = received
    await context.close()
    return painted, sent


async def _wait_until(page: Page, question: str, argument: str | None = None) -> Any:
    """Return the first answer that is not nothing; Playwright's own way breaks the page's security policy."""
    async with asyncio.timeout(60):
        while not (answer := await page.evaluate(question, argument)):  # noqa: ASYNC110 (a page sets no event)
            await asyncio.sleep(0.01)
    return answer


async def _lags(browser: Browser, url: str, psql: Connection, server_id: UUID, events: int) -> list[float]:
    page = await browser.new_page()
    await page.goto(url)
    await page.wait_for_selector("header .live.live")
    await page.wait_for_selector(f'tr[data-id="{server_id}"]')
    await page.evaluate(WATCH_ROW, str(server_id))
    committed = {}
    for slots in range(10, 10 + events):
        await psql.execute(SLOTS, server_id, slots)
        committed[f"{slots} slots"] = time.time() * 1000
        await _wait_until(page, "text => window.seen[text]", f"{slots} slots")
    seen = await page.evaluate("window.seen")
    await page.close()
    return [seen[text] - at for text, at in committed.items()]


async def _use(browser: Browser, url: str, psql: Connection, servers: int) -> dict[str, Any]:
    """Do what a person does, and note the longest task of each; 0 when none took 50 ms."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    protocol = await context.new_cdp_session(page)
    await protocol.send("Performance.enable")
    await page.add_init_script(WATCH_TASKS)
    figures: dict[str, Any] = {}

    async def note(name: str) -> None:
        await page.evaluate(SETTLED)
        figures[f"longest_task_{name}_ms"] = await page.evaluate(LONGEST_TASK)

    await page.goto(url)
    await page.wait_for_selector("header .live.live")
    await note("loading")
    await page.mouse.move(600, 400)
    for _ in range(WHEEL_TURNS):
        await page.mouse.wheel(0, 200)
    await note("scrolling")
    await page.get_by_role("searchbox").press_sequentially(f"gpu-{servers}", delay=50)
    await note("searching")
    await page.get_by_role("searchbox").fill("")
    await note("showing_all_again")
    await psql.execute(EDIT_ALL)
    await note("with_an_event_of_every_server")
    metrics = (await protocol.send("Performance.getMetrics"))["metrics"]
    figures["heap_mb"] = round(next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize") / 1e6)
    await context.close()
    return figures
