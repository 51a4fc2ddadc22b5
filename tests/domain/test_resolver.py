"""The owner's rules, row by row, and what must hold for any fleet and any request."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import resolver
from monitor.domain.directory import Directory
from monitor.domain.explanation import Step
from monitor.domain.resolver import Answer, Refusal
from monitor.domain.selection import Request
from monitor.domain.tie_break import TieBreak
from tests import boxes as made
from tests import rules
from tests.boxes import CLOUD, DOWN, LOADED, NOW, OFF, SUSPECT, UP, Box, Has
from tests.rules import TABLE, Row, ask

# Whatever it is, the same one gives the same answer.
TIE = TieBreak(7, is_session=False)


def plain(outcome: Answer | Refusal) -> dict[str, Any]:
    """Return an outcome as REST would show it, as far as the table goes."""
    if isinstance(outcome, Refusal):
        return {"code": outcome.code.value}
    server, copy = outcome.server, outcome.copy
    return {
        "source": outcome.source.value,
        "rule": outcome.rule,
        "server": None if server is None else {"name": server.name},
        "base_url": outcome.base_url,
        "model_name": outcome.model_name,
        "model_known": outcome.model_known,
        "available": None if server is None else server.is_available,
        "suspect": None if server is None else server.is_suspect,
        "loaded": None if copy is None else copy.is_loaded,
        "remote_host": None if copy is None else copy.remote_host,
        "max_concurrent": outcome.max_concurrent,
    }


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.title)
def test_the_rules_row_by_row(row: Row) -> None:
    rules.check(row, plain(resolver.resolve(row.request, made.directory(row.boxes), TIE)))


STATES = st.sampled_from([UP, UP, DOWN, {}, OFF, {**UP, "flapping_since": NOW}])
NAMES = ["m:latest", "M:latest", "m:1b", "acme/m:latest", "Odd One"]
MODELS = st.builds(Has, st.sampled_from(NAMES), st.sampled_from([{}, LOADED, OFF, CLOUD]))
BOXES = st.builds(
    lambda name, state, priority, models: Box(name, {**state, "priority": priority}, models),
    st.sampled_from("abcdefgh"),
    STATES,
    st.integers(-1, 1),
    st.lists(MODELS, max_size=3, unique_by=lambda model: model.name).map(tuple),
)
FLEETS = st.lists(BOXES, max_size=6, unique_by=lambda box: box.name).map(tuple)
URLS = st.sampled_from([None, None, "http://a:11434", "HTTP://B:11434/api", "http://nobody:1", "nonsense"])
REQUESTS = st.builds(
    Request,
    server_url=URLS,
    model=st.none() | st.sampled_from([*NAMES, "m", "n", "odd one", "hf.co/x/y", "a b"]),
    explain=st.booleans(),
    cloud=st.booleans(),
)


def contents(fleet: Directory) -> str:
    """Return all that a directory holds, as text."""
    servers = sorted(fleet.servers.values(), key=lambda entry: entry.name)
    return json.dumps(
        [
            [entry.name, entry.url, entry.status, sorted(copy.model_name for copy in entry.copies.values())]
            for entry in servers
        ]
    )


def told(outcome: Answer | Refusal) -> str:
    """Return all that an outcome says, without the identity of objects."""
    explained = outcome.explanation
    reasons = () if explained is None else [(one.server.name, one.reason) for one in explained.passed_over]
    more = [outcome.detail, outcome.nearest] if isinstance(outcome, Refusal) else []
    return repr((plain(outcome), explained and explained.sentence, reasons, more))


@settings(deadline=None, max_examples=300)
@given(FLEETS, REQUESTS, st.randoms(use_true_random=False))
def test_an_answer_depends_on_the_fleet_alone_and_never_is_an_inactive_server(
    boxes: tuple[Box, ...], request: Request, chance: random.Random
) -> None:
    fleet = made.directory(boxes)
    before = contents(fleet)
    outcome = resolver.resolve(request, fleet, TIE)
    shuffled = list(boxes)
    chance.shuffle(shuffled)
    assert told(resolver.resolve(request, made.directory(tuple(shuffled)), TIE)) == told(outcome)
    assert told(resolver.resolve(request, fleet, TIE)) == told(outcome)
    assert contents(fleet) == before, "resolving stored something"
    if isinstance(outcome, Answer) and outcome.server is not None:
        assert outcome.server.is_active
        assert request.server_url is not None or outcome.copy is None or outcome.copy.is_active
    if isinstance(outcome, Answer) and outcome.server is None:
        assert request.server_url is not None


@settings(deadline=None, max_examples=200)
@given(FLEETS, REQUESTS)
def test_every_server_is_chosen_or_passed_over_with_a_reason(boxes: tuple[Box, ...], request: Request) -> None:
    asked = Request(server_url=request.server_url, model=request.model, cloud=request.cloud, explain=True)
    outcome = resolver.resolve(asked, made.directory(boxes), TIE)
    if outcome.explanation is not None:
        chosen = [] if outcome.server is None else [outcome.server.name]
        passed = [one.server.name for one in outcome.explanation.passed_over]
        assert sorted({*passed, *chosen}) == sorted(box.name for box in boxes)
        assert len(passed) == len(set(passed))
        assert all(one.reason for one in outcome.explanation.passed_over)


def test_an_explanation_names_the_step_at_which_each_server_fell_behind() -> None:
    up = {**UP, "api_seen": "native"}
    boxes = (
        Box("chosen", {**up, "priority": 5}, (Has("m:latest", LOADED),)),
        Box("down", {**DOWN, "priority": 9}, (Has("m:latest", LOADED),)),
        Box("suspect", {**up, **SUSPECT, "priority": 9}, (Has("m:latest", LOADED),)),
        Box("busy", {**up, "status": "degraded", "status_reason": "busy"}, (Has("m:latest", LOADED),)),
        Box("flapping", {**up, "flapping_since": NOW}, (Has("m:latest", LOADED),)),
        Box("other-api", {**UP, "api_seen": "openai", "priority": 9}, (Has("m:latest"),)),
        Box("cold", {**up, "priority": 9}, (Has("m:latest"), Has("x:latest", LOADED))),
        Box("partly", {**up, "priority": 9}, (Has("m:latest", {**LOADED, "size_vram": 1}),)),
        Box("cpu", {**up, "priority": 9}, (Has("m:latest"),)),
        Box("low", {**up, "priority": 1}, (Has("m:latest", LOADED),)),
        Box("off", {**OFF}, (Has("m:latest"),)),
        Box("switched", up, (Has("m:latest", OFF),)),
        Box("stub", up, (Has("m:latest", CLOUD),)),
        Box("without", up),
    )
    outcome = resolver.resolve(Request(model="m", explain=True), made.directory(boxes), TIE)
    assert outcome.explanation is not None
    assert outcome.explanation.rule == 2
    assert "chosen comes first" in outcome.explanation.sentence
    assert {one.server.name: (one.step, one.reason) for one in outcome.explanation.passed_over} == {
        "down": (Step.AVAILABLE, "is down (refused)"),
        "suspect": (Step.SUSPECT, "is suspect (timeout)"),
        "busy": (Step.STATUS, "is degraded (busy)"),
        "flapping": (Step.FLAPPING, "comes and goes (flapping)"),
        "other-api": (Step.API, "has only the OpenAI-style API"),
        "cold": (Step.RESIDENCY, "does not have the model in memory"),
        "partly": (Step.RESIDENCY, "has the model only partly in VRAM"),
        "cpu": (Step.RESIDENCY, "would run the model on the CPU, as far as is known"),
        "low": (Step.PRIORITY, "has priority 1, less than 5"),
        "off": (Step.ACTIVE, "is inactive"),
        "switched": (Step.MODEL, "has the model switched off"),
        "stub": (
            Step.LOCAL,
            "has only a stub of the model, which runs at https://ollama.com:443, and cloud models were not allowed",
        ),
        "without": (Step.MODEL, "does not have the model"),
    }


def test_a_refusal_says_what_each_server_that_has_the_model_lacks() -> None:
    boxes = (Box("a", DOWN, (Has("m:latest"),)), Box("b", {}, (Has("m:latest"),)), Box("c", UP))
    outcome = resolver.resolve(ask("m"), made.directory(boxes), TIE)
    assert isinstance(outcome, Refusal)
    assert {one.server.name: one.reason for one in outcome.servers} == {
        "a": "is down (refused)",
        "b": "has not been checked yet",
    }


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("llama3:70b", ("llama3:8b", "llama3:latest", "llama3.2:3b")),
        ("lama3", ("llama3:8b", "llama3:latest", "llama3.2:3b")),
        ("qwen2.5-code", ("qwen2.5-coder:7b",)),
        ("tiny-gguf", (rules.HF,)),
        ("zzz", ()),
    ],
)
def test_a_miss_names_the_nearest_models_that_can_be_had(asked: str, nearest: tuple[str, ...]) -> None:
    names = ("llama3:latest", "llama3:8b", "llama3.2:3b", "qwen2.5-coder:7b", rules.HF)
    boxes = (Box("a", UP, tuple(map(Has, names))), Box("b", UP, (Has("lama3:off", OFF), Has("zzz:cloud", CLOUD))))
    outcome = resolver.resolve(ask(asked), made.directory(boxes), TIE)
    assert isinstance(outcome, Refusal)
    assert outcome.nearest == nearest


def test_a_big_fleet_is_explained_in_part_and_the_rest_counted() -> None:
    boxes = tuple(Box(f"box-{number:04}", UP) for number in range(1000))
    outcome = resolver.resolve(Request(explain=True), made.directory(boxes), TIE)
    assert outcome.explanation is not None
    assert (len(outcome.explanation.passed_over), outcome.explanation.more) == (200, 799)


def test_a_server_that_is_switched_off_keeps_the_first_place_by_none_of_its_spellings() -> None:
    spellings = (Has("m:latest", {**CLOUD, **LOADED}), Has("M:latest"))
    fleet = made.directory((Box("a", UP, spellings), Box("b", UP, (Has("m:latest"),))))
    off, other = sorted(fleet.servers.values(), key=lambda entry: entry.name)
    best = fleet.best("m:latest")
    assert best is not None
    assert set(best.model_names) == {"M:latest"}
    fleet.change(off, {"is_active": False})
    best = fleet.best("m:latest")
    assert best is not None
    assert [copy.server for copy in best.copies] == [other]
