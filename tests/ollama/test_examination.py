"""One server examined step by step: where it fails is shown, and the verdict is the prober's own."""

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import trustme

from monitor.domain.probe import Reason
from monitor.ollama import examination
from monitor.ollama.client import OllamaClient
from monitor.ollama.examination import Examination
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from monitor.ollama.tls import Contexts
from monitor.ollama.trace import Step
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import filled, server_at

HOST = "gpu-1.example"
SHORT = 0.3
BEFORE_ANSWER = ["resolve", "guard", "connect"]


def unknown(_host: str) -> list[str]:
    """Look a name up that nobody knows."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
async def secure() -> AsyncIterator[FakeOllama]:
    """Return a server with a certificate of an authority that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST, "127.0.0.1").configure_cert(context)
    async with FakeOllama(tls=context) as started:
        yield started


async def agreed(
    url: str, *, limit: float = 5.0, lookup: Callable[[str], list[str]] = unknown, tls: Contexts | None = None
) -> Examination:
    """Examine a URL, and check that the prober gives the same verdict."""
    server = server_at(url, timeout=limit)
    found = await examination.examine(server, names=NameResolver(lookup), tls=tls)
    async with OllamaClient(names=NameResolver(lookup), tls=tls) as client:
        probed = await HttpProber(client).probe(server)
    assert replace(found.result, latency=None) == replace(probed, latency=None)
    assert all(step.seen.isprintable() and 0 < len(step.seen) <= 300 for step in found.steps)
    assert all(step.seconds >= 0 for step in found.steps)
    return found


def names(found: Examination) -> list[str]:
    return [step.name for step in found.steps]


def failed(found: Examination) -> Step:
    """Return the first step that failed."""
    return next(step for step in found.steps if not step.ok)


async def test_a_server_that_is_well_passes_every_step_and_is_listed_once(fake: FakeOllama) -> None:
    fake.load_model(next(iter(fake.models)))
    found = await agreed(fake.url)
    assert names(found) == [*BEFORE_ANSWER, "head", "body", "models", "loaded"]
    assert all(step.ok for step in found.steps)
    seen = {step.name: step.seen for step in found.steps}
    assert seen["guard"] == "allowed: 127.0.0.1"
    assert seen["connect"] == f"connected to 127.0.0.1:{fake.port}"
    assert seen["head"].startswith("GET /api/version: HTTP 200 OK, Content-Type application/json")
    assert (seen["models"], seen["loaded"]) == (f"{len(fake.models)} on disk", "1 in memory")
    assert (fake.requests["/api/tags"], fake.requests["/api/ps"]) == (1, 1)
    assert (found.result.reason, found.trouble, found.is_alive) == (Reason.OK, Reason.OK, True)


@pytest.mark.parametrize(
    ("behaviour", "reason", "step", "seen"),
    [
        (behaviours.hang(), Reason.TIMEOUT, "head", "GET /api/version: Connected, but no whole answer in time."),
        (behaviours.hang_up(), Reason.RESET, "head", "GET /api/version: The connection was closed or reset"),
        (behaviours.cut_short(), Reason.RESET, "body", "The connection was closed or reset"),
        (behaviours.endless_body(), Reason.TOO_LARGE, "body", "The answer is larger than is accepted."),
        (behaviours.html(), Reason.NOT_OLLAMA, "body", "37 bytes: The answer is a web page, not Ollama's."),
        (behaviours.document("{"), Reason.BAD_JSON, "body", "1 bytes: The answer is not JSON."),
        (behaviours.status(403), Reason.HOST_RULE, "head", "GET /api/version: HTTP 403 Forbidden"),
        (behaviours.status(429), Reason.BUSY, "head", "GET /api/version: HTTP 429 Too Many Requests"),
        (behaviours.status(503), Reason.SERVER_ERROR, "head", "GET /api/version: HTTP 503 Service Unavailable"),
        (behaviours.redirect("/login"), Reason.NOT_OLLAMA, "head", "GET /api/version: HTTP 302 Found, Location /login"),
        (behaviours.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), Reason.PROTOCOL, "head", "GET /api/version: The answer breaks"),
    ],
)
async def test_an_answer_that_is_of_no_use_fails_at_its_step(
    fake: FakeOllama, *, behaviour: Behaviour, reason: Reason, step: str, seen: str
) -> None:
    fake.behave(behaviour)
    found = await agreed(fake.url, limit=SHORT if reason is Reason.TIMEOUT else 5.0)
    assert found.result.reason is found.trouble is reason
    assert failed(found).name == step
    assert failed(found).seen.startswith(seen)
    assert found.is_alive == (reason is Reason.BUSY)
    assert fake.requests["/api/tags"] == 0


async def test_nothing_on_the_port_fails_at_connecting_and_names_the_address(fake: FakeOllama) -> None:
    await fake.stop()
    found = await agreed(fake.url)
    assert (found.result.reason, names(found)) == (Reason.REFUSED, BEFORE_ANSWER)
    assert failed(found).seen == f"127.0.0.1:{fake.port}: Nothing listens on the port."


async def test_a_denied_address_fails_at_the_guard_without_a_packet() -> None:
    found = await agreed("http://169.254.169.254")
    assert (found.result.reason, names(found)) == (Reason.BLOCKED, ["resolve", "guard"])
    assert failed(found).name == "guard"


async def test_an_address_outside_the_allowed_networks_fails_at_the_guard(fake: FakeOllama) -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8")]
    found = await examination.examine(server_at(fake.url), allowed_networks=networks)
    assert (found.result.reason, failed(found).name, fake.accepted) == (Reason.BLOCKED, "guard", 0)


async def test_a_name_that_nobody_knows_fails_at_resolving() -> None:
    found = await agreed(f"http://{HOST}:11434")
    assert (found.result.reason, names(found)) == (Reason.DNS, ["resolve"])
    assert failed(found).seen == f"{HOST}: The name is not known."


async def test_of_the_addresses_of_a_name_the_refused_and_the_chosen_are_shown(fake: FakeOllama) -> None:
    addresses = ["169.254.169.254", "127.0.0.2", "127.0.0.1"]
    found = await agreed(f"http://{HOST}:{fake.port}", lookup=lambda _host: addresses)
    assert [step.seen for step in found.steps[:3]] == [
        f"{HOST} is 169.254.169.254, 127.0.0.2, 127.0.0.1",
        "allowed: 127.0.0.2, 127.0.0.1; refused: 169.254.169.254",
        f"connected to 127.0.0.1:{fake.port}, the first of 2 addresses to answer",
    ]


async def test_a_certificate_that_is_not_trusted_fails_at_tls_and_says_why(secure: FakeOllama) -> None:
    found = await agreed(secure.url)
    assert (found.result.reason, names(found)) == (Reason.TLS, [*BEFORE_ANSWER, "tls"])
    assert "No authority that is trusted here has signed the certificate: " in failed(found).seen


async def test_a_trusted_certificate_is_shown_with_its_name_and_its_last_day() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with FakeOllama(tls=context) as fake:
        found = await agreed(
            f"https://{HOST}:{fake.port}", lookup=lambda _host: ["127.0.0.1"], tls=Contexts(plain=trusting)
        )
    assert found.result.reason is Reason.OK
    (tls,) = (step for step in found.steps if step.name == "tls")
    assert tls.seen.startswith("TLSv1.3, certificate of gpu-1.example, valid until ")


async def test_a_list_that_fails_is_the_trouble_of_a_server_that_is_alive(fake: FakeOllama) -> None:
    fake.behave(behaviours.status(500, b"{}"), path="/api/tags")
    found = await agreed(fake.url)
    assert (found.result.reason, found.trouble, found.is_alive) == (Reason.OK, Reason.LIST_FAILED, True)
    assert (failed(found).name, failed(found).seen) == ("models", "server_error: The server failed (HTTP 500).")


async def test_a_connection_that_is_not_taken_fails_at_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, filled(listener):
        found = await agreed(f"http://127.0.0.1:{listener.getsockname()[1]}", limit=SHORT)
    assert (found.result.reason, names(found)) == (Reason.CONNECT_TIMEOUT, BEFORE_ANSWER)
    assert failed(found).seen.endswith(": No connection in time.")


async def test_a_server_with_the_openai_style_api_only_is_well_though_its_version_is_not_found(
    fake: FakeOllama,
) -> None:
    for path in ("/api/version", "/api/tags", "/api/ps"):
        fake.behave(behaviours.status(404, b"404 page not found"), path=path)
    found = await agreed(fake.url)
    assert (found.result.reason, found.trouble) == (Reason.OK, Reason.OK)
    assert [step.name for step in found.steps if not step.ok] == ["head"]
    assert [step.seen for step in found.steps[-2:]] == [f"{len(fake.models)} on disk", "cannot be told"]


async def test_nothing_a_hostile_server_says_could_steer_a_terminal(fake: FakeOllama) -> None:
    server = b"Server: \xc2\x9b1m\xe2\x80\xae" + b"x" * 500
    fake.behave(behaviours.raw(b"HTTP/1.1 418 \x1b[2Jgone\r\n" + server + b"\r\nContent-Length: 0\r\n\r\n"))
    found = await agreed(fake.url)
    assert found.result.reason is Reason.NOT_OLLAMA
    assert failed(found).seen == "GET /api/version: HTTP 418 [2Jgone, Server 1m" + "x" * 71


async def test_a_stored_url_that_is_garbage_is_said_to_be() -> None:
    found = await agreed("http://a b")
    assert (found.result.reason, names(found)) == (Reason.PROTOCOL, ["url"])
