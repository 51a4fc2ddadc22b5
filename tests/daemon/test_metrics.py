"""What a daemon counts reaches /metrics of the API, another process, by way of the database."""

import resource
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes.ollama import FakeOllama


async def values(api: ApiClient) -> dict[str, float]:
    """All samples without labels, and those of checks that went well."""
    async with api.session.get(api.base_url + "/metrics") as response:
        families = list(text_string_to_metric_families(await response.text()))
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if not sample.labels or sample.labels.get("reason") == "ok"
    }


async def test_a_daemon_tells_how_many_files_it_may_open(observer: Observer, daemon: Daemon) -> None:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with daemon():
        await observer.until(f"SELECT (body->>'descriptors_allowed')::bigint = {allowed} FROM monitor_stats")


async def test_a_scrape_of_the_api_tells_what_the_daemon_counts(dsn: str, observer: Observer, daemon: Daemon) -> None:
    settings = Settings.model_validate({"api_port": "0"})
    async with FakeOllama() as fake, serving(settings, dsn) as (api, _):
        async with daemon(check_interval=timedelta(seconds=0.2)):
            server_id = await observer.add(fake.url)
            await observer.until_status(server_id, "up")
            await observer.until("SELECT body->'checks' ? 'ok' FROM monitor_stats")
            found = await values(api)
        assert found["ollama_fleet_monitor_leases_held"] == 1
        assert found["ollama_fleet_monitor_stats_age_seconds"] < 60
        assert found["ollama_fleet_monitor_checks_total"] >= 1
        assert found["ollama_fleet_monitor_check_start_lag_seconds_count"] >= 1
        assert found["ollama_fleet_monitor_batch_records_count"] >= 1
        assert found["ollama_fleet_monitor_loop_lag_seconds_count"] >= 1
        assert found["ollama_fleet_monitor_isolated"] == 0
