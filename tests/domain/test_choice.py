"""The order of choice over generated fleets: total, explained as it is, and shared evenly where it leaves a choice."""

import itertools
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.domain import folding, resolver, tie_break
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy
from monitor.domain.explanation import Step
from monitor.domain.resolver import Answer
from monitor.domain.selection import Request
from monitor.domain.tie_break import TieBreak
from tests import boxes
from tests.boxes import CLOUD, DOWN, LOADED, NOW, OFF, SUSPECT, UP, Box, Has

FEW, MANY = 300, 100_000
BUSY = {"status": "degraded", "status_reason": "busy", "is_available": True}
STATES = st.builds(
    lambda state, suspect, flapping, **fields: {**state, **suspect, **flapping, **fields},
    st.sampled_from([UP, UP, UP, BUSY, DOWN, {}, OFF]),
    st.sampled_from([{}, {}, SUSPECT]),
    st.sampled_from([{}, {}, {"flapping_since": NOW}]),
    priority=st.integers(-1, 1),
    api_seen=st.sampled_from(["native", "native", "openai", None]),
    is_default=st.just(False),
)
MODELS = st.builds(
    Has,
    st.sampled_from(["m:latest", "M:latest", "n:latest"]),
    st.sampled_from([{}, {}, LOADED, {**LOADED, "size_vram": 1}, {**LOADED, "size_vram": 0}, OFF, CLOUD]),
)
BOXES = st.builds(
    Box, st.sampled_from("abcdefgh"), STATES, st.lists(MODELS, max_size=2, unique_by=lambda has: has.name).map(tuple)
)
FLEETS = st.lists(BOXES, max_size=8, unique_by=lambda box: box.name).map(tuple)
SLOTS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=8, max_size=8)
TIES = st.builds(TieBreak, st.integers(0, 2**63), st.booleans())


@pytest.fixture
def examples(pytestconfig: pytest.Config) -> int:
    """How many fleets are generated."""
    return MANY if pytestconfig.getoption("--long") else FEW


def merits(copy: Copy) -> tuple[Any, ...]:
    """Say of a copy what the contract's order looks at, in its words and independently of `rank`; smaller is better."""
    server = copy.server
    vram = None if copy.size_vram is None else copy.size_vram / (copy.loaded_size_bytes or copy.size_vram or 1)
    had_vram = server.vram_seen
    residency = 0 if vram is not None and vram >= 1 else 1 if vram is None and had_vram else 2 if vram else 3
    return (
        copy.remote_host is not None,
        not server.is_available,
        server.suspect_reason is not None,
        server.status != "up",
        server.is_flapping,
        server.slots_in_use >= server.max_concurrent,
        server.api == "openai",
        residency,
        -server.priority,
        server.slots_in_use / server.max_concurrent,
    )


def counting(fleet: Directory, *, cloud: bool) -> list[Copy]:
    """Return the copies that come into question, in no order."""
    copies = [copy for entry in fleet.servers.values() if entry.is_active for copy in entry.copies.values()]
    held = [copy for copy in copies if copy.key == "m:latest" and copy.is_active]
    local = [copy for copy in held if copy.remote_host is None]
    return local or (held if cloud else [])


def check(fleet: Directory, tie: TieBreak, *, cloud: bool) -> None:
    """Fail unless answer, candidates and explanation are what the order says."""
    copies = counting(fleet, cloud=cloud)
    usable = sorted(merits(copy) for copy in copies if copy.server.is_available)
    plain = resolver.resolve(Request(model="m", cloud=cloud), fleet, tie)
    full = resolver.resolve(Request(model="m", cloud=cloud, explain=True, candidates=20), fleet, tie)
    if not usable:
        assert not isinstance(plain, Answer)
        assert not isinstance(full, Answer)
        return
    assert isinstance(plain, Answer)
    assert isinstance(full, Answer)
    assert plain.copy is full.copy
    assert plain.copy is not None
    assert merits(plain.copy) == usable[0], "another copy is better"
    chain = [full, *full.candidates]
    found = [merits(each.copy) for each in chain if each.copy is not None]
    assert found == sorted(found), "the candidates are not in order"
    names = [each.server.name for each in chain if each.server is not None]
    assert len(set(names)) == len(names) == len({copy.server for copy in copies if copy.server.is_available})
    assert full.explanation is not None
    for passed in full.explanation.passed_over:
        best = min((merits(copy) for copy in copies if copy.server is passed.server), default=None)
        if best is not None:
            first = next((step for step, (a, b) in enumerate(zip(best, usable[0], strict=True)) if a != b), None)
            assert passed.step is (Step.TIE_BREAK if first is None else STEPS[first]), (passed, best, usable[0])


STEPS = (
    Step.LOCAL,
    Step.AVAILABLE,
    Step.SUSPECT,
    Step.STATUS,
    Step.FLAPPING,
    Step.FREE_SLOT,
    Step.API,
    Step.RESIDENCY,
    Step.PRIORITY,
    Step.LOAD,
)


def test_in_any_fleet_the_answer_is_the_best_and_the_explanation_names_the_step(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        FLEETS, st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=8, max_size=8), TIES, st.booleans()
    )
    def run(fleet_boxes: tuple[Box, ...], slots: list[tuple[int, int]], tie: TieBreak, cloud: bool) -> None:
        fleet = boxes.directory(fleet_boxes)
        for entry, (in_use, most) in zip(list(fleet.servers.values()), slots, strict=False):
            fleet.change(entry, {"slots_in_use": in_use, "max_concurrent": most})
        check(fleet, tie, cloud=cloud)

    run()


CHANGES = st.tuples(
    st.integers(0, 7),
    st.sampled_from(
        [
            {"is_available": False, "status": "down"},
            {"is_available": True, "status": "up"},
            {"suspect_reason": "timeout"},
            {"suspect_reason": None},
            {"priority": 1},
            {"priority": 0},
            {"is_active": False},
            {"is_active": True},
            {"slots_in_use": 4},
            {"slots_in_use": 0},
            {"api": "openai"},
            {"vram_seen": True},
            {"is_flapping": True},
            {"is_flapping": False},
        ]
    ),
)


@settings(deadline=None, max_examples=200)
@given(FLEETS.filter(bool), st.lists(CHANGES, max_size=30), TIES)
def test_after_any_changes_the_first_is_what_a_fresh_look_finds(
    fleet_boxes: tuple[Box, ...], changes: list[tuple[int, dict[str, Any]]], tie: TieBreak
) -> None:
    fleet = boxes.directory(fleet_boxes)
    entries = sorted(fleet.servers.values(), key=lambda entry: entry.name)
    for number, change in changes:
        fleet.best("m:latest")
        fleet.change(entries[number % len(entries)], change)
        check(fleet, tie, cloud=True)
        active = resolver.resolve(Request(), fleet, tie)
        in_full = resolver.resolve(Request(explain=True), fleet, tie)
        assert getattr(active, "server", None) is getattr(in_full, "server", None)


def equal_servers(count: int) -> Directory:
    """A fleet of servers that nothing tells apart, with ids as they are made in life."""
    fleet = Directory()
    for number in range(count):
        server_id = uuid.uuid5(uuid.NAMESPACE_URL, str(number))
        folding.add_server(fleet, server_id, boxes.server_columns(Box(f"gpu-{number}", UP)), fresh_from=0.0)
        folding.add_model(fleet, server_id, uuid.uuid5(server_id, "m"), boxes.model_columns(Has("m:latest")))
    return fleet


def chosen(fleet: Directory, session: str | None, model: str | None = "m") -> str:
    """Return the name of the server that a request gets."""
    outcome = resolver.resolve(Request(model=model), fleet, tie_break.of_session(session))
    assert isinstance(outcome, Answer)
    assert outcome.server is not None
    return outcome.server.name


@pytest.mark.parametrize("model", ["m", None])
def test_equal_servers_share_the_requests_without_a_session(model: str | None) -> None:
    fleet = equal_servers(6)
    shares = Counter(chosen(fleet, None, model) for _ in range(10_000))
    assert len(shares) == 6
    assert all(1400 <= share <= 2000 for share in shares.values()), shares


def test_sessions_are_shared_too_and_each_keeps_its_server() -> None:
    fleet = equal_servers(6)
    first = {session: chosen(fleet, session) for session in map(str, range(3000))}
    assert {session: chosen(fleet, session) for session in first} == first
    assert all(380 <= share <= 620 for share in Counter(first.values()).values())
    # In another process the servers may have come in another order.
    other = Directory()
    for entry in reversed(fleet.servers.values()):
        folding.add_server(other, entry.id, boxes.server_columns(Box(entry.name, UP)), fresh_from=0.0)
        folding.add_model(other, entry.id, uuid.uuid5(entry.id, "m"), boxes.model_columns(Has("m:latest")))
    assert {session: chosen(other, session) for session in first} == first


@pytest.mark.parametrize(("count", "change"), [(6, "down"), (6, "removed"), (60, "down"), (60, "removed")])
def test_when_a_server_leaves_only_its_sessions_move_and_they_come_back_with_it(count: int, change: str) -> None:
    fleet = equal_servers(count)
    before = {session: chosen(fleet, session) for session in map(str, range(2000))}
    gone = fleet.servers[uuid.uuid5(uuid.NAMESPACE_URL, "3")]
    if change == "down":
        fleet.change(gone, {"is_available": False, "status": "down"})
    else:
        fleet.remove(gone.id)
    after = {session: chosen(fleet, session) for session in before}
    moved = {session for session in before if after[session] != before[session]}
    assert moved == {session for session, name in before.items() if name == gone.name}
    assert len({after[session] for session in moved}) > 1, "all of them went to one server"
    if change == "down":
        fleet.change(gone, {"is_available": True, "status": "up"})
        assert {session: chosen(fleet, session) for session in before} == before


@settings(deadline=None, max_examples=100)
@given(TIES, st.integers(1, 40), st.integers(1, 20))
def test_candidates_begin_with_the_answer_and_name_each_server_once(tie: TieBreak, count: int, wanted: int) -> None:
    fleet = equal_servers(count)
    plain = resolver.resolve(Request(model="m"), fleet, tie)
    several = resolver.resolve(Request(model="m", candidates=wanted), fleet, tie)
    assert isinstance(plain, Answer)
    assert isinstance(several, Answer)
    assert several.server is plain.server
    servers = [several.server, *(each.server for each in several.candidates)]
    assert len(set(servers)) == len(servers) == min(count, wanted)


def test_the_second_choice_of_many_requests_is_shared_as_well() -> None:
    fleet = equal_servers(6)
    seconds: Counter[tuple[str, str]] = Counter()
    for _ in range(6000):
        outcome = resolver.resolve(Request(model="m", candidates=2), fleet, tie_break.of_session(None))
        assert isinstance(outcome, Answer)
        names = [each.server.name for each in (outcome, *outcome.candidates) if each.server is not None]
        seconds[names[0], names[1]] += 1
    assert set(seconds) == set(itertools.permutations({first for first, _ in seconds}, 2))
    assert min(seconds.values()) > 100
