"""A big fleet: worst first, in pages, found by a word, and small on the wire."""

from playwright.async_api import Page, expect

from monitor.postgres.database import Connection
from tests.dashboard import wire
from tests.dashboard.stage import Stage

COUNT = 500
MOST_BYTES = 100_000
# As a monitor leaves them: every server with times, a latency and a version of its own.
FLEET = """
INSERT INTO ollama_servers (name, url, status, status_reason, is_available, server_version, latency_ms,
                            last_checked_at, next_check_at, models_listed_at)
SELECT 'gpu-' || n, 'http://10.0.' || n / 250 || '.' || n % 250 + 1 || ':11434', 'up', 'ok', true, '0.12.6',
       random() * 9, now() - random() * interval '15 s', now() + random() * interval '15 s',
       now() - random() * interval '60 s'
FROM generate_series(1, $1::int) AS n
"""
FALL = "UPDATE ollama_servers SET status = 'down', status_reason = 'timeout' WHERE name = 'gpu-321'"


async def test_the_worst_comes_first_the_rest_in_pages_and_anything_by_a_word(
    page: Page, stage: Stage, psql: Connection
) -> None:
    await psql.execute(FLEET, COUNT)
    async with stage.api():
        await page.goto(stage.url)
        rows = page.locator("tr.server")
        await expect(rows).to_have_count(100)
        await psql.execute(FALL)
        await expect(rows.first).to_contain_text("gpu-321")
        await expect(page.get_by_role("heading", level=1)).to_have_text("1 down of 500 servers")
        await page.get_by_role("button", name="Better").click()
        await expect(page.locator(".pager")).to_contain_text("101 – 200 of 500")
        await page.get_by_role("searchbox").fill("10.0.1.25")
        await expect(rows).to_have_count(2)
        await page.get_by_role("searchbox").fill("")
        await page.get_by_role("button", name="Down 1").click()
        await expect(rows).to_have_count(1)


async def test_page_and_fleet_are_small_on_the_wire(stage: Stage, psql: Connection) -> None:
    await psql.execute(FLEET, COUNT)
    async with stage.api():
        assert wire.page_bytes() + await wire.servers_bytes(f"{stage.url}/", COUNT) <= MOST_BYTES
