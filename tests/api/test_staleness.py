"""How long facts of a server hold: the domain and the statements of the API say the same."""

import pytest

from api.fleet.queries.servers import FRESH_FOR
from monitor.domain.staleness import fresh_for
from monitor.postgres.database import Connection


@pytest.mark.parametrize("interval", [None, 0.1, 60.0])
@pytest.mark.parametrize("patience", [None, 0.5, 300.0])
async def test_sql_and_the_domain_agree(connection: Connection, interval: float | None, patience: float | None) -> None:
    overrides = "SELECT $3::float8 AS check_interval_seconds, $4::float8 AS check_timeout_seconds"
    seconds = f"SELECT extract(epoch FROM {FRESH_FOR})::float8 FROM ({overrides}) AS server"

    found = await connection.fetchval(seconds, 15.0, 5.0, interval, patience)

    assert found == pytest.approx(fresh_for(interval=interval or 15.0, timeout=patience or 5.0))
