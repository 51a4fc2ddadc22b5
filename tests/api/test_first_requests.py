"""What the API says to the mistakes of whoever writes the first requests by hand: each answer says the next step."""

from typing import Any

import pytest

from tests.api.client import ApiClient

ASK_ELSEWHERE = "GET /api/resolve?model=NAME tells which server to send it to."


@pytest.mark.parametrize(
    ("request_line", "said"),
    [
        (
            "GET /api/servers/gpu-1",
            "The path takes the id of a server, and 'gpu-1' is none; GET /api/servers?name=gpu-1",
        ),
        ("DELETE /api/servers/gpu-1", "GET /api/servers?name=gpu-1 finds one by its name."),
        ("GET /api/servers/", "Nothing is at this path; leave out the / at its end."),
        ("GET /api/server", "GET /docs shows all routes."),
        ("GET /api/tags", ASK_ELSEWHERE),
        ("POST /api/chat", ASK_ELSEWHERE),
        ("POST /v1/chat/completions", ASK_ELSEWHERE),
        ("GET /api/servers?status=broken", "status: must be 'unknown', 'up', 'degraded' or 'down'."),
        ("GET /api/servers?limit=x", "limit: must be a whole number."),
        ("GET /api/servers?id=gpu-1", "id: must be an id."),
        ("GET /api/servers?stat=up", "stat: there is no such parameter here, but id, name,"),
        ("GET /api/events?after=1&wait=3000", "wait: must be less than or equal to 60."),
        ("GET /api/resolve?server_url=127.0.0.1:11434", "so write http://127.0.0.1:11434."),
    ],
)
async def test_a_request_that_asks_wrongly_is_told_how_to_ask(api: ApiClient, request_line: str, said: str) -> None:
    method, path = request_line.split(" ", 1)
    answer = await api.ask(method, path)
    assert 400 <= answer.status < 500
    assert said in answer.body["detail"]
    assert "Nothing was changed" not in answer.body["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "b"}, "url: is missing."),
        ({"name": "b", "url": "http://b", "prio": 1}, "prio: is not known here."),
        ({"name": "b", "url": "http://b", "priority": "high"}, "priority: must be a whole number."),
        ({"name": "b", "url": "http://b", "labels": "a"}, "labels: must be a JSON object."),
        ({"name": "", "url": "http://b"}, "name: must have at least 1 character."),
        ({"name": "b", "url": "http://b", "max_concurrent": 0}, "max_concurrent: must be greater than or equal to 1."),
        ([], "What was sent must be a JSON object."),
    ],
)
async def test_a_body_that_does_not_fit_is_told_in_words_of_a_person(api: ApiClient, body: Any, said: str) -> None:
    answer = await api.ask("POST", "/api/servers", json=body)
    assert answer.status == 422
    assert answer.body["detail"] == f"{said} Nothing was changed."


async def test_a_body_without_its_type_is_told_which_one_to_send(api: ApiClient) -> None:
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/csv"}):
        answer = await api.ask("POST", "/api/servers", data=b"{}", headers=headers)
        assert answer.status == 415
        assert "`Content-Type: application/json`" in answer.body["detail"]


async def test_what_is_taken_is_told_with_the_name_or_the_url_of_who_has_it(api: ApiClient) -> None:
    anna = await api.add("anna", url="http://gpu-anna.example:11434")
    by_url = await api.ask("POST", "/api/servers", json={"name": "b", "url": anna["url"]})
    assert f"is taken by server anna ({anna['id']})." in by_url.body["detail"]
    by_name = await api.ask("POST", "/api/servers", json={"name": "anna", "url": "http://b"})
    assert f"is taken by server {anna['url']} ({anna['id']})." in by_name.body["detail"]
