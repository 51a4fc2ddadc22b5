"""What the single pages tell of real servers, found out by a real monitor."""

import re
from contextlib import AsyncExitStack

from playwright.async_api import Page, expect

from monitor.ollama.prober import VERSION_PATH
from monitor.postgres.database import Connection
from tests.dashboard.stage import Stage
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama

ADD = "INSERT INTO ollama_servers (name, url, priority) VALUES ($1, $2, $3) RETURNING id"
HOSTILE = "<img src=x onerror=\"window.hacked='real'\">"
RIGHT_TO_LEFT = "نموذج:8b"


async def _fakes(stack: AsyncExitStack, psql: Connection, *names: str) -> list[FakeOllama]:
    servers = [await stack.enter_async_context(FakeOllama()) for _ in names]
    for priority, (name, server) in enumerate(zip(names, servers, strict=True)):
        server.models, server.loaded = {}, {}
        server.add_model("qwen3:8b", size=5_200_000_000)
        await psql.execute(ADD, name, server.url, -priority)
    return servers


async def _discover(page: Page, stage: Stage) -> None:
    """Have all servers listed now, not at their time."""
    for server in (await (await page.request.get(f"{stage.url}/api/servers")).json())["items"]:
        assert (await page.request.post(f"{stage.url}/api/servers/{server['id']}/discover")).ok


async def test_the_catalogue_tells_which_model_is_where_loaded_where_and_drifting(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with AsyncExitStack() as stack:
        first, second = await _fakes(stack, psql, "gpu-1", "gpu-2")
        second.add_model("gemma3:12b")
        second.load_model("gemma3:12b", size=8_000_000_000, size_vram=6_000_000_000)
        await stack.enter_async_context(stage.api())
        await stack.enter_async_context(stage.monitor())
        await page.goto(f"{stage.url}/#/models")
        shared = page.get_by_role("row").filter(has_text="qwen3:8b")
        lonely = page.get_by_role("row").filter(has_text="gemma3:12b")
        await expect(page.get_by_role("heading", level=1)).to_have_text("2 models")
        await expect(shared.get_by_role("cell").first.get_by_role("link")).to_have_text(["gpu-1", "gpu-2"])
        await expect(shared).to_contain_text("5.2 GB")
        await expect(shared).not_to_contain_text("digests")
        await expect(lonely).to_contain_text(re.compile(r"gpu-2 6\.0 GB\s+◧ partly on CPU"))
        first.change_model("qwen3:8b")
        await _discover(page, stage)
        await expect(shared).to_contain_text("2 different digests")
        await page.get_by_role("searchbox").fill("QWEN")
        await expect(lonely).to_have_count(0)
        # Pulled there, too.
        second.change_model("qwen3:8b")
        await _discover(page, stage)
        await expect(shared).not_to_contain_text("digests")
        await first.stop()
        await second.stop()
        await expect(shared.locator(".place.down")).to_have_count(2)
        await shared.get_by_role("link", name="Which server for qwen3:8b?").click()
        await expect(page.locator(".note.bad")).to_contain_text("qwen3:8b")
        # Of the second one it is known that it has VRAM, which weighs more than priority.
        await expect(page.locator(".passed li")).to_contain_text(re.compile(r"refused.*gpu-2\s+gpu-1", re.DOTALL))


async def test_which_server_is_answered_by_its_rule_with_a_reason_for_each_other_one(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with AsyncExitStack() as stack:
        first, second = await _fakes(stack, psql, "gpu-1", "gpu-2")
        second.add_model("gemma3:12b")
        await stack.enter_async_context(stage.api())
        await stack.enter_async_context(stage.monitor())
        await page.goto(f"{stage.url}/#/models")
        await expect(page.get_by_role("row").filter(has_text="qwen3:8b").locator(".place.up")).to_have_count(2)
        await page.goto(f"{stage.url}/#/resolve")
        model, answer = page.get_by_label("Model", exact=True), page.get_by_label("The answer")
        await expect(page.locator("datalist option")).to_have_count(2)
        await model.fill("qwen3:8b")
        await page.keyboard.press("Enter")
        await expect(answer).to_contain_text("gpu-1")
        await expect(answer).to_contain_text("Rule 2")
        await expect(answer).to_contain_text(first.url)
        await expect(page.locator(".passed li").filter(has_text="gpu-2")).to_contain_text("priority")
        await model.fill("gemma3:12b")
        await page.keyboard.press("Enter")
        await expect(answer).to_contain_text("gpu-2")
        await expect(page.locator(".passed li").filter(has_text="gpu-1")).to_be_visible()
        await model.fill("gemma3:13b")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="gemma3:12b").click()
        await expect(answer).to_contain_text("gpu-2")
        await expect(model).to_have_value("gemma3:12b")
        await model.fill("")
        await page.keyboard.press("Enter")
        await expect(answer).to_contain_text("Rule 3")


async def test_a_servers_page_tells_its_history_its_changes_and_its_last_trouble(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with AsyncExitStack() as stack:
        (server,) = await _fakes(stack, psql, "gpu-1")
        await stack.enter_async_context(stage.api())
        await stack.enter_async_context(stage.monitor())
        await page.goto(stage.url)
        await page.get_by_role("link", name="gpu-1").click()
        verdict, chart = page.get_by_label("Now", exact=True), page.locator("#chart canvas")
        await expect(verdict).to_contain_text("Up")
        await expect(chart).to_be_visible()
        # Of a day hardly anything is known, and the page says so.
        day = page.get_by_role("button", name=re.compile("^24 hours"))
        await expect(day).to_contain_text(re.compile(r"100 %\s+of \d+ s known"))
        # Its list of models stays, so that it is the check that hears of it and no discovery before it.
        server.behave(behaviours.status(429), path=VERSION_PATH)
        await expect(verdict).to_contain_text("It is alive but has no room")
        await server.stop()
        await expect(verdict).to_contain_text("Nothing listens on its port")
        await expect(verdict).to_contain_text("Next: Is Ollama running there")
        changes = page.locator(".transitions li")
        await expect(changes).to_contain_text(["Nothing listens on its port", "It is alive but has no room", "Up"])
        server.behave_well()
        await server.start()
        await expect(changes).to_have_count(4)
        await expect(verdict).to_contain_text(re.compile(r"Last trouble\s*Nothing listens on its port"))
        for name in ("1 hour", "7 days", "30 days"):
            button = page.get_by_role("button", name=re.compile(f"^{name}"))
            await button.click()
            await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#chart canvas")).to_have_count(1)


async def test_what_a_hostile_server_sends_is_only_shown_and_keeps_its_direction_to_itself(
    page: Page, stage: Stage, psql: Connection
) -> None:
    async with AsyncExitStack() as stack:
        (server,) = await _fakes(stack, psql, "gpu-1")
        server.version = HOSTILE
        for name in (HOSTILE, RIGHT_TO_LEFT):
            server.add_model(name)
            server.load_model(name)
        await stack.enter_async_context(stage.api())
        await stack.enter_async_context(stage.monitor())
        await page.goto(stage.url)
        row = page.get_by_role("row").filter(has_text="gpu-1")
        await expect(row.locator(".version")).to_contain_text("<img")
        await expect(row.locator(".loaded bdi", has_text=RIGHT_TO_LEFT)).to_have_count(1)
        await page.get_by_role("link", name="gpu-1").click()
        await expect(page.get_by_label("Now", exact=True)).to_contain_text("<img")
        for place in ("#/models", "#/events", "#/resolve"):
            await page.evaluate("place => location.hash = place", place)
            await expect(page.locator("main h1")).to_be_focused()
            if place != "#/resolve":
                await expect(page.locator("bdi", has_text=RIGHT_TO_LEFT).first).to_be_visible()
                await expect(page.locator("bdi", has_text="<img").first).to_be_visible()
            assert await page.evaluate("window.hacked") is None
            assert await page.locator("main img").count() == 0
