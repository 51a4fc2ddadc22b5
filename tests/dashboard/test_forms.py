"""What a person enters: shown at the field where it is wrong, never over what another one has saved."""

import re

from playwright.async_api import BrowserContext, Page, expect

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
        await page.get_by_label("Site").fill("oslo")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="gpu-1", exact=True)).to_be_visible()
        await expect(page.locator("#settings + dl")).to_contain_text(re.compile(r"Site\s*oslo"))
        saved = await psql.fetchrow("SELECT labels, priority, site FROM ollama_servers")
        assert tuple(saved or ()) == ({"site": "oslo"}, 7, "oslo")


async def test_the_api_of_a_server_is_chosen_and_what_is_not_chosen_is_not_sent(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        server_id = await psql.fetchval(ADD, "gpu-1", "http://127.0.0.1:1", {})
        await psql.execute("UPDATE ollama_servers SET api_seen = 'native'")
        for label, chosen, stored, shown in (
            (None, "auto", "auto", "Ollama's own"),
            ("OpenAI-style only", "auto", "openai", "OpenAI-style only, as you say"),
            (None, "openai", "openai", "OpenAI-style only, as you say"),
            ("Find out", "openai", "auto", "OpenAI-style only"),
        ):
            await page.goto(f"{stage.url}/#/servers/{server_id}/edit")
            await page.get_by_text("When it is checked, and more").click()
            choice = page.get_by_label("API", exact=True)
            await expect(choice).to_have_value(chosen)
            if label is not None:
                await choice.select_option(label=label)
            await page.get_by_role("button", name="Save").click()
            await expect(page.get_by_role("heading", name="gpu-1", exact=True)).to_be_visible()
            fact = page.get_by_role("term").filter(has_text=re.compile("^API$")).locator("+ dd")
            await expect(fact).to_have_text(shown)
            assert await psql.fetchval("SELECT api FROM ollama_servers") == stored


async def test_a_form_whose_server_is_removed_in_another_tab_says_so_and_keeps_what_was_typed(
    context: BrowserContext, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        server_id = await psql.fetchval(ADD, "gpu-1", "http://127.0.0.1:1", {})
        page, other = await context.new_page(), await context.new_page()
        await page.goto(f"{stage.url}/#/servers/{server_id}/edit")
        await page.get_by_label("Name", exact=True).fill("gpu-1b")
        await other.goto(f"{stage.url}/#/servers/{server_id}")
        await other.get_by_role("button", name="Remove").click()
        await other.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(other.get_by_role("heading", name="No servers yet")).to_be_visible()
        await page.bring_to_front()
        await expect(page.get_by_role("alert")).to_contain_text("was removed")
        await expect(page.get_by_label("Name", exact=True)).to_have_value("gpu-1b")
        await page.get_by_role("button", name="Add it again").click()
        await expect(page.get_by_role("heading", name="gpu-1b", exact=True)).to_be_visible()
    assert await psql.fetchval("SELECT name FROM ollama_servers WHERE id <> $1", server_id) == "gpu-1b"
