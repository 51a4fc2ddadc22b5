"""The description says of the API what is so: every route, every code, in a document others can read."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.web.problems import CODES, MEDIA_TYPE
from tests.api.client import ApiClient


@pytest.fixture
async def description(api: ApiClient) -> dict[str, Any]:
    """The document as it is served."""
    answer = await api.ask("GET", "/openapi.json")
    assert answer.status == 200
    document: dict[str, Any] = answer.body
    return document


async def test_an_independent_validator_finds_it_valid(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(description).iter_errors()) == []


async def test_every_example_fits_its_schema(description: dict[str, Any]) -> None:
    from openapi_schema_validator import OAS31Validator  # noqa: PLC0415  (only this test needs it)

    examples = 0
    for methods in description["paths"].values():
        for operation in methods.values():
            contents = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (one for part in contents for one in part.get("content", {}).values()):
                schema = content["schema"] | {"components": description["components"]}
                shown = [one["value"] for one in content.get("examples", {}).values()]
                for example in [*shown, *([content["example"]] if "example" in content else [])]:
                    OAS31Validator(schema).validate(example)
                    examples += 1
    assert examples > len(CODES)


async def test_the_examples_of_bodies_are_taken(api: ApiClient, description: dict[str, Any]) -> None:
    servers = description["paths"]["/api/servers"], description["paths"]["/api/servers/{server_id}"]
    new, patch = (
        operation["requestBody"]["content"]["application/json"]["example"]
        for operation in (servers[0]["post"], servers[1]["patch"])
    )
    created = await api.ask("POST", "/api/servers", json=new)
    assert created.status == 201
    assert (await api.ask("PATCH", created.headers["Location"], json=patch)).status == 200


async def test_whatever_is_described_is_answered(api: ApiClient, description: dict[str, Any]) -> None:
    for path, methods in description["paths"].items():
        here = path.format(server_id="b7a9d5a6-0e3b-4f5a-9d5c-3f0d2f8a1c11", model_name="m")
        answer = await api.ask("TRACE", here)
        assert (answer.status, path) == (405, path)
        allowed = set(answer.headers["Allow"].split(", ")) - {"HEAD"}
        assert allowed == {method.upper() for method in methods}


async def test_every_code_is_an_answer_of_some_route(description: dict[str, Any]) -> None:
    answers = [
        content["schema"]["properties"]["code"]["enum"]
        for methods in description["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].values()
        for media_type, content in answer.get("content", {}).items()
        if media_type == MEDIA_TYPE
    ]
    assert {code for codes in answers for code in codes} == set(CODES)


async def test_a_person_reads_it_as_a_page_without_a_script(api: ApiClient) -> None:
    async with api.session.get(f"{api.base_url}/docs") as answer:
        page = await answer.text()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script" not in answer.headers["Content-Security-Policy"]
    assert "<script" not in page
    assert "<code>GET /api/servers/{server_id}</code>" in page
    style = re.search(r'href="(\S+\.css)"', page)
    assert style is not None
    async with api.session.get(f"{api.base_url}/{style[1]}") as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")
