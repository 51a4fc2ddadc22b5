"""Refusals that say more than their status: where the server is to be asked, and why it failed, in its own words."""

import json
from dataclasses import replace

import pytest

from monitor.domain.credential import ApiKey, Basic, Bearer, Credential
from monitor.domain.probe import Reason
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import LIST_PATH, HttpLister
from monitor.ollama.prober import VERSION_PATH, HttpProber
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import server_at

NGINX = b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
GO = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
APACHE = b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />"
SECRET = "canary-secret"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("https://gpu.example/api/version", "https://gpu.example"),
        ("https://gpu.example:443/ollama/api/version?from=http", "https://gpu.example/ollama"),
        ("https://GPU.example:8443/api/version#x", "https://gpu.example:8443"),
        ("//127.0.0.1/api/version", None),
        ("https://sso.example/login?next=/api/version", None),
        ("https://user:secret@gpu.example/api/version", None),
        ("http://gpu.example/api/version", None),
        ("/api/version/", None),
        ("https://[/api/version", None),
        (f"https://{'a' * 50}.{'b' * 50}.{'c' * 50}.example/api/version", None),
    ],
)
async def test_a_redirect_of_the_same_question_to_https_tells_the_address(
    client: OllamaClient, fake: FakeOllama, status: int, location: str, address: str | None
) -> None:
    fake.native = False
    fake.behave(behaviours.status(404), path="/v1/models")
    fake.behave(behaviours.redirect(location, status), path=VERSION_PATH)
    result = await HttpProber(client).probe(server_at(fake.url))
    told = f"A redirect (HTTP {status}), which Ollama never sends; not followed."
    if address is not None:
        told = f"A redirect (HTTP {status}) to {address}; not followed."
    assert (result.reason, result.detail) == (Reason.NOT_OLLAMA, told)
    assert fake.requests["/v1/models"] == (address is None)


@pytest.mark.parametrize(
    "behaviour",
    [behaviours.status(400, NGINX), behaviours.raw(GO), behaviours.status(400, APACHE)],
    ids=["nginx", "Go", "Apache"],
)
async def test_plain_http_on_a_port_for_https_is_told_apart(
    client: OllamaClient, fake: FakeOllama, behaviour: Behaviour
) -> None:
    fake.behave(behaviour)
    result = await HttpProber(client).probe(server_at(fake.url))
    assert (result.reason, result.detail) == (
        Reason.NOT_OLLAMA,
        "The port speaks HTTPS, and refuses plain HTTP (HTTP 400).",
    )
    assert fake.requests == {VERSION_PATH: 1}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("open /models: permission denied", ': "open /models: permission denied".'),
        ({"message": "no backend", "type": "api_error"}, ': "no backend".'),
        ("a\x1b[31m\x00\n\u202eb", ': "a[31mb".'),
        ("x" * 10_000, f': "{"x" * 120}".'),
        ("", "."),
        (["x"], "."),
        (None, "."),
    ],
)
async def test_a_failure_is_told_in_the_servers_own_words(
    client: OllamaClient, fake: FakeOllama, error: object, told: str
) -> None:
    fake.behave(behaviours.status(500, json.dumps({"error": error}).encode()), path=LIST_PATH)
    listing = await HttpLister(client).list_models(server_at(fake.url))
    assert (listing.reason, listing.detail) == (Reason.SERVER_ERROR, f"The server failed (HTTP 500){told}")


@pytest.mark.parametrize(
    "credential",
    [
        Bearer(token=SECRET),
        ApiKey(key=SECRET),
        Basic(username="anna", password=SECRET),
    ],
    ids=["bearer", "api_key", "basic"],
)
@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_words_that_repeat_the_credential_are_not_told(
    client: OllamaClient, fake: FakeOllama, credential: Credential, status: int
) -> None:
    fake.behave(behaviours.status(status, json.dumps({"error": f"bad key {SECRET}"}).encode()))
    server = replace(server_at(fake.url), credential=credential)
    for asked in (await HttpProber(client).probe(server), await HttpLister(client).list_models(server)):
        assert asked.reason is not Reason.OK
        assert SECRET not in asked.detail
