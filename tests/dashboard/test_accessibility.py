"""No page keeps anybody out: axe finds nothing serious, and the keyboard reaches everything."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect

from monitor.postgres.database import Connection
from tests.dashboard.stage import Stage

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES = [
    *("", "#/servers/new", "#/servers/{id}", "#/servers/{id}/edit", "#/servers/nobody", "#/models", "#/events"),
    *("#/resolve", "#/resolve?model=llama3:8b&candidates=2", "#/resolve?model=llama3:9b"),
]
NARROW: ViewportSize = {"width": 390, "height": 844}
FLEET = """
WITH added AS (
    INSERT INTO ollama_servers (name, url, is_default) VALUES
        ('gpu-1', 'http://gpu-1:11434', true), ('gpu-2', 'http://gpu-2:11434', false),
        ('gpu-3', 'http://gpu-3:11434', false)
    RETURNING id
)
INSERT INTO ollama_models (server_id, name, model_name, size_bytes, size_vram, loaded_size_bytes)
SELECT id, 'llama3:8b', 'llama3:8b', 5000000000, 3000000000, 6000000000 FROM added
"""
FALL = """
UPDATE ollama_servers SET status = 'down', status_reason = 'refused', status_detail = 'Nothing listens.'
WHERE name = 'gpu-1' RETURNING id
"""
SUSPECT = """
UPDATE ollama_servers SET status = 'up', status_reason = 'ok', last_checked_at = now() + interval '1 hour',
    suspect_since = now(), suspect_reason = 'timeout'
WHERE name = 'gpu-2'
"""
SERIOUS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)"""


async def _fleet(psql: Connection) -> str:
    await psql.execute(FLEET)
    await psql.execute(SUSPECT)
    await psql.execute("UPDATE ollama_servers SET is_active = false WHERE name = 'gpu-3'")
    return str(await psql.fetchval(FALL))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_on_any_page(
    scheme: Literal["light", "dark"], browser: Browser, stage: Stage, psql: Connection
) -> None:
    server_id = await _fleet(psql)
    # The page's own rules let neither axe nor its inline styles in.
    context = await browser.new_context(bypass_csp=True, color_scheme=scheme)
    await context.add_init_script(path=AXE)
    page = await context.new_page()
    found = {}
    async with stage.api():
        await page.goto(stage.url)
        await expect(page.get_by_role("link", name="gpu-1")).to_be_visible()
        for place in PAGES:
            await page.evaluate("place => location.hash = place", place.format(id=server_id))
            if place:
                await expect(page.locator("main h1")).to_be_focused()
            await expect(page.locator("main .starting")).to_have_count(0)
            found[place] = await page.evaluate(SERIOUS)
        # Where tables are cards.
        await page.set_viewport_size(NARROW)
        for place in ("#/models", "#/"):
            await page.evaluate("place => location.hash = place", place)
            await expect(page.locator("main h1")).to_be_focused()
            found[f"{place} on a phone"] = await page.evaluate(SERIOUS)
        found |= {name: await page.evaluate(SERIOUS) async for name in _in_trouble(page, context)}
    await context.close()
    assert {place: problems for place, problems in found.items() if problems} == {}


async def _in_trouble(page: Page, context: BrowserContext) -> AsyncIterator[str]:
    """Bring the page into what is seldom seen, one thing after the other."""
    await page.get_by_role("searchbox").fill("nothing is called like that")
    await expect(page.locator(".nothing")).to_be_visible()
    yield "nothing found"
    await page.evaluate("location.hash = '#/servers/new'")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("[aria-invalid=true]").first).to_be_visible()
    yield "a refused form"
    await page.evaluate("location.hash = '#/'")
    await page.get_by_role("button", name="Show all").click()
    await context.set_offline(True)
    await expect(page.locator("main.past")).to_be_visible()
    yield "offline"


async def test_everything_is_reached_by_the_keyboard_and_a_dialog_gives_the_focus_back(
    page: Page, stage: Stage, psql: Connection
) -> None:
    server_id = await _fleet(psql)
    async with stage.api():
        await page.goto(stage.url)
        await expect(page.get_by_role("link", name="gpu-1")).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()
        await page.evaluate(f"location.hash = '#/servers/{server_id}'")
        remove = page.get_by_role("button", name="Remove")
        await expect(page.locator("main h1")).to_be_focused()
        await remove.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Remove gpu-1?")
        await expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(remove).to_be_focused()
        assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 3
