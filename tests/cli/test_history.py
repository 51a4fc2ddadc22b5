"""`servers history`: a server's uptime, latency and changes, for a person and for a program."""

import json
from pathlib import Path

import pytest

from api.cli.servers import history as history_view
from api.fleet.history import HistoryView, WindowView
from monitor.domain import latency
from tests.cli.conftest import Typed

# Up for the whole hour before the last full one, with 240 checks that all took 2 ms.
ROWS = f"""
INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna'), ('berta', 'http://berta');
INSERT INTO server_history (server_id, span, start_at, timeline, good, bad, latencies, medians)
    SELECT id, 3600, date_trunc('hour', now()) - interval '2 hours', '\\x00a09902', 240, 0,
        '\\x{latency.bucket(2.0):02x}f001', decode(repeat('{latency.bucket(2.0):02x}', 12), 'hex')
    FROM ollama_servers WHERE name = 'anna';
UPDATE ollama_servers SET status = 'up', status_reason = 'ok' WHERE name = 'anna';
UPDATE ollama_servers SET status = 'down', status_reason = 'refused', status_detail = 'no' WHERE name = 'anna';
"""


@pytest.fixture(autouse=True)
def _two_servers(on_fleet: None, typed: Typed, tmp_path: Path) -> None:
    script = tmp_path / "rows.sql"
    script.write_text(ROWS)
    assert typed("db", "psql", "--", "-qv", "ON_ERROR_STOP=1", "-f", str(script)).code == 0


def test_a_person_sees_windows_a_strip_and_the_latest_changes(typed: Typed) -> None:
    outcome = typed("servers", "history", "anna")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["WINDOW", "UPTIME", "KNOWN", "CHECKS", "P50", "P95", "P99"]
    assert lines[2].split() == ["24h", "100.00", "%", "60", "min", "of", "24h", "240", *["2.0", "ms"] * 3]
    assert lines[5] == "Only 60 min of 24h are known; the uptime is that of the known time alone."
    assert len(lines[7]) == 90
    assert 3 <= lines[7].count("=") <= 5
    assert set(lines[7]) == {"=", "."}
    assert lines[8] == "24h up to now, 16 min a mark: = up, + degraded, x down, . unknown"
    changes = [line.split() for line in lines[10:]]
    assert changes[0] == ["WHEN", "FROM", "TO", "WHY", "DETAIL"]
    assert [change[2:] for change in changes[1:]] == [["up", "down", "refused", "no"], ["unknown", "up", "ok", "-"]]


def test_a_server_without_history_is_shown_as_unknown(typed: Typed) -> None:
    lines = typed("servers", "history", "berta", "--window", "7d").out.splitlines()
    assert lines[1].split() == ["1h", "-", "0", "s", "of", "1h", "0", "-", "-", "-"]
    assert lines[6] == "." * 90
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("unknown", "known", "is_cautioned"),
    [(3600.0, "0 s of 1h", True), (3588.0, "12 s of 1h", True), (1000.0, "43 min of 1h", False), (2.0, "all", False)],
)
def test_how_much_is_known_stands_beside_the_uptime(unknown: float, known: str, *, is_cautioned: bool) -> None:
    window = WindowView(uptime=1.0, unknown_seconds=unknown, checks=3, latency_ms=None)
    history = HistoryView(window="1h", windows={"1h": window}, slots=[], transitions=[])
    assert next(history_view.rows(history))[:3] == ["1h", "100.00 %", known]
    assert bool(list(history_view.caution(history))) is is_cautioned


def test_a_program_gets_what_the_api_answers(typed: Typed) -> None:
    document = json.loads(typed("servers", "history", "anna", "--json", "--window", "1h").out)
    assert set(document) == {"window", "windows", "slots", "transitions"}
    assert document["transitions"][0]["from"] == "up"


def test_an_unknown_window_is_wrong_usage(typed: Typed) -> None:
    assert typed("servers", "history", "anna", "--window", "2h").code == 2
    assert typed("servers", "history", "nobody").code == 1
