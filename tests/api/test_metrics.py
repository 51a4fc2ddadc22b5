"""Metrics: what is there, that it is true, well written whatever a server is called, and told without a database."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from api.web.metrics import catalogue
from monitor.domain.distribution import Distribution
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api import stand_in
from tests.api.client import ApiClient, serving
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

Eventually = Callable[..., Awaitable[None]]

HOSTILE = 'a"b\\c d{e="f"} 1\u202e} # HELP <b>'
STATS = "INSERT INTO monitor_stats (shard, at, body) VALUES (0, clock_timestamp(), $1)"
SUSPECT = "UPDATE ollama_servers SET suspect_since = clock_timestamp(), suspect_reason = 'timeout' WHERE id = $1"
SPREAD = Distribution((0.5, 1.0))
for seconds in (0.1, 0.5, 0.7, 7.0):
    SPREAD.observe(seconds)
TOLD = {
    "checks": {"ok": 41, "refused": 1},
    **dict.fromkeys(("start_lag_seconds", "batch_records", "batch_seconds", "loop_lag_seconds"), SPREAD.document()),
    **dict.fromkeys(("checks_in_flight", "discoveries_in_flight", "results_waiting", "results_dropped"), 3),
    **dict.fromkeys(("history_pages", "history_pages_lost", "verdicts_held", "listener_reconnects"), 4),
    "isolated": True,
}


async def text(api: ApiClient) -> str:
    """What a scraper gets."""
    async with api.session.get(api.base_url + "/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await response.text()


async def scrape(api: ApiClient) -> dict[str, Family]:
    """All metrics by name, as Prometheus' own parser understands them."""
    return {family.name: family for family in text_string_to_metric_families(await text(api))}


def samples(family: Family) -> dict[tuple[str, ...], float]:
    """The values of a metric by its labels, in the order of their names."""
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in family.samples}


@asynccontextmanager
async def in_full(api: ApiClient, psql: Connection) -> AsyncIterator[None]:
    """A fleet, a monitor at work that tells of itself, and some traffic: every metric has something to say."""
    await api.add("a")
    await psql.execute(
        "UPDATE ollama_servers SET latency_ms = 2.5, status = 'up', last_checked_at = now(), tls_expires_at = now()"
    )
    async with stand_in.at_work(psql):
        await psql.execute(STATS, TOLD)
        yield


async def test_every_metric_of_the_catalogue_is_told_and_no_other(api: ApiClient, psql: Connection) -> None:
    async with in_full(api, psql):
        found = await scrape(api)
    ours = {name: family.type for name, family in found.items() if not name.startswith("process_")}
    assert ours == {metric.name.removesuffix("_total"): metric.kind.value for metric in catalogue.ALL}
    assert all(found[metric.name.removesuffix("_total")].documentation == metric.help for metric in catalogue.ALL)
    for metric in catalogue.ALL:
        labels = {*found[metric.name.removesuffix("_total")].samples[0].labels} - {"le"}
        assert labels == set(metric.labels), metric.name


async def test_what_is_told_is_true(api: ApiClient, psql: Connection) -> None:
    up, down = await api.add("up"), await api.add("down")
    await api.add("inactive", is_active=False)
    await psql.execute(
        "UPDATE ollama_servers SET status = 'up', latency_ms = 2.5, last_checked_at = clock_timestamp(), "
        "tls_expires_at = '2030-01-01T00:00:00Z' WHERE id = $1",
        up["id"],
    )
    await psql.execute(SUSPECT, up["id"])
    await psql.execute(
        "UPDATE ollama_servers SET status = 'down', last_checked_at = now() - interval '1 day' WHERE id = $1",
        down["id"],
    )
    await psql.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", up["id"])
    async with stand_in.at_work(psql):
        await psql.execute(STATS, TOLD)
        found = await scrape(api)
    of_up, of_down = (up["id"], "up"), (down["id"], "down")
    assert samples(found["ollama_fleet_server_up"]) == {of_up: 1, of_down: 0}
    assert samples(found["ollama_fleet_server_stale"]) == {of_up: 0, of_down: 1}
    assert samples(found["ollama_fleet_server_suspect"]) == {of_up: 1, of_down: 0}
    assert samples(found["ollama_fleet_server_latency_seconds"]) == {of_up: 0.0025}
    assert samples(found["ollama_fleet_server_tls_expires_timestamp_seconds"]) == {of_up: 1_893_456_000}
    assert samples(found["ollama_fleet_server_models"]) == {of_up: 1, of_down: 0}
    by_status = samples(found["ollama_fleet_servers"])
    assert by_status == {("unknown",): 0, ("up",): 1, ("degraded",): 0, ("down",): 1, ("inactive",): 1}
    assert samples(found["ollama_fleet_models"]) == {(): 1}
    assert samples(found["ollama_fleet_monitor_leases_held"]) == {(): 1}
    assert samples(found["ollama_fleet_monitor_checks"]) == {("ok",): 41, ("refused",): 1}
    lag = {tuple(s.labels.values()): s.value for s in found["ollama_fleet_monitor_check_start_lag_seconds"].samples}
    assert (lag[("0.5",)], lag[("1.0",)], lag[("+Inf",)]) == (2, 3, 4)
    created = ("POST", "/api/servers", "201")
    assert samples(found["ollama_fleet_api_requests"])[created] == 3
    assert samples(found["ollama_fleet_events"])[()] >= 6


async def test_a_name_can_be_anything_and_is_gone_with_its_server(
    api: ApiClient, psql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.web.metrics.scrape.LASTS_SECONDS", 0)
    hostile = await api.add("x")
    await psql.execute("UPDATE ollama_servers SET name = $1", HOSTILE)
    found = await scrape(api)
    assert samples(found["ollama_fleet_server_up"]) == {(hostile["id"], HOSTILE): 0}
    await api.ask("DELETE", f"/api/servers/{hostile['id']}")
    assert HOSTILE[:3] not in await text(api)
    assert samples((await scrape(api))["ollama_fleet_server_up"]) == {}


async def test_a_monitor_that_is_gone_tells_nothing_more(api: ApiClient, psql: Connection) -> None:
    await psql.execute(STATS, TOLD)
    found = await scrape(api)
    assert samples(found["ollama_fleet_monitor_leases_held"]) == {(): 0}
    assert "ollama_fleet_monitor_checks" not in found


async def test_without_the_database_it_says_so_and_what_it_knows(
    settings: Settings, dsn: str, proxy: TcpProxy, eventually: Eventually
) -> None:
    async with serving(settings, through(proxy, dsn)) as (api, _):
        await api.add("anna")
        await proxy.refuse()
        proxy.cut()

        async def is_told() -> bool:
            return samples((await scrape(api))["ollama_fleet_database_up"]) == {(): 0}

        await eventually(is_told, what="a database that is away")
        found = await scrape(api)
    assert samples(found["ollama_fleet_api_streams"]) == {(): 0}
    assert "ollama_fleet_server_up" not in found


async def test_who_scrapes_often_shares_one_look(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.web.metrics.scrape.LASTS_SECONDS", 3600)
    first = await text(api)
    await api.add("new")
    assert await asyncio.gather(*(text(api) for _ in range(10))) == [first] * 10


async def test_paths_and_methods_that_are_made_up_share_one_label(api: ApiClient) -> None:
    for number in range(3):
        await api.ask("GET", f"/nothing/{number}")
    requests = samples((await scrape(api))["ollama_fleet_api_requests"])
    assert requests[("GET", "unknown", "404")] == 3
    assert all("nothing" not in route for _, route, _ in requests)


async def test_promtool_has_no_complaint(api: ApiClient, psql: Connection) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    async with in_full(api, psql):
        await psql.execute("UPDATE ollama_servers SET name = $1", HOSTILE)
        written = (await text(api)).encode()
    process = await asyncio.create_subprocess_exec(
        promtool,
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate(written)
    assert (process.returncode, told.decode()) == (0, "")
