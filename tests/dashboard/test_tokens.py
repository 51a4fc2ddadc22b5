"""A token that the page needs: asked for, kept for the tab, and asked for again when it is taken back."""

from playwright.async_api import Locator, Page, expect

from monitor.postgres.database import Connection
from tests.dashboard.stage import Stage

ADD = "INSERT INTO ollama_servers (name, url, status, is_available) VALUES ($1, $2, 'up', true) RETURNING id"
FALL = "UPDATE ollama_servers SET status = 'down', status_reason = 'refused'"


async def _type(dialog: Locator, token: str) -> None:
    await dialog.get_by_label("Token").fill(token)
    await dialog.get_by_role("button", name="Go on").click()


async def _give(dialog: Locator, token: str) -> None:
    await _type(dialog, token)
    await expect(dialog).to_have_count(0)


async def test_a_page_whose_token_is_revoked_shows_the_past_as_such_and_goes_on_with_another_one(
    page: Page, stage: Stage, psql: Connection
) -> None:
    await psql.execute(ADD, "gpu-1", "http://127.0.0.1:1")
    dialog = page.get_by_role("dialog", name="The API asks for a token")
    row, live = page.get_by_role("row").filter(has_text="gpu-1"), page.locator("header .live")
    async with stage.api():
        await page.goto(stage.url)
        await expect(row).to_contain_text("Up")
        # The first token ends the time in which nobody needed one.
        first = await stage.command("token", "create", "first", "--scope", "read")
        await expect(dialog).to_contain_text("ollama-fleet token create")
        await _give(dialog, first)
        await expect(live).to_contain_text("Live")
        await expect(page.locator("main.past")).to_have_count(0)
        await stage.command("token", "revoke", "first")
        await expect(dialog).to_contain_text("revoked")
        await dialog.get_by_role("button", name="Not now").click()
        await expect(live).to_contain_text("No access")
        await expect(page.locator(".banner")).to_contain_text("revoked")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("as of")
        await psql.execute(FALL)
        second = await stage.command("token", "create", "second", "--scope", "write")
        await expect(row).to_contain_text("stale")
        await expect(row).to_contain_text("Up")
        await page.get_by_role("button", name="Token", exact=True).click()
        await _give(dialog, second)
        await expect(row).to_contain_text("Nothing listens on its port")
        await expect(page.locator(".banner")).not_to_contain_text("access")
        await expect(page.get_by_role("heading", level=1)).not_to_contain_text("as of")
        assert second not in page.url
        assert await page.evaluate("localStorage.length") == 0


async def test_a_token_that_may_only_read_is_told_what_it_lacks_and_can_be_changed(
    page: Page, stage: Stage, psql: Connection
) -> None:
    server_id = await psql.fetchval(ADD, "gpu-1", "http://127.0.0.1:1")
    reader = await stage.command("token", "create", "reader", "--scope", "read")
    dialog = page.get_by_role("dialog", name="The API asks for a token")
    async with stage.api():
        await page.goto(f"{stage.url}/#/servers/{server_id}")
        await _type(dialog, "no-token-at-all")
        await expect(dialog).to_contain_text("does not know this token")
        await _give(dialog, reader)
        await page.get_by_role("button", name="Deactivate").click()
        await expect(page.locator(".verdict .note")).to_contain_text("--scope write")
        await page.get_by_role("button", name="Token", exact=True).click()
        await expect(dialog).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Token", exact=True).click()
        await _give(dialog, await stage.command("token", "create", "writer", "--scope", "write"))
        await page.get_by_role("button", name="Deactivate").click()
        await expect(page.get_by_role("button", name="Activate", exact=True)).to_be_visible()
