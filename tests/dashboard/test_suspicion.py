"""What comes before a verdict: suspect servers, and a monitor that takes itself to be cut off."""

import re

from playwright.async_api import Page, expect

from monitor.postgres.database import Connection
from tests.api import stand_in
from tests.dashboard.stage import Stage

# Checked so late that they stay fresh while a test looks at them.
FLEET = """
INSERT INTO ollama_servers (name, url, status, status_reason, is_available, last_checked_at, priority)
SELECT name, 'http://' || name || ':11434', status, reason, status <> 'down', now() + interval '1 hour', priority
FROM (VALUES ('anna', 'up', 'ok', 0), ('berta', 'degraded', 'busy', 0), ('clara', 'down', 'refused', 0),
             ('dora', 'up', 'ok', 9)) AS one (name, status, reason, priority)
"""
MODELS = "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'qwen3:8b', 'qwen3:8b' FROM ollama_servers"
SUSPECT = """
UPDATE ollama_servers SET suspect_since = now() - interval '3 s', suspect_reason = 'timeout', suspicion_told = $2
WHERE name = $1
"""
CLEAR = "UPDATE ollama_servers SET suspect_since = NULL WHERE name = $1"
FALL = "UPDATE ollama_servers SET status = 'down', status_reason = 'timeout' WHERE name = $1"
IN_ORDER = ["clara", "dora", "berta", "anna"]


async def test_a_suspect_server_comes_after_those_that_are_down_with_since_when_and_of_what(
    page: Page, stage: Stage, psql: Connection
) -> None:
    await psql.execute(FLEET)
    async with stage.api(), stand_in.at_work(psql):
        await page.goto(stage.url)
        row, names = page.locator("tr.server").filter(has_text="dora"), page.locator("tr.server .who a")
        await expect(names).to_have_text(["clara", "berta", "anna", "dora"])
        await psql.execute(SUSPECT, "dora", True)
        await expect(names).to_have_text(IN_ORDER)
        await expect(page.get_by_role("heading", level=1)).to_have_text("1 down, 1 suspect, 1 degraded of 4 servers")
        await expect(row).to_contain_text(re.compile(r"Up\s*suspect"))
        await expect(row).to_contain_text(
            re.compile(
                r"Suspect for \d+ s: It takes the connection but does not answer in time\s*A verdict comes within"
            )
        )
        await expect(page.locator("#app > .heard")).to_contain_text("dora is suspect: It takes the connection")
        await page.get_by_role("button", name="Suspect 1").click()
        await expect(names).to_have_text(["dora"])
        await page.get_by_role("button", name="All 4").click()
        # As after a reload.
        await page.reload()
        await expect(names).to_have_text(IN_ORDER)
        await psql.execute(CLEAR, "dora")
        await expect(names).to_have_text(["clara", "berta", "anna", "dora"])
        await expect(row).not_to_contain_text("suspect")
        await expect(page.locator("#app > .heard")).to_contain_text("dora is not suspect any more.")


async def test_a_verdict_ends_a_suspicion_on_the_servers_page(page: Page, stage: Stage, psql: Connection) -> None:
    await psql.execute(FLEET)
    await psql.execute(SUSPECT, "dora", True)
    async with stage.api(), stand_in.at_work(psql):
        await page.goto(stage.url)
        await page.get_by_role("link", name="dora").click()
        verdict = page.get_by_label("Now", exact=True)
        await expect(verdict).to_contain_text(re.compile(r"Suspect for \d+ s: It takes the connection"))
        await expect(verdict).to_contain_text("A verdict comes within seconds, or the suspicion clears by itself.")
        await psql.execute(FALL, "dora")
        await expect(verdict).to_contain_text("Down")
        await expect(verdict).not_to_contain_text(re.compile("suspect", re.IGNORECASE))


async def test_the_log_tells_it_in_words(page: Page, stage: Stage, psql: Connection) -> None:
    await psql.execute(FLEET)
    async with stage.api(), stand_in.at_work(psql):
        await page.goto(f"{stage.url}/#/events?type=server.suspected")
        lines = page.locator("ol.events > li")
        await psql.execute(SUSPECT, "dora", True)
        await expect(lines.first).to_contain_text(
            re.compile(
                r"server\.suspected\s+dora\s+It takes the connection but does not answer in time – no verdict yet"
            )
        )
        await page.get_by_label("Type").select_option("")
        await psql.execute(CLEAR, "dora")
        await expect(lines.first).to_contain_text(
            re.compile(r"server\.cleared\s+dora\s+not suspect any more, after \d")
        )
        await stand_in.say(psql, "monitor.isolated")
        await expect(lines.first).to_contain_text(
            "3 of 4 servers stopped answering at once (timeout); verdicts are held until"
        )
        await stand_in.say(psql, "monitor.recovered", outage=False)
        await expect(lines.first).to_contain_text(
            "it was no outage: 3 of 4 servers stopped answering at once (timeout)"
        )


async def test_while_the_monitor_is_isolated_a_banner_says_so_live_and_after_a_reload(
    page: Page, stage: Stage, psql: Connection
) -> None:
    await psql.execute(FLEET)
    banner = page.get_by_role("status").filter(has=page.locator(".banner"))
    async with stage.api(), stand_in.at_work(psql):
        await page.goto(stage.url)
        await expect(page.get_by_role("link", name="anna")).to_be_visible()
        await expect(page.locator(".banner")).to_have_count(0)
        await stand_in.say(psql, "monitor.isolated")
        told = re.compile(
            r"3 of 4 servers stopped answering at once \(timeout\)\. Verdicts are held until \d\d:\d\d:\d\d\. See"
        )
        await expect(banner).to_contain_text(told)
        await page.reload()
        await expect(banner).to_contain_text(told)
        await stand_in.say(psql, "monitor.recovered", outage=True)
        await expect(page.locator(".banner")).to_have_count(0)
        # By faults of its own it lasts longer than anything is held.
        await stand_in.say(psql, "monitor.isolated", cause="local", since_seconds=60)
        await expect(banner).to_contain_text("Verdicts are held no more, but the monitor still has this trouble.")


async def test_which_server_tells_what_is_suspect_who_comes_next_and_the_step_at_which_others_lost(
    page: Page, stage: Stage, psql: Connection
) -> None:
    await psql.execute(FLEET)
    await psql.execute(MODELS)
    await psql.execute(SUSPECT, "dora", True)
    async with stage.api(), stand_in.at_work(psql):
        await page.goto(f"{stage.url}/#/resolve?model=qwen3:8b&candidates=3")
        answer, passed = page.get_by_label("The answer"), page.locator("ul.passed li")
        await expect(answer).to_contain_text("anna")
        await expect(page.get_by_role("list", name="Next best").get_by_role("link")).to_have_text(["berta", "dora"])
        await expect(passed.filter(has_text="dora")).to_contain_text(
            re.compile(r"is suspect \(timeout\)\s+step: suspect")
        )
        await expect(passed.filter(has_text="clara")).to_contain_text(
            re.compile(r"is down \(refused\)\s+step: available")
        )
        await psql.execute("UPDATE ollama_servers SET labels = '{\"rack\": \"7\"}' WHERE name = 'dora'")
        await page.get_by_label("Labels").fill("rack=7")
        await page.get_by_role("button", name="Ask").click()
        await expect(answer).to_contain_text("It is suspect: bad answers have been seen, and there is no verdict yet.")
        await expect(page).to_have_url(re.compile(r"label=rack%3D7"))
        await page.get_by_label("Candidates").fill("many")
        await page.get_by_role("button", name="Ask").click()
        await expect(page.get_by_label("Candidates")).to_have_attribute("aria-invalid", "true")
