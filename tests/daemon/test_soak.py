"""A fleet whose servers die and come back at random: in the end the tables are true and the log is whole."""

import random

import pytest

from tests.daemon import processes
from tests.daemon.observer import Observer
from tests.fakes.fleet import FakeFleet


async def test_a_fleet_under_random_deaths_ends_with_true_tables(
    dsn: str, observer: Observer, pytestconfig: pytest.Config
) -> None:
    count, deaths = (200, 1500) if pytestconfig.getoption("--long") else (40, 60)
    chance = random.Random(11)
    async with FakeFleet(count) as fleet, processes.running(dsn, OLLAMA_FLEET_CHECK_INTERVAL="1s"):
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        await observer.until("SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'", count, within=60)
        for _ in range(deaths):
            fake = fleet[chance.randrange(count)]
            await (fake.stop() if fake.is_listening else fake.start())
            if fake.is_listening and chance.random() < 0.5:
                fake.add_model(f"model-{chance.randrange(10)}:latest")
            until = await observer.value("SELECT clock_timestamp() + $1 * interval '0.2 seconds'", chance.random())
            await observer.until("SELECT clock_timestamp() > $1", until)

        async def tables_tell_the_truth() -> bool:
            rows = await observer.connection.fetch(
                """SELECT server.name, status, count(model.id) AS models FROM ollama_servers AS server
                LEFT JOIN ollama_models AS model ON model.server_id = server.id AND model.is_active
                GROUP BY server.id"""
            )
            found = {row["name"]: (row["status"], row["models"]) for row in rows}
            return all(
                found[fake.host][0] == ("up" if fake.is_listening else "down")
                and (not fake.is_listening or found[fake.host][1] == len(fake.models))
                for fake in fleet
            )

        await observer.until_true(tables_tell_the_truth, within=60)
    await observer.check_history()
