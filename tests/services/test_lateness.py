"""How late the monitor was while a probe was under way."""

import pytest

from monitor.services.own_health import LAGS_KEPT, Lateness


def late() -> Lateness:
    """Beats every second; the one that was meant to come at 3 came at 6."""
    lateness = Lateness(1.0, at=0.0)
    assert lateness.beat(1.0) == 0
    assert lateness.beat(2.01) == pytest.approx(0.01)
    assert lateness.beat(6.01) == pytest.approx(3)
    assert lateness.beat(7.0) == 0
    return lateness


@pytest.mark.parametrize(
    ("began", "at", "longest"),
    [
        (0.0, 7.0, 3.0),
        (3.0, 7.0, 3.0),
        (5.0, 7.0, 1.01),
        (6.5, 7.0, 0.0),
        # A beat that is overdue counts before it comes.
        (6.5, 8.0, 0.0),
        (6.5, 12.0, 4.0),
        (10.0, 12.0, 2.0),
    ],
)
def test_only_what_was_lost_during_a_probe_counts(began: float, at: float, longest: float) -> None:
    assert late().longest_since(began, at=at) == pytest.approx(longest, abs=0.02)


def test_what_is_kept_is_bounded() -> None:
    lateness = Lateness(1.0, at=0.0)
    for number in range(1, 3 * LAGS_KEPT):
        lateness.beat(number * 2.0)
    assert lateness.longest_since(0.0, at=6.0 * LAGS_KEPT) == pytest.approx(2, abs=1.1)
    assert len(lateness._late) == LAGS_KEPT
