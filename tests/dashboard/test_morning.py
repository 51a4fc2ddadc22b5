"""The overview of a real fleet on some morning; `--picture FILE` keeps what it looks like, as the README shows it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from monitor.postgres.database import Connection
from tests.dashboard import morning
from tests.dashboard.stage import Stage

OLLAMAS_PORT = 11434
HEADING = "2 down, 1 degraded of 12 servers"
IN_ORDER = [
    *(morning.DEAD, morning.SILENT, morning.BUSY),
    *("gpu-1", "gpu-2", "gpu-3", "gpu-5", "gpu-7", "gpu-8", "lab-anna", "vm-berlin"),
    morning.OFF,
]


async def test_a_fleet_is_seen_as_it_is_with_the_day_that_lies_behind_it(
    page: Page,
    stage: Stage,
    psql: Connection,
    dsn: str,
    eventually: Callable[..., Awaitable[None]],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    picture = pytestconfig.getoption("--picture")
    # In the picture every server has Ollama's own port, and an address of its own.
    async with morning.servers(psql, port=OLLAMAS_PORT if picture else 0) as fakes, stage.api():
        await morning.write_past(dsn, psql)
        async with stage.monitor():
            await eventually(lambda: morning.is_listed(psql), within=60, what="the list of every server")
            await morning.fall(fakes)
            await eventually(lambda: morning.has_fallen(psql), within=60, what="the fall of three")
            await morning.age(psql)
            await page.set_viewport_size({"width": 1280, "height": 640})
            await page.goto(stage.url)
            await expect(page.get_by_role("heading", level=1)).to_have_text(HEADING)
            await expect(page.locator("svg.uptime")).to_have_count(len(IN_ORDER))
            await expect(page.locator("tr.server .who a")).to_have_text(IN_ORDER)
            await expect(page.get_by_role("row").filter(has_text="gpu-3")).to_contain_text("38 % CPU")
            await page.screenshot(path=picture or tmp_path / "dashboard.png")
