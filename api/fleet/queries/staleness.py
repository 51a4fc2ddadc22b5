"""Staleness in SQL, made of `monitor/domain/staleness.py`. By the database's clock, which also wrote the times.

$1 and $2 are the interval and the time-out, in seconds, of servers that override neither.
"""

from monitor.domain import staleness

FRESH_FROM = "coalesce(last_checked_at, greatest(created_at, updated_at))"
FRESH_FOR = f"""make_interval(
    secs => {staleness.INTERVALS} * coalesce(check_interval_seconds, $1) + coalesce(check_timeout_seconds, $2))"""
# A dead monitor cannot hide behind its last verdict.
STALE = f"(is_active AND {FRESH_FROM} < clock_timestamp() - {FRESH_FOR})"
