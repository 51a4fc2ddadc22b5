"""What is advised where the detail says more than the reason."""

import pytest

from monitor.domain import reasons
from monitor.domain.probe import Reason

URL = "http://10.0.0.5:8080/ollama"
AT_HTTPS = "`ollama-fleet servers set gpu --url {}`"
REDIRECT = "A redirect (HTTP 301) to https://gpu.example; not followed."


def advised(reason: Reason, detail: str | None, url: str = URL) -> str:
    """Return the advice about a server that is called gpu."""
    return reasons.advice(reason, url, name="gpu", detail=detail)


@pytest.mark.parametrize(
    ("url", "detail", "address"),
    [
        (URL, REDIRECT, "https://gpu.example"),
        (URL, reasons.HTTPS_PORT, "https://10.0.0.5:8080/ollama"),
        ("http://gpu", reasons.HTTPS_PORT, "https://gpu:80"),
        ("http://[::1]:1", reasons.HTTPS_PORT, "https://[::1]:1"),
    ],
)
def test_the_address_with_https_is_named(url: str, detail: str, address: str) -> None:
    for reason, seen in ((Reason.NOT_OLLAMA, detail), (Reason.LIST_FAILED, f"not_ollama: {detail}")):
        said = advised(reason, seen, url)
        assert address in said
        assert AT_HTTPS.format(address) in said


def test_a_path_that_a_proxy_forbids_is_to_be_allowed_or_the_api_pinned() -> None:
    detail = reasons.FORBIDDEN_PATH.format(path="/api/version")
    for reason, seen in ((Reason.NOT_OLLAMA, detail), (Reason.LIST_FAILED, f"not_ollama: {detail}")):
        assert "allow /api/" in advised(reason, seen)
        assert "--api openai" in advised(reason, seen)


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("auth: A proxy in front of the server wants a credential, and none is stored (HTTP 401).", "--auth-type"),
        ("busy: The server is busy (HTTP 429).", "OLLAMA_FLEET_DISCOVERY_INTERVAL"),
        ("not_ollama: The answer is a web page, not Ollama's.", "such as a page"),
        ('server_error: The server failed (HTTP 500): "no disk".', "OLLAMA_MODELS"),
        ("timeout: Connected, but no whole answer in time.", "--timeout"),
        ("too_large: The answer is larger than is accepted.", "/api/tags"),
    ],
)
def test_the_advice_about_a_list_speaks_of_why_it_fails(detail: str, words: str) -> None:
    said = advised(Reason.LIST_FAILED, detail)
    assert words in said
    assert len(said) <= 300


@pytest.mark.parametrize("detail", [None, "", "something else", "later_reason: x", "bad_json: x"])
def test_the_advice_is_the_general_one_otherwise(detail: str | None) -> None:
    for reason in (Reason.LIST_FAILED, Reason.NOT_OLLAMA, Reason.DNS):
        assert advised(reason, detail) == reasons.advice(reason, URL, name="gpu")
