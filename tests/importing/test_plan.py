"""Variables and a registry make a plan: which server, under which name, with which credential, and what is said."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID

import pytest

from api.fleet.importing import env_file, variables
from api.fleet.importing.candidates import Gathering
from api.fleet.importing.plan import Known, Planner, Step
from api.fleet.importing.report import Finding, Outcome, Report

ID = UUID(int=1)


def gathered(text: str, *mappings: str) -> Gathering:
    mapping = dict(variables.parse_mapping(one) for one in mappings)
    return Gathering.of(env_file.parse(text.encode()), mapping)


def candidates(text: str, *mappings: str) -> dict[str, dict[str, Any]]:
    """What a file says of servers, by URL."""
    return {one.url: dict(one.values) for one in gathered(text, *mappings).candidates}


def refusals(text: str, *mappings: str) -> dict[str, str]:
    """Why values belong to no server, by variable."""
    found = gathered(text, *mappings).findings
    return {one.variable: one.detail for one in found if one.outcome is Outcome.REFUSED}


def known(url: str, **fields: Any) -> Known:
    """A server that is in the registry."""
    defaults: dict[str, Any] = {"id": ID, "name": "old", "is_active": True, "priority": 0, "max_concurrent": 1}
    return Known(url=url, **(defaults | fields))


def planned(text: str, *servers: Known, update: bool = False, networks: Sequence[IPv4Network] = ()) -> list[Step]:
    """What is to be done about a file."""
    planner = Planner(known=servers, allowed_networks=tuple(networks), update=update)
    return list(planner.steps(gathered(text).candidates))


def names(text: str, *servers: Known) -> list[str]:
    """The names of the servers that are to be created."""
    return [step.create.name for step in planned(text, *servers) if step.create is not None]


def told(steps: Sequence[Step]) -> list[tuple[int, Outcome, str]]:
    """What is reported of the steps."""
    return [(one.line, one.outcome, one.detail) for step in steps for one in step.findings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OLLAMA_HOST=gpu-1", {"http://gpu-1:11434": {}}),
        ("OLLAMA_BASE_URLS='http://a:1;http://b:2; ;http://A:1/'", {"http://a:1": {}, "http://b:2": {}}),
        ("OLLAMA_URLS=http://a:1,http://b:2,", {"http://a:1": {}, "http://b:2": {}}),
        ("OLLAMA_HOSTS=a, b:2;c", {"http://a:11434": {}, "http://b:2": {}, "http://c:11434": {}}),
        ("OLLAMA_SERVERS=http://a/x,http://b", {"http://a/x": {}, "http://b": {}}),
        (
            "OLLAMA_SERVER_1_URL=http://a:1\nOLLAMA_SERVER_1_NAME=anna\nOLLAMA_SERVER_1_PRIORITY=5\n"
            "OLLAMA_SERVER_2_MAX_CONCURRENT=3\nOLLAMA_SERVER_2_URL=http://b:1",
            {"http://a:1": {"name": "anna", "priority": 5}, "http://b:1": {"max_concurrent": 3}},
        ),
        ("OLLAMA_HOST=a\nOLLAMA_BASE_URL=http://A:11434/v1/", {"http://a:11434": {}}),
        ("OLLAMA_HOST=a\nOLLAMA_HOST=b", {"http://b:11434": {}}),
        (
            "OLLAMA_HOST=a\nOLLAMA_API_KEY=k",
            {"http://a:11434": {"auth": {"type": "bearer", "token": "k"}}},
        ),
        (
            "OLLAMA_HOST_1=a\nOLLAMA_TOKEN_1=k\nOLLAMA_SERVER_1_API_KEY=k",
            {"http://a:11434": {"auth": {"type": "bearer", "token": "k"}}},
        ),
        (
            "OLLAMA_HOST=a\nOLLAMA_API_KEY=k\nOLLAMA_API_KEY_HEADER=X-Key",
            {"http://a:11434": {"auth": {"type": "api_key", "key": "k", "header": "X-Key"}}},
        ),
        (
            "OLLAMA_USERNAME=u\nOLLAMA_PASSWORD=p\nOLLAMA_HOST=a",
            {"http://a:11434": {"auth": {"type": "basic", "username": "u", "password": "p"}}},
        ),
        (
            "OLLAMA_URL=http://u:p%20p@a:1",
            {"http://a:1": {"auth": {"type": "basic", "username": "u", "password": "p p"}}},
        ),
        ("OLLAMA_HOST=\nOLLAMA_URL=' '", {}),
    ],
)
def test_servers_of_a_file(text: str, expected: dict[str, Any]) -> None:
    assert candidates(text) == expected
    assert refusals(text) == {}


def test_a_mapping_joins_variables_of_any_name() -> None:
    text = "A=http://a:1\nA_KEY=k\nB=http://b:1\nB_KEY=l\nOLLAMA_HOST=c"
    mappings = ["A=url@a", "A_KEY=api_key@a", "B=url@b", "B_KEY=token@b", "OLLAMA_HOST=ignore"]
    assert candidates(text, *mappings) == {
        "http://a:1": {"auth": {"type": "bearer", "token": "k"}},
        "http://b:1": {"auth": {"type": "bearer", "token": "l"}},
    }


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("OLLAMA_API_KEY=k", {"OLLAMA_API_KEY": "no address that can be used goes with it"}),
        (
            "OLLAMA_HOST=http://\\\nOLLAMA_API_KEY=k",
            {"OLLAMA_HOST": "backslash", "OLLAMA_API_KEY": "no address that can be used"},
        ),
        ("OLLAMA_HOST=a\nOLLAMA_URL=http://b\nOLLAMA_TOKEN=k", {"OLLAMA_TOKEN": "2 addresses go with it"}),
        ("OLLAMA_HOST=a\nOLLAMA_USERNAME=u", {"OLLAMA_USERNAME": "no password goes with it"}),
        ("OLLAMA_HOST=a\nOLLAMA_PASSWORD=u", {"OLLAMA_PASSWORD": "no user name goes with it"}),
        ("OLLAMA_HOST=a\nOLLAMA_API_KEY_HEADER=X-Key", {"OLLAMA_API_KEY_HEADER": "no key goes with it"}),
        (
            "OLLAMA_HOST=a\nOLLAMA_TOKEN=k\nOLLAMA_API_KEY=l",
            {"OLLAMA_TOKEN": "several credentials", "OLLAMA_API_KEY": "several credentials"},
        ),
        (
            "OLLAMA_URL=http://u:p@a\nOLLAMA_TOKEN=k",
            {"OLLAMA_URL": "several credentials", "OLLAMA_TOKEN": "several credentials"},
        ),
        (
            "OLLAMA_URL_1=http://a\nOLLAMA_NAME_1=x\nOLLAMA_URL_2=http://a/v1\nOLLAMA_NAME_2=y",
            {"OLLAMA_NAME_2": "OLLAMA_NAME_1 in line 2 says another one of this server"},
        ),
        ("OLLAMA_HOST=${X}", {"OLLAMA_HOST": "the environment is not asked"}),
    ],
)
def test_what_cannot_be_used_says_why(text: str, refused: dict[str, str]) -> None:
    found = refusals(text)
    assert found.keys() == refused.keys()
    for variable, detail in refused.items():
        assert detail in found[variable]


def test_what_is_not_stored_is_reported_and_the_rest_counted() -> None:
    found = gathered("PATH=/bin\nOLLAMA_HOST=a\nOLLAMA_HOST=b\nOLLAMA_MODEL=m\nOLLAMA_X=1\nA B\nHOME=/")
    assert found.others == 2
    assert [(one.line, one.variable, one.outcome) for one in sorted(found.findings, key=lambda one: one.line)] == [
        (2, "OLLAMA_HOST", Outcome.LEFT),
        (4, "OLLAMA_MODEL", Outcome.LEFT),
        (5, "OLLAMA_X", Outcome.UNKNOWN),
        (6, "", Outcome.UNKNOWN),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OLLAMA_HOST=GPU-1.example", ["gpu-1.example"]),
        ("OLLAMA_HOST=", []),
        ("OLLAMA_HOST=0.0.0.0", ["127.0.0.1-11434"]),
        ("OLLAMA_BASE_URLS=http://127.0.0.1:11501;http://127.0.0.1:11502", ["127.0.0.1-11501", "127.0.0.1-11502"]),
        ("OLLAMA_BASE_URLS=http://localhost:11434;http://10.0.0.5:80", ["localhost-11434", "10.0.0.5"]),
        ("OLLAMA_HOST=[fd00::7]:1", ["fd00::7-1"]),
        ("OLLAMA_BASE_URLS=http://a:11434;http://a:11435;http://a;http://a/x", ["a", "a-11435", "a-2", "a-3"]),
        ("OLLAMA_HOST=taken:11434", ["taken-11434"]),
        ("OLLAMA_HOST=x\nOLLAMA_NAME=anna", ["anna"]),
        ("OLLAMA_HOST=x\nOLLAMA_NAME=taken", ["taken-2"]),
        (f"OLLAMA_HOST=x\nOLLAMA_NAME={'n' * 201}", ["x"]),
        ("OLLAMA_HOST=x\nOLLAMA_NAME='a\nb'", ["x"]),
        (f"OLLAMA_URL_1=http://x\nOLLAMA_NAME_1={'n' * 200}\nOLLAMA_URL_2=http://y\nOLLAMA_NAME_2={'n' * 200}", None),
    ],
)
def test_each_server_gets_a_name_that_no_other_has(text: str, expected: list[str] | None) -> None:
    found = names(text, known("http://elsewhere", name="taken"))
    assert found == expected or (expected is None and len(set(found)) == 2)


def test_a_server_that_is_there_is_left_alone_without_update() -> None:
    text = "OLLAMA_HOST=a\nOLLAMA_NAME=anna\nOLLAMA_PRIORITY=0\nOLLAMA_MAX_CONCURRENT=4"
    (step,) = planned(text, known("http://a:11434", is_active=False))
    whose = "server old (inactive, and stays so)"
    assert (step.create, step.patch) == (None, None)
    assert told([step]) == [
        (1, Outcome.THERE, whose),
        (2, Outcome.THERE, f"{whose} keeps its own; --update takes this one"),
        (3, Outcome.THERE, whose),
        (4, Outcome.THERE, f"{whose} keeps its own; --update takes this one"),
    ]


def test_an_update_changes_what_the_file_says_otherwise_and_nothing_else() -> None:
    text = "OLLAMA_HOST=a\nOLLAMA_NAME=anna\nOLLAMA_PRIORITY=0\nOLLAMA_MAX_CONCURRENT=4"
    (step,) = planned(text, known("http://a:11434", is_active=False), update=True)
    assert step.patch is not None
    assert step.patch.model_dump(exclude_unset=True) == {"name": "anna", "max_concurrent": 4}
    assert sorted((one.line, one.outcome) for one in step.findings) == [
        (1, Outcome.THERE),
        (2, Outcome.UPDATED),
        (3, Outcome.THERE),
        (4, Outcome.UPDATED),
    ]
    (again,) = planned(text, known("http://a:11434", name="anna", max_concurrent=4), update=True)
    assert again.patch is None


def test_the_api_of_a_server_is_taken_compared_and_refused_where_it_is_none() -> None:
    (step,) = planned("OLLAMA_HOST_1=a\nOLLAMA_1_API=openai")
    assert step.create is not None
    assert step.create.api == "openai"
    (step,) = planned("OLLAMA_HOST=a\nOLLAMA_API=openai", known("http://a:11434", api="openai"), update=True)
    assert step.patch is None
    (step,) = planned("OLLAMA_HOST=a\nOLLAMA_API=native", known("http://a:11434", api="openai"), update=True)
    assert step.patch is not None
    assert step.patch.model_dump(exclude_unset=True) == {"api": "native"}
    (step,) = planned("OLLAMA_HOST=a\nOLLAMA_API=http://b:1")
    assert step.create is not None
    assert step.create.api == "auto"
    assert [one.outcome for one in step.findings] == [Outcome.TAKEN, Outcome.REFUSED]


def test_a_name_that_another_server_has_is_refused_and_the_server_is_not() -> None:
    text = "OLLAMA_HOST=a\nOLLAMA_NAME=anna"
    other = known("http://other", name="anna")
    (step,) = planned(text, other)
    assert step.create is not None
    assert told([step])[1] == (2, Outcome.REFUSED, "another server has that name, so this one is called anna-2")
    (step,) = planned(text, other, known("http://a:11434", name="anna-2"), update=True)
    assert step.patch is None
    assert told([step])[1] == (2, Outcome.REFUSED, "another server has that name")


def test_a_value_that_is_refused_costs_the_server_only_that() -> None:
    text = "OLLAMA_HOST=a\nOLLAMA_PRIORITY=hunter2\nOLLAMA_MAX_CONCURRENT=0"
    (step,) = planned(text)
    assert step.create is not None
    assert (step.create.priority, step.create.max_concurrent) == (0, 1)
    assert [one.outcome for one in step.findings] == [Outcome.TAKEN, Outcome.REFUSED, Outcome.REFUSED]
    assert "hunter2" not in repr(step.findings)
    (step,) = planned(text, known("http://a:11434"), update=True)
    assert step.patch is None
    assert [one.outcome for one in step.findings] == [Outcome.THERE, Outcome.REFUSED, Outcome.REFUSED]


def test_an_address_that_is_not_allowed_costs_the_others_nothing() -> None:
    text = "OLLAMA_BASE_URLS=http://169.254.169.254;http://8.8.8.8;http://10.0.0.5\nOLLAMA_SERVER_1=http://10.0.0.6"
    steps = planned(text, networks=[IPv4Network("10.0.0.0/8")])
    assert [step.create is not None for step in steps] == [False, False, True, True]
    assert "link-local" in told(steps)[0][2]
    assert "outside the allowed networks" in told(steps)[1][2]


def test_a_step_that_fails_is_reported_as_refused_but_not_what_it_never_was_to_write() -> None:
    (step,) = planned("OLLAMA_HOST=a\nOLLAMA_PRIORITY=x\nOLLAMA_NAME=anna")
    found = list(step.refused("the name is taken"))
    assert {one.outcome for one in found} == {Outcome.REFUSED}
    assert [one.detail for one in found].count("the name is taken") == 2


def test_a_report_says_what_would_be_and_whether_all_of_it_is_done() -> None:
    taken = Finding(line=1, variable="A", outcome=Outcome.TAKEN, detail="server a")
    refused = Finding(line=2, variable="B", outcome=Outcome.REFUSED, detail="no")
    rehearsal = Report(findings=[taken], others=1, is_rehearsal=True)
    real = Report(findings=[taken, refused], others=2, is_rehearsal=False)
    assert rehearsal.summary() == "1 would be taken; 1 variable is about something else. Nothing was written."
    assert real.summary() == "1 taken, 1 not taken; 2 variables are about something else."
    assert (rehearsal.is_complete, real.is_complete) == (True, False)
    assert Report(findings=[], others=0, is_rehearsal=False).summary() == "Nothing about Ollama."
