"""Names that servers and people choose are shown as they are, and do nothing."""

from playwright.async_api import Page, expect

from monitor.postgres.database import Connection
from tests.dashboard.stage import Stage

HOSTILE = (
    "<img src=x onerror=\"window.hacked='img'\">",
    "<script>window.hacked='script'</script>",
    '"><svg onload="window.hacked=\'svg\'">',
    "' onfocus=window.hacked='focus' autofocus x='",
    "${window.hacked='template'}",
    "javascript:window.hacked='link'",
)
ADD_SERVER = """
INSERT INTO ollama_servers (name, url, labels, capabilities)
VALUES ($1, $2, $3, $4) RETURNING id
"""
MARK_DOWN = """
UPDATE ollama_servers SET status = 'down', status_reason = 'refused', status_detail = left($2, 200), server_version = $2
WHERE id = $1
"""
ADD_MODEL = """
INSERT INTO ollama_models (server_id, name, model_name, family, parameter_size, quantization, remote_host, digest)
VALUES ($1, $2, $2, $2, $2, $2, $2, $2)
"""
# Whatever follows it would be written from right to left, if it did not keep to itself.
TURNED = "\u202egpu-1"
NAMES = ("خادم-الذكاء", "שרת", "東京-gpu", TURNED, "🦙🦙", "ñandú", "a" * 200)


async def _add(psql: Connection, name: str, number: int) -> str:
    server_id = await psql.fetchval(ADD_SERVER, name, f"http://gpu-{number}:11434", {"note": name}, [name])
    await psql.execute(MARK_DOWN, server_id, name)
    await psql.execute(ADD_MODEL, server_id, name)
    return str(server_id)


async def test_a_name_made_to_be_run_is_only_shown(page: Page, stage: Stage, psql: Connection) -> None:
    ids = [await _add(psql, name, number) for number, name in enumerate(HOSTILE)]
    single = [f"#/servers/{server_id}{rest}" for rest in ("", "/edit") for server_id in ids]
    async with stage.api():
        await page.goto(stage.url)
        for place in ["#/models", "#/events", "#/resolve", *single, "#/"]:
            await page.evaluate("place => location.hash = place", place)
            await expect(page.locator("main h1")).to_be_focused()
            await expect(page.locator("main .starting")).to_have_count(0)
            if place in {"#/", "#/models"}:
                for name in HOSTILE:
                    await expect(page.get_by_text(name, exact=True).first).to_be_visible()
            assert await page.evaluate("window.hacked") is None
            assert await page.locator("a[href^='javascript'], main img, main script").count() == 0


async def test_names_in_every_script_are_shown_whole_and_keep_to_themselves(
    page: Page, stage: Stage, psql: Connection
) -> None:
    for number, name in enumerate(NAMES):
        await _add(psql, name, number)
    async with stage.api():
        await page.set_viewport_size({"width": 390, "height": 844})
        await page.goto(stage.url)
        for name in NAMES:
            link = page.locator("tr th a", has_text=name)
            await expect(link).to_have_count(1)
            assert await link.locator("bdi").count() == 1
        width, shown = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= shown
        await page.get_by_role("link", name=TURNED).click()
        await page.get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("dialog").locator("bdi")).to_have_text(TURNED)
        await page.get_by_role("button", name="Remove", exact=True).last.click()
        await expect(page.locator(".notice bdi")).to_have_text(TURNED)
