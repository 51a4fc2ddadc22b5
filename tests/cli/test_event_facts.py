"""What happened, as one readable line."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from api.cli import event_lines
from api.cli.screen import text
from monitor.domain.event import Event, EventType

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = "2026-03-01T12:05:00Z"
LOCAL_SOON = text.local_time(datetime(2026, 3, 1, 12, 5, tzinfo=UTC))
GB = 1_000_000_000


def said(kind: str, **body: Any) -> str:
    event = Event(seq=1, type=EventType(kind), server_id=uuid4(), model_id=None, at=AT, body=body)
    return event_lines.what(event)


@pytest.mark.parametrize(
    ("vram", "whole", "until", "line"),
    [
        (2 * GB, 2 * GB, SOON, f"a:b  2.0 GB in VRAM  until {LOCAL_SOON}"),
        (GB, 2 * GB, SOON, f"a:b  1.0 GB of 2.0 GB in VRAM, the rest on the CPU  until {LOCAL_SOON}"),
        (0, 2 * GB, "2318-01-01T00:00:00Z", "a:b  2.0 GB on the CPU  for good"),
        (GB, None, None, "a:b  1.0 GB in VRAM"),
        (None, None, "never", "a:b"),
        (GB, GB, "2026-03-01T12:05:00", f"a:b  1.0 GB in VRAM  until {LOCAL_SOON}"),
    ],
)
def test_a_loaded_model_says_where_it_is_and_until_when(
    vram: int | None, whole: int | None, until: str | None, line: str
) -> None:
    assert said("model.loaded", model_name="a:b", size_vram=vram, loaded_size_bytes=whole, expires_at=until) == line


@pytest.mark.parametrize(
    ("kind", "body", "line"),
    [
        ("model.unloaded", {"model_name": "a:b", "size_vram": None, "expires_at": None}, "a:b"),
        ("model.changed", {"model_name": "a:b", "digest": "0123456789abcdef", "size_bytes": GB, "actor": "local"},
         "a:b  digest=0123456789ab, size_bytes=1.0 GB"),
        ("model.changed", {"model_name": "a:b", "disabled_at": None, "size_bytes": None, "actor": "token ci"},
         "a:b  disabled_at=-, size_bytes=-  by token ci"),
        ("server.updated", {"url": "http://a", "status": "unknown", "status_reason": None, "row_version": 3},
         "url=http://a, status=unknown"),
        ("server.suspected", {"suspect_since": SOON, "suspect_reason": "timeout"},
         "timeout: bad answers, and no verdict yet"),
        ("server.cleared", {"suspect_since": None, "suspect_reason": None, "lasted_seconds": 3.214},
         "not suspect any more, after 3.2 s"),
        ("server.cleared", {"suspect_since": None, "suspect_reason": None}, "not suspect any more"),
        ("monitor.isolated", {"since": SOON, "cause": "timeout", "servers": 4, "of": 6},
         "too much fails at once to be true: 4 of 6 servers, timeout; verdicts are held for a moment"),
        ("monitor.isolated", {"since": SOON, "until": SOON, "cause": "timeout", "servers": 4, "of": 6},
         f"too much fails at once to be true: 4 of 6 servers, timeout; verdicts are held until {LOCAL_SOON}"),
        ("monitor.recovered", {"cause": "timeout", "servers": 4, "of": 6, "outage": True},
         "they really were down: 4 of 6 servers, timeout"),
        ("monitor.recovered", {"cause": "timeout", "servers": 4, "of": 6, "outage": False},
         "it was no outage: 4 of 6 servers, timeout"),
        ("monitor.recovered", {"cause": "local", "servers": 4, "of": 6, "outage": None}, "over: 4 of 6 servers, local"),
    ],
)  # fmt: skip
def test_other_events_name_what_matters(kind: str, body: dict[str, Any], line: str) -> None:
    assert said(kind, **body) == line
