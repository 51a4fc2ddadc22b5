"""The count of wrong tokens, with the time handed in."""

import pytest

from api.web.gate import failures
from api.web.gate.failures import BURST, MOST_ADDRESSES, SECONDS_PER_FAILURE, Failures, Outcome


def exhausted(address: str = "192.0.2.1", *, now: float = 0.0) -> Failures:
    """Failures in which an address has used up its burst."""
    counted = Failures()
    for _ in range(BURST):
        assert counted.seconds_to_wait(address, now=now) == 0
        counted.count(address, now=now)
    return counted


def test_a_burst_is_free_and_then_each_failure_has_to_be_waited_for() -> None:
    counted = exhausted()
    assert counted.seconds_to_wait("192.0.2.1", now=0) == pytest.approx(SECONDS_PER_FAILURE)
    assert counted.seconds_to_wait("192.0.2.1", now=SECONDS_PER_FAILURE / 2) == pytest.approx(SECONDS_PER_FAILURE / 2)
    assert counted.seconds_to_wait("192.0.2.1", now=SECONDS_PER_FAILURE) == pytest.approx(0)


def test_others_do_not_wait() -> None:
    counted = exhausted()
    for other in ("192.0.2.2", "2001:db8::1", "local"):
        assert counted.seconds_to_wait(other, now=0) == 0


def test_an_ipv6_host_cannot_come_from_somewhere_else_in_its_own_network() -> None:
    counted = exhausted("2001:db8:1:2::1")
    assert counted.seconds_to_wait("2001:db8:1:2:ffff::9%eth0", now=0) > 0
    assert counted.seconds_to_wait("2001:db8:1:3::1", now=0) == 0
    assert failures.network("::ffff:192.0.2.1") == "192.0.2.1"


def test_what_is_worth_a_log_line_is_told_once_per_change() -> None:
    counted = Failures()
    first = [counted.count("192.0.2.1", now=0) for _ in range(BURST)]
    assert first == [Outcome.FIRST, *[Outcome.COUNTED] * (BURST - 2), Outcome.EXHAUSTED]
    later = [counted.count("192.0.2.1", now=SECONDS_PER_FAILURE * number) for number in range(1, 50)]
    assert set(later) == {Outcome.COUNTED}
    assert counted.count("192.0.2.1", now=1e6) is Outcome.FIRST


def test_memory_is_bounded_and_the_address_that_failed_last_is_kept() -> None:
    counted = Failures()
    for number in range(MOST_ADDRESSES + 100):
        counted.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", now=0)
    assert len(counted) == MOST_ADDRESSES
    for _ in range(BURST - 1):
        counted.count(f"10.0.{(MOST_ADDRESSES + 99) >> 8}.{(MOST_ADDRESSES + 99) & 255}", now=0)
    assert counted.seconds_to_wait(f"10.0.{(MOST_ADDRESSES + 99) >> 8}.{(MOST_ADDRESSES + 99) & 255}", now=0) > 0
