"""The page follows the fleet while it is open, whatever happens to servers, monitor and API."""

from playwright.async_api import BrowserContext, Page, expect

from monitor.postgres.database import Connection
from tests.dashboard.stage import Stage
from tests.fakes.ollama import FakeOllama

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, $2) RETURNING id"


async def test_a_server_is_added_seen_up_dying_with_its_cause_and_coming_back(page: Page, stage: Stage) -> None:
    async with stage.api(), stage.monitor(), FakeOllama() as server:
        await page.goto(stage.url)
        await expect(page.get_by_role("heading", name="No servers yet")).to_be_visible()
        await page.get_by_role("main").get_by_role("link", name="Add a server").click()
        await page.get_by_label("Name", exact=True).fill("gpu-1")
        await page.get_by_label("URL").fill(f"{server.url}/v1/")
        await page.get_by_role("button", name="Add", exact=True).click()
        await expect(page.get_by_role("heading", name="gpu-1")).to_be_visible()
        await page.get_by_role("link", name="Overview", exact=True).click()
        row = page.get_by_role("row").filter(has_text="gpu-1")
        await expect(row).to_contain_text("Up")
        await expect(page.get_by_role("heading", name="The server is up")).to_be_visible()
        await server.stop()
        await expect(row).to_contain_text("Down")
        await expect(row).to_contain_text("Nothing listens on its port")
        await expect(row).to_contain_text("Is Ollama running there")
        await expect(page.locator("#app > .heard")).to_contain_text("gpu-1 is down: Nothing listens on its port.")
        await server.start()
        await expect(row).to_contain_text("Up")
        await expect(row).not_to_contain_text("Nothing listens")


async def test_models_come_load_and_go_while_a_server_is_looked_at(page: Page, stage: Stage, psql: Connection) -> None:
    async with stage.api(), stage.monitor(), FakeOllama() as server:
        server.add_model("big:70b")
        server.load_model("big:70b", size=4_000_000_000, size_vram=3_000_000_000)
        server_id = await psql.fetchval(ADD, "gpu-1", server.url)
        await page.goto(f"{stage.url}/#/servers/{server_id}")
        row = page.get_by_role("row").filter(has_text="big:70b")
        await expect(row).to_contain_text("3.0 GB VRAM")
        await expect(row).to_contain_text("25 % on CPU")
        server.unload_model("big:70b")
        await page.get_by_role("button", name="Discover now").click()
        await expect(row).not_to_contain_text("VRAM")
        await row.get_by_role("button", name="Switch off").click()
        await expect(row).to_contain_text("switched off")
        await page.get_by_role("link", name="Models").click()
        await expect(page.get_by_role("row").filter(has_text="big:70b")).to_contain_text("gpu-1")


async def test_an_api_that_restarts_is_told_of_and_nothing_is_missed(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        await psql.execute(ADD, "gpu-1", "http://127.0.0.1:1")
        await page.goto(stage.url)
        await expect(page.get_by_role("link", name="gpu-1")).to_be_visible()
        await expect(page.locator("header .live")).to_contain_text("Live")
    await expect(page.locator(".banner")).to_contain_text("What you see is as of")
    await expect(page.locator("header .live")).to_contain_text("Reconnecting")
    # What was known stays on the page.
    await expect(page.get_by_role("link", name="gpu-1")).to_be_visible()
    await psql.execute("UPDATE ollama_servers SET name = 'renamed'")
    async with stage.api():
        await expect(page.get_by_role("link", name="renamed")).to_be_visible()
        await expect(page.locator("header .live")).to_contain_text("Live")
        await expect(page.locator(".banner")).to_contain_text("No monitor is at work")


async def test_a_browser_that_goes_offline_says_so_and_catches_up(
    page: Page, context: BrowserContext, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        await page.goto(stage.url)
        await expect(page.locator("header .live")).to_contain_text("Live")
        await context.set_offline(True)
        await expect(page.locator(".banner")).to_contain_text("This browser is offline.")
        await psql.execute(ADD, "gpu-1", "http://127.0.0.1:1")
        await context.set_offline(False)
        await expect(page.get_by_role("link", name="gpu-1")).to_be_visible()


async def test_a_server_that_is_removed_in_another_tab_is_gone_in_this_one(
    context: BrowserContext, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        server_id = await psql.fetchval(ADD, "gpu-1", "http://127.0.0.1:1")
        page, other = await context.new_page(), await context.new_page()
        await page.goto(f"{stage.url}/#/servers/{server_id}")
        await other.goto(f"{stage.url}/#/servers/{server_id}")
        await expect(page.get_by_role("heading", name="gpu-1")).to_be_visible()
        await other.get_by_role("button", name="Remove").click()
        await other.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(other.get_by_role("heading", name="No servers yet")).to_be_visible()
        await page.bring_to_front()
        await expect(page.get_by_role("heading", name="This server is not there")).to_be_visible()


async def test_the_event_log_shows_the_newest_first_follows_and_filters(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with stage.api():
        await psql.execute(ADD, "gpu-1", "http://127.0.0.1:1")
        await page.goto(f"{stage.url}/#/events")
        lines = page.locator("ol.events > li")
        await expect(lines).to_have_count(1)
        await psql.execute("UPDATE ollama_servers SET priority = 5")
        await expect(lines.first).to_contain_text("server.updated")
        await page.get_by_label("Type").select_option("server.created")
        await expect(lines).to_have_count(1)
        await expect(lines.first).to_contain_text("http://127.0.0.1:1")
