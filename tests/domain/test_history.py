"""History adds up: pages merged are what one page at once would have been, and no time is made or lost."""

import itertools
import random
import uuid
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import history, latency, timeline, varint
from monitor.domain.availability import Status
from monitor.domain.history import DAY, FIVE_MINUTES, HOUR, Page
from monitor.domain.ledger import MOST_WAITING, Ledger
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS, Run

ID = ServerId(uuid.UUID(int=1))
START = 1_800_000_000 // DAY * DAY
FOREVER = 1e9

latencies_ms = st.floats(min_value=0.05, max_value=400_000)
counters = st.dictionaries(st.integers(1, latency.LAST), st.integers(1, 10**6)).map(Counter)
checks = st.lists(
    st.tuples(
        st.floats(min_value=0.1, max_value=700),
        st.sampled_from(Status),
        st.booleans(),
        st.none() | latencies_ms,
        st.floats(min_value=0.1, max_value=400),
    ),
    max_size=60,
)


@st.composite
def runs(draw: st.DrawFn, *, start: int = START * TICKS, span: int = HOUR * TICKS) -> list[Run]:
    """A timeline within a span."""
    bounds = draw(st.lists(st.integers(start, start + span), min_size=2, max_size=120, unique=True).map(sorted))
    found: list[Run] = []
    for begin, end in itertools.pairwise(bounds):
        status = draw(st.sampled_from((0, 1, 2, None)))
        if status is not None:
            timeline.append(found, (begin, end, status))
    return found


@given(st.integers(0, 2**70), st.binary(max_size=3))
def test_a_number_comes_back_and_leaves_what_follows(number: int, rest: bytes) -> None:
    out = bytearray()
    varint.put(number, out)
    assert varint.take(bytes(out) + rest, 0) == (number, len(out))


@given(latencies_ms)
def test_a_latency_is_told_with_an_error_of_at_most_five_percent(milliseconds: float) -> None:
    told = latency.milliseconds(latency.bucket(milliseconds))
    assert told is not None
    assert abs(told - milliseconds) <= 0.0495 * milliseconds + 0.001


@given(counters)
def test_a_histogram_comes_back(counts: Counter[int]) -> None:
    assert latency.decode(latency.encode(counts)) == counts


@given(st.lists(st.integers(1, latency.LAST), min_size=1, max_size=200), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_percentile_is_the_one_of_the_sorted_list(buckets: list[int], share: float) -> None:
    rank = max(1, -(-int(share * 1000) * len(buckets) // 1000))
    assert latency.percentile(Counter(buckets), share) == sorted(buckets)[rank - 1]


def test_of_nothing_there_is_no_percentile() -> None:
    assert latency.milliseconds(latency.percentile({}, 0.5)) is None


@given(runs())
def test_a_timeline_comes_back(known: list[Run]) -> None:
    assert timeline.decode(timeline.encode(known, START * TICKS), START * TICKS) == known


@given(st.lists(runs(), min_size=1, max_size=4), st.booleans())
def test_timelines_joined_are_the_same_as_merged(parts: list[list[Run]], one_after_the_other: bool) -> None:
    at = [START * TICKS + number * HOUR * TICKS * one_after_the_other for number in range(len(parts))]
    pages = [(start, timeline.encode(part, START * TICKS)) for start, part in zip(at, parts, strict=True)]
    assert timeline.joined(pages) == timeline.merged(timeline.decode(data, start) for start, data in pages)


@given(runs())
def test_a_coarse_timeline_is_bounded_and_keeps_the_time_in_each_status(known: list[Run]) -> None:
    start, span = START * TICKS, HOUR * TICKS
    coarse = timeline.coarsened(known, start=start, span=span, cells=12)
    assert len(coarse) <= 36
    for begin in range(start, start + span, span // 12):
        end = begin + span // 12
        assert timeline.totals(coarse, begin, end) == timeline.totals(known, begin, end)


def told(given_checks: list[tuple[float, Status, bool, float | None, float]], *, closing: bool) -> list[Page]:
    """The pages that a ledger makes of checks; `closing` looks for full pages after each of them."""
    ledger, at = Ledger(), float(START)
    for wait, status, good, milliseconds, patience in given_checks:
        at += wait
        if closing:
            while ledger.close(at, most=1):
                pass
        ledger.checked(ID, status, at=at, good=good, milliseconds=milliseconds, patience=patience)
    ledger.close_all(at)
    return ledger.take(10_000)


def as_known(given_checks: list[tuple[float, Status, bool, float | None, float]]) -> Counter[Status]:
    """The ticks in each status, worked out check by check."""
    ticks: Counter[Status] = Counter()
    at = float(START)
    times = []
    for wait, *_ in given_checks:
        at += wait
        times.append(int(at * TICKS))
    ends = [*times[1:], times[-1]] if times else []
    for (_, status, _, _, patience), begin, end in zip(given_checks, times, ends, strict=True):
        ticks[status] += min(end - begin, int(patience * TICKS))
    return ticks


@given(checks, st.booleans())
def test_the_pages_of_a_ledger_hold_each_check_and_each_moment_once(
    given_checks: list[tuple[float, Status, bool, float | None, float]], closing: bool
) -> None:
    pages = told(given_checks, closing=closing)
    expected = as_known(given_checks)
    known = timeline.merged(page.runs for page in pages)
    sums = timeline.totals(known, 0, 2**60)
    assert sums == tuple(expected[status] for status in timeline.CODES)
    assert sum(page.good for page in pages) == sum(good for _, _, good, _, _ in given_checks)
    assert sum(page.good + page.bad for page in pages) == len(given_checks)
    assert len({page.start for page in pages}) == len(pages)
    for page in pages:
        begin = page.start * TICKS
        assert page.start % FIVE_MINUTES == 0
        assert all(begin <= start < end <= begin + FIVE_MINUTES * TICKS for start, end, _ in page.runs)


@given(checks, st.randoms(use_true_random=False))
def test_rolling_up_in_steps_is_rolling_up_at_once(
    given_checks: list[tuple[float, Status, bool, float | None, float]], chance: random.Random
) -> None:
    pages = told(given_checks, closing=False)
    chance.shuffle(pages)
    some = chance.randrange(len(pages) + 1)
    at_once = history.rolled_up(pages, HOUR)
    in_steps = history.rolled_up([*history.rolled_up(pages[:some], HOUR), *pages[some:]], HOUR)
    assert sorted(at_once, key=lambda page: page.start) == sorted(in_steps, key=lambda page: page.start)
    known = timeline.merged(page.runs for page in pages)
    for day in history.rolled_up(at_once, DAY):
        assert timeline.totals(day.runs, 0, 2**60) == timeline.totals(known, 0, 2**60)
        assert day.good + day.bad == len(given_checks)
        assert latency.decode(day.latencies).total() == sum(ms is not None for _, _, _, ms, _ in given_checks)
        assert len(day.medians) == 24


def test_what_no_check_vouches_for_is_unknown() -> None:
    ledger = Ledger()
    ledger.believed(ID, Status.UP, at=START)
    ledger.checked(ID, Status.UP, at=START + 100, good=True, milliseconds=2.0, patience=50)
    ledger.checked(ID, Status.DOWN, at=START + 200, good=False, milliseconds=None, patience=FOREVER)
    ledger.believed(ID, Status.UNKNOWN, at=START + 220)
    ledger.close_all(START + 250)
    (page,) = ledger.take(10)
    at = START * TICKS
    assert page.runs == [(at + 1000, at + 1500, 0), (at + 2000, at + 2200, 2)]


def test_a_server_that_is_not_checked_any_more_is_forgotten() -> None:
    ledger = Ledger()
    ledger.checked(ID, Status.UP, at=START, good=True, milliseconds=1.0, patience=50)
    for minutes in (5, 10, 15):
        ledger.close(START + minutes * 60, most=100)
    ledger.believed(ID, Status.UP, at=START + 1000)
    ledger.close_all(START + 2000)
    assert [page.start for page in ledger.take(10)] == [START]


def test_pages_that_cannot_be_written_are_bounded_and_the_oldest_go_first() -> None:
    ledger = Ledger()
    ledger.checked(ID, Status.UP, at=START, good=True, milliseconds=1.0, patience=FOREVER)
    ledger.close(START + 20 * FIVE_MINUTES, most=100)
    pages = ledger.take(100)
    lost = ledger.put_back(pages)
    assert (len(pages), len(ledger), lost) == (20, MOST_WAITING, 20 - MOST_WAITING)
    assert ledger.take(100) == pages[-MOST_WAITING:]


def test_a_clock_that_goes_back_a_little_makes_no_time_of_its_own() -> None:
    ledger = Ledger()
    ledger.checked(ID, Status.UP, at=START + 10, good=True, milliseconds=1.0, patience=FOREVER)
    ledger.checked(ID, Status.DOWN, at=START + 8, good=False, milliseconds=None, patience=FOREVER)
    ledger.close_all(START + 9)
    (page,) = ledger.take(10)
    assert (page.runs, page.good, page.bad) == ([], 1, 1)
