"""A big fleet: worst first, in pages, found by a word, and small on the wire."""

import pytest
from playwright.async_api import Page, expect

from monitor.postgres.database import Connection
from tests.dashboard import wire
from tests.dashboard.stage import Stage

COUNT = 500
# From a thousand on the history is only asked for where it is on the screen.
MANY, MANY_MORE = 1_200, 10_000
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
MODELS = """
INSERT INTO ollama_models (server_id, name, model_name)
SELECT server.id, model, model FROM ollama_servers AS server,
    unnest(ARRAY['llama3.2:3b', 'qwen3:8b', 'tuned-' || server.name]) AS model
"""
EDIT_ALL = "UPDATE ollama_servers SET max_concurrent = 7"
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


async def test_a_great_fleet_is_paged_searched_followed_and_told_of(
    page: Page, stage: Stage, psql: Connection, pytestconfig: pytest.Config
) -> None:
    count = MANY_MORE if pytestconfig.getoption("--long") else MANY
    await psql.execute(FLEET, count)
    await psql.execute(MODELS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    async with stage.api():
        await page.goto(stage.url)
        rows, heading = page.locator("tr.server"), page.get_by_role("heading", level=1)
        await expect(heading).to_have_text(f"All {count:,} servers are up")
        await expect(rows.locator("svg.uptime")).to_have_count(100)
        # By the keyboard, which stays where it was; and those who only hear it are told.
        better = page.get_by_role("button", name="Better")
        await better.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".pager [role=status]")).to_have_text(f"101 – 200 of {count:,}")
        await expect(better).to_be_focused()
        await expect(rows.locator("svg.uptime")).to_have_count(100)
        assert all("server_id=" in url for url in asked if "/api/history" in url)
        await page.get_by_role("searchbox").fill(f"TUNED-gpu-{count}")
        await expect(rows).to_have_count(1)
        await expect(page.locator("main > .heard")).to_have_text(f"1 of {count:,} servers found")
        await psql.execute(EDIT_ALL)
        await expect(rows).to_contain_text("7 slots")
        await page.get_by_role("searchbox").fill("")
        await psql.execute(FALL)
        await expect(rows.first).to_contain_text("gpu-321")
        await page.get_by_role("link", name="Models", exact=True).click()
        await expect(heading).to_have_text(f"{count + 2:,} models")
        await page.get_by_role("link", name="Events", exact=True).click()
        await page.get_by_role("combobox", name="Server").fill("gpu-321")
        await expect(page.locator("ol.events > li").first).to_contain_text("server.down")
        await expect(page.locator("ol.events > li")).to_have_count(6)


async def test_page_and_fleet_are_small_on_the_wire(stage: Stage, psql: Connection) -> None:
    await psql.execute(FLEET, COUNT)
    async with stage.api():
        assert wire.page_bytes() + await wire.servers_bytes(f"{stage.url}/", COUNT) <= MOST_BYTES
