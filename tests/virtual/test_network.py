"""The simulated network loses, delays and refuses as TCP does."""

import random
from collections import Counter
from math import inf

from monitor.domain.probe import Reason
from monitor.domain.watching import Ending
from tests.virtual.network import Client, Host
from tests.virtual.trace import Fault, Kind, Trace


def ask(*faults: Fault, named: bool = False) -> tuple[float, Reason]:
    """Ask the only server once, for at most 5 s; return after how long it was what."""
    trace = Trace(faults, servers=1, begin=0.0, end=1000.0)
    host = Host(number=0, network=0, named=named, round_trip=0.01)
    outcome = Client(trace, [host], random.Random(1)).ask(0, 100.0, patience=5.0)
    return round(outcome.at - 100.0, 6), outcome.reason


def test_a_lost_answer_is_sent_again_after_ever_longer_pauses() -> None:
    assert ask(Fault(kind=Kind.ONE_WAY, begin=99.0, end=101.0)) == (1.4 + 0.01, Reason.OK)
    assert ask(Fault(kind=Kind.ONE_WAY, begin=99.0, end=104.0)) == (5.0, Reason.TIMEOUT)


def test_a_connection_is_opened_again_after_a_second_and_then_two() -> None:
    assert ask(Fault(kind=Kind.ONE_WAY, begin=99.0, end=102.0), named=True) == (3.0 + 0.02, Reason.OK)


def test_who_is_stopped_answers_when_it_goes_on() -> None:
    assert ask(Fault(kind=Kind.PAUSE, begin=99.0, end=103.0)) == (3.0 + 0.005, Reason.OK)


def test_a_process_that_is_gone_refuses_and_a_host_that_is_gone_is_silent() -> None:
    assert ask(Fault(kind=Kind.KILL, begin=99.0)) == (0.01, Reason.REFUSED)
    assert ask(Fault(kind=Kind.POWER_LOSS, begin=99.0)) == (5.0, Reason.TIMEOUT)
    assert ask(Fault(kind=Kind.POWER_LOSS, begin=99.0), named=True) == (5.0, Reason.CONNECT_TIMEOUT)


def test_a_name_that_cannot_be_looked_up_is_told_as_soon_as_the_resolver_says_so() -> None:
    assert ask(Fault(kind=Kind.NO_NAMES, begin=99.0, size=0.01), named=True) == (0.01, Reason.DNS)
    assert ask(Fault(kind=Kind.NO_NAMES, begin=99.0, size=10.0), named=True) == (5.0, Reason.DNS)


def test_while_no_name_can_be_looked_up_one_who_remembers_finds_the_server_where_it_was() -> None:
    for takes, late in ((0.01, 0.01), (10.0, 1.0)):
        fault = Fault(kind=Kind.NO_NAMES, begin=99.0, size=takes)
        trace = Trace([fault], servers=1, begin=0.0, end=1000.0)
        host = Host(number=0, network=0, named=True, round_trip=0.01)
        outcome = Client(trace, [host], random.Random(1), remembers=True).ask(0, 100.0, patience=5.0)
        assert (round(outcome.at - 100.0, 6), outcome.reason) == (late + 0.02, Reason.OK)


def watch_ends(*faults: Fault, until: float = 1000.0) -> tuple[float, Ending]:
    """Watch the only server from 90 on; return how long after 100 that ends, and how."""
    trace = Trace(faults, servers=1, begin=0.0, end=until)
    host = Host(number=0, network=0, named=False, round_trip=0.01)
    at, ending = Client(trace, [host], random.Random(1)).watch_ends(0, 90.0)
    return round(at - 100.0, 6), ending


def test_a_watch_ends_seven_seconds_after_the_last_sign_of_life() -> None:
    # Heard at 93.01, 96.02 and 99.03.
    assert watch_ends(Fault(kind=Kind.POWER_LOSS, begin=100.0)) == (7 - 0.97, Ending.SILENT)
    assert watch_ends(Fault(kind=Kind.HALF_OPEN, begin=98.0)) == (7 - 3.98, Ending.SILENT)
    assert watch_ends(Fault(kind=Kind.ONE_WAY, begin=100.0, end=105.0)) == (inf, Ending.CLOSED)
    assert watch_ends(Fault(kind=Kind.ONE_WAY, begin=100.0, end=106.0)) == (7 - 0.97, Ending.SILENT)


def test_a_watch_ends_at_once_with_the_process_and_stands_while_the_kernel_answers() -> None:
    assert watch_ends(Fault(kind=Kind.KILL, begin=100.0)) == (0.005, Ending.CLOSED)
    assert watch_ends(Fault(kind=Kind.PAUSE, begin=100.0, end=200.0)) == (inf, Ending.CLOSED)


def test_a_watch_stands_answers_that_take_three_seconds_and_not_ten() -> None:
    assert watch_ends(Fault(kind=Kind.DELAY, begin=95.0, size=3.0)) == (inf, Ending.CLOSED)
    assert watch_ends(Fault(kind=Kind.DELAY, begin=95.0, size=10.0))[1] is Ending.SILENT


def test_with_little_time_to_connect_it_is_tried_several_times_over() -> None:
    for back, expected in ((100.4, (0.5 + 0.02, Reason.OK)), (101.3, (1.5, Reason.CONNECT_TIMEOUT))):
        trace = Trace([Fault(kind=Kind.ONE_WAY, begin=99.0, end=back)], servers=1, begin=0.0, end=1000.0)
        host = Host(number=0, network=0, named=False, round_trip=0.01)
        outcome = Client(trace, [host], random.Random(1)).ask(0, 100.0, patience=5.0, connect_within=1.5)
        assert (round(outcome.at - 100.0, 6), outcome.reason) == expected


def test_when_a_third_of_all_packets_are_lost_few_questions_fail() -> None:
    trace = Trace([Fault(kind=Kind.LOSS, begin=0.0, size=0.3)], servers=1, begin=0.0, end=1000.0)
    host = Host(number=0, network=0, named=False, round_trip=0.01)
    client = Client(trace, [host], random.Random(1))
    reasons = Counter(client.ask(0, 10.0, patience=5.0).reason for _ in range(2000))
    # Of 2 × 0.3^5 to keep a connection, and more once it has to be opened anew.
    assert 0 < reasons.total() - reasons[Reason.OK] < 40
