"""What a person enters: shown at the field where it is wrong, never over what another one has saved."""

import re

from playwright.async_api import Page, Route, expect

from monitor.postgres.database import Connection
from tests.dashboard.stage import Stage

ADD = "INSERT INTO ollama_servers (name, url, labels) VALUES ($1, $2, $3) RETURNING id"


async def test_what_is_wrong_is_said_at_its_field(page: Page, stage: Stage, psql: Connection) -> None:
    async with stage.api():
        await psql.execute(ADD, "gpu-1", "http://127.0.0.1:1", {})
        await page.goto(f"{stage.url}/#/servers/new")
        url = page.get_by_label("URL")
        await page.get_by_label("Name", exact=True).fill("gpu-1")
        await url.fill("nowhere")
        await page.get_by_label("Slots").fill("many")
        await page.get_by_role("button", name="Add", exact=True).click()
        await expect(url).to_be_focused()
        await expect(url).to_have_accessible_description(re.compile("The URL must begin with http://"))
        await expect(page.get_by_label("Slots")).to_have_attribute("aria-invalid", "true")
        await url.fill("http://127.0.0.1:2")
        await page.get_by_label("Slots").fill("2")
        await page.get_by_role("button", name="Add", exact=True).click()
        await expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
        await expect(page.get_by_role("alert")).to_contain_text("gpu-1")


async def test_an_edit_sends_what_was_changed_and_not_over_what_another_one_saved(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        server_id = await psql.fetchval(ADD, "gpu-1", "http://127.0.0.1:1", {"site": "berlin", "rack": "7"})
        await page.goto(f"{stage.url}/#/servers/{server_id}/edit")
        await page.get_by_label("Labels").fill("site=oslo")
        await psql.execute("UPDATE ollama_servers SET priority = 7")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed this server")
        await page.get_by_role("button", name="Load it as it is now").click()
        await expect(page.get_by_label("Priority")).to_have_value("7")
        await expect(page.get_by_label("Labels")).to_have_value("rack=7, site=berlin")
        await page.get_by_label("Labels").fill("site=oslo")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="gpu-1", exact=True)).to_be_visible()
        saved = await psql.fetchrow("SELECT labels, priority FROM ollama_servers")
        assert tuple(saved or ()) == ({"site": "oslo"}, 7)


async def test_a_token_is_asked_for_kept_for_the_tab_and_asked_for_again_when_it_is_refused(
    page: Page, stage: Stage, psql: Connection
) -> None:
    wanted = "Bearer first"

    async def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == wanted:
            await route.continue_()
        else:
            problem = {"status": 401, "code": "token_invalid", "detail": "The token is not known."}
            await route.fulfill(status=401, json=problem)

    async with stage.api():
        server_id = await psql.fetchval(ADD, "gpu-1", "http://127.0.0.1:1", {})
        await page.route("**/api/**", guard)
        await page.goto(stage.url)
        dialog = page.get_by_role("dialog", name="The API asks for a token")
        await dialog.get_by_label("Token").fill("first")
        await dialog.get_by_role("button", name="Go on").click()
        await expect(page.get_by_role("link", name="gpu-1")).to_be_visible()
        await expect(dialog).to_have_count(0)
        wanted = "Bearer second"
        await page.goto(f"{stage.url}/#/servers/{server_id}")
        await expect(dialog).to_contain_text("The token is not known.")
        await dialog.get_by_label("Token").fill("second")
        await dialog.get_by_role("button", name="Go on").click()
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Deactivate").click()
        await expect(page.get_by_role("button", name="Activate", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Token", exact=True).click()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        assert "second" not in page.url
        assert await page.evaluate("localStorage.length") == 0
