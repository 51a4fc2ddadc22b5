"""A newer record over an older one that is not written yet: nothing that was found gets lost."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitor.domain.availability import Status
from monitor.domain.probe import Reason
from monitor.domain.record import ServerRecord
from monitor.domain.server import ServerId

BARE = ServerRecord(
    server_id=ServerId(uuid.uuid4()), row_version=3, status=Status.UP, reason=Reason.OK, detail="", checked_at=20.0
)
FULL = replace(
    BARE,
    status=Status.DOWN,
    reason=Reason.REFUSED,
    detail="connection refused",
    server_version="0.9.6",
    checked_at=10.0,
    next_check_at=15.0,
    latency=timedelta(milliseconds=3),
    listed_at=5.0,
    answered_at=datetime(2030, 1, 1, tzinfo=UTC),
    answer={"reason": "refused"},
)


def test_a_record_over_nothing_is_itself() -> None:
    assert BARE.over(None) == BARE


def test_the_newer_word_counts_and_the_older_one_fills_the_gaps() -> None:
    newer = replace(FULL, status=Status.UP, reason=Reason.OK, detail="", checked_at=20.0, latency=None)
    assert BARE.over(FULL) == newer
    assert FULL.over(BARE) == FULL


def test_a_check_without_an_answer_takes_no_latency_from_the_one_before_and_what_is_no_check_does() -> None:
    assert BARE.over(FULL).latency is None
    assert replace(BARE, checked_at=None).over(FULL).latency == FULL.latency


def test_nothing_is_taken_from_a_record_of_another_row_version() -> None:
    assert BARE.over(replace(FULL, row_version=2)) == BARE
