"""The page of events names every type, and just the fields that real events of it have."""

import pytest

from monitor.domain import mass_failure
from monitor.domain.event import EventType
from monitor.domain.lease import Lease
from monitor.postgres.database import Connection, Database
from monitor.postgres.event_log import PostgresAnnouncementStore
from tests import fold
from tests.docs import pages
from tests.services.test_own_health import GOOD, UNREACHABLE, Bench

LIFE = """
INSERT INTO ollama_servers (name, url) VALUES ('gpu-1', 'http://gpu-1')
UPDATE ollama_servers SET status = 'up', status_reason = 'ok', latency_ms = 1
UPDATE ollama_servers SET status = 'degraded', status_reason = 'busy'
UPDATE ollama_servers SET suspect_since = now(), suspect_reason = 'timeout', suspicion_told = true
UPDATE ollama_servers SET suspect_since = NULL
UPDATE ollama_servers SET status = 'down', status_reason = 'refused'
UPDATE ollama_servers SET flapping_since = now()
UPDATE ollama_servers SET priority = 3, site = 'attic', server_version = '0.9.6', flapping_since = NULL
UPDATE ollama_servers SET api_seen = 'native', restarted_at = now()
UPDATE ollama_servers SET auth_type = 'bearer', auth_config = '{"token": "planted"}'
UPDATE ollama_servers SET ca_pem = 'planted', client_cert = 'planted', client_key = '{"sealed": "planted"}'
INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'llama3', 'llama3:latest' FROM ollama_servers
UPDATE ollama_models SET size_vram = 1, loaded_size_bytes = 2, expires_at = now()
UPDATE ollama_models SET size_vram = NULL, loaded_size_bytes = NULL, expires_at = NULL
UPDATE ollama_models SET digest = 'abc', size_bytes = 7
DELETE FROM ollama_servers
"""
# What only changed fields go into, and what they are fields of.
CHANGES = {EventType.SERVER_UPDATED: EventType.SERVER_CREATED, EventType.MODEL_CHANGED: EventType.MODEL_ADDED}


def documented() -> dict[str, set[str]]:
    """The fields of each event, less the types and pages that a cell refers to."""
    names = {row[0].strip("`"): row[2] for row in pages.rows("events.md", header="event")}
    return {name: set(pages.codes(cell)) - set(EventType) for name, cell in names.items()}


async def of_the_monitor(database: Database, lease: Lease) -> None:
    """Write what a daemon says when its whole fleet falls silent at once and is back."""
    bench = Bench(4)
    await bench.answer(UNREACHABLE, 1, 2, 3, 4)
    await bench.answer(GOOD, 1, 2, 3, 4)
    for announcement in bench.told:
        assert await PostgresAnnouncementStore(database, lease).announce(announcement)


def test_every_type_has_its_row_in_order() -> None:
    assert list(documented()) == list(EventType)


async def test_real_events_of_every_type_have_the_fields_that_are_documented(
    connection: Connection, fleet_database: Database, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_failure, "GRACE", 0.0)
    for statement in LIFE.strip().splitlines():
        await connection.execute(statement)
    await of_the_monitor(fleet_database, lease)
    events = await fold.read_events(connection)
    assert {event.type for event in events} == set(EventType)
    fields = documented()
    for event in events:
        if event.type in CHANGES:
            assert set(event.body) <= fields[CHANGES[event.type]] | fields[event.type], event
        else:
            assert set(event.body) == fields[event.type], event
    assert "planted" not in str(events)


async def test_a_credential_is_told_as_configured_and_a_changed_model_with_its_name(connection: Connection) -> None:
    for statement in LIFE.strip().splitlines():
        await connection.execute(statement)
    events = await fold.read_events(connection)
    for type_, of in CHANGES.items():
        always = documented()[type_]
        told = {field for event in events if event.type is type_ for field in event.body}
        assert always <= told
        assert always - documented()[of] <= {"auth_configured", "ca_configured", "client_cert_configured"}
