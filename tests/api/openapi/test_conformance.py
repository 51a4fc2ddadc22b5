"""What the API answers to anything that its description allows, and much that it does not, is as described."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as of_openapi

from monitor.settings import Settings
from tests.api.serving import serving_beside

LONG, SHORT = 400, 15
MOST_OF_A_URL = 8000
# A stream does not end by itself; it has tests of its own.
STREAM = "/api/events/stream"
# What the API cannot help: no monitor is at work here, and a server does not list its models.
EXPECTED = {502, 503, 504}
CHECKS: list[CheckFunction] = [
    of_openapi.status_code_conformance,
    of_openapi.content_type_conformance,
    of_openapi.response_schema_conformance,
    of_openapi.response_headers_conformance,
]


@pytest.fixture
def base_url(dsn: str) -> Iterator[str]:
    with serving_beside(Settings.model_validate({"api_port": "0", "check_timeout": "1s"}), dsn) as url:
        yield url


def test_every_answer_is_as_described(base_url: str, request: pytest.FixtureRequest) -> None:
    described = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    answered: Counter[int] = Counter()
    is_long = request.config.getoption("--long")
    for operation in (operation for operation in operations if operation.path != STREAM):
        cases = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

        @settings(
            max_examples=LONG if is_long else SHORT,
            deadline=None,
            database=None,
            # The same cases each time, so that it never fails by chance; other ones with --long.
            derandomize=not is_long,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(cases))
        def ask(case: Case[Any]) -> None:
            if case.query and "wait" in case.query:
                case.query["wait"] = 0
            answer = case.call(base_url=base_url)
            # A longer request line is refused before anything of ours has seen it.
            assume(len(answer.request.url or "") < MOST_OF_A_URL)
            is_expected = answer.status_code in EXPECTED
            case.validate_response(answer, checks=CHECKS if is_expected else [not_a_server_error, *CHECKS])
            answered[answer.status_code] += 1

        ask()
    # It is no use if all that was asked was refused, or nothing was.
    assert {200, 404, 422} <= set(answered)
