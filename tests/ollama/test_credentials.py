"""A server's credential over real sockets: sent with every question to it, and to nobody else."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from monitor.domain.credential import ApiKey, Basic, Bearer, Credential, Unreadable
from monitor.domain.probe import Listing, ProbeResult, Reason, Residency, ShownModel
from monitor.domain.server import Server
from monitor.ollama import examination
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.prober import HttpProber
from monitor.ollama.watch import IdleConnections
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import eventually, server_at

KINDS: dict[str, tuple[Credential, str, str]] = {
    "basic": (Basic(username="fleet", password="pa:ss"), "authorization", "Basic ZmxlZXQ6cGE6c3M="),
    "bearer": (Bearer(token="canary-token"), "authorization", "Bearer canary-token"),
    "api_key": (ApiKey(key="canary key"), "x-api-key", "canary key"),
    "api_key elsewhere": (ApiKey(key="canary-key", header="X-Gate"), "x-gate", "canary-key"),
}
SECRETS = ("authorization", "x-api-key", "x-gate", "cookie", "proxy-authorization")
Result = ProbeResult | Listing | Residency | ShownModel
Ask = Callable[[OllamaClient, Server], Awaitable[Result]]

QUESTIONS: dict[str, Ask] = {
    "/api/version": lambda client, server: HttpProber(client).probe(server),
    "/api/tags": lambda client, server: HttpLister(client).list_models(server),
    "/api/ps": lambda client, server: HttpLister(client).list_loaded(server),
    "/api/show": lambda client, server: HttpLister(client).show(server, "tiny-chat"),
}


def sent(fake: FakeOllama) -> list[dict[str, str]]:
    """What of a credential each request had, oldest first."""
    return [{name: request.headers[name] for name in SECRETS if name in request.headers} for request in fake.received]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_question_carries_exactly_the_server_s_credential(
    client: OllamaClient, fake: FakeOllama, kind: str
) -> None:
    credential, header, value = KINDS[kind]
    fake.behave(behaviours.behind_proxy(fake.answer_well, header=header, value=value))
    server = replace(server_at(fake.url), credential=credential)
    for path, ask in QUESTIONS.items():
        assert (await ask(client, server)).reason is Reason.OK, path
    assert set(fake.requests) == set(QUESTIONS)
    assert sent(fake) == [{header: value}] * len(QUESTIONS)


async def test_the_list_of_an_openai_style_server_is_asked_for_with_it_too(
    client: OllamaClient, fake: FakeOllama
) -> None:
    fake.native = False
    server = replace(server_at(fake.url), credential=Bearer(token="canary-token"))
    assert (await HttpProber(client).probe(server)).reason is Reason.OK
    assert (await HttpLister(client).list_models(server)).reason is Reason.OK
    assert fake.requests["/v1/models"] == 2
    assert sent(fake) == [{"authorization": "Bearer canary-token"}] * 4


@pytest.mark.parametrize(
    ("credential", "detail"), [(None, "wants a credential"), (Bearer(token="wrong"), "refuses the credential")]
)
async def test_a_missing_and_a_wrong_credential_are_told_apart(
    client: OllamaClient, fake: FakeOllama, credential: Credential | None, detail: str
) -> None:
    fake.behave(behaviours.behind_proxy(fake.answer_well, header="authorization", value="Bearer right"))
    result = await HttpProber(client).probe(replace(server_at(fake.url), credential=credential))
    assert result.reason is Reason.AUTH
    assert detail in result.detail


async def test_a_server_whose_credential_cannot_be_opened_is_asked_nothing(
    client: OllamaClient, fake: FakeOllama
) -> None:
    server = replace(server_at(fake.url), credential=Unreadable(why="No key opens it."))
    for ask in QUESTIONS.values():
        result = await ask(client, server)
        assert (result.reason, result.detail) == (Reason.CREDENTIAL, "No key opens it.")
    assert fake.accepted == 0


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("same_host", [True, False])
async def test_a_redirect_is_not_followed_so_its_target_sees_no_credential(
    client: OllamaClient, fake: FakeOllama, code: int, same_host: bool
) -> None:
    async with FakeOllama(host="127.0.0.2") as target:
        aim = fake if same_host else target
        fake.behave(behaviours.redirect(f"{aim.url}/elsewhere", code))
        server = replace(server_at(fake.url), credential=Bearer(token="canary-token"))
        for ask in QUESTIONS.values():
            assert (await ask(client, server)).reason is Reason.NOT_OLLAMA
        assert target.accepted == 0
        assert fake.requests["/elsewhere"] == 0


async def test_a_connection_that_two_servers_share_carries_to_each_only_its_own(
    client: OllamaClient, fake: FakeOllama
) -> None:
    # Behind one proxy, told apart by a path: to the pool of connections they are one.
    one, other, open_one = (server_at(f"{fake.url}{path}") for path in ("/one", "/other", "/open"))
    fake.behave(behaviours.document({"version": "0.1"}))
    asked = [
        replace(one, credential=Bearer(token="first")),
        replace(other, credential=ApiKey(key="second")),
        open_one,
        replace(one, credential=Bearer(token="first")),
    ]
    for server in asked:
        assert (await HttpProber(client).probe(server)).reason is Reason.OK
    assert fake.accepted == 1
    bearer = {"authorization": "Bearer first"}
    assert sent(fake) == [bearer, {"x-api-key": "second"}, {}, bearer]


async def test_a_question_that_is_repeated_on_a_new_connection_carries_it_again(
    client: OllamaClient, fake: FakeOllama
) -> None:
    server = replace(server_at(fake.url), credential=Bearer(token="canary-token"))
    await HttpProber(client).probe(server)
    fake.behave(behaviours.hang_up())
    assert (await HttpProber(client).probe(server)).reason is Reason.RESET
    assert len(fake.received) == 3
    assert sent(fake) == [{"authorization": "Bearer canary-token"}] * 3


async def test_the_connection_watch_sends_nothing(client: OllamaClient, fake: FakeOllama) -> None:
    server = replace(server_at(fake.url), credential=Bearer(token="canary-token"))
    hold = await IdleConnections(client.dialer, client.contexts).hold(server, lambda _ending: None)
    assert hold is not None
    await eventually(lambda: len(fake.silent_connections) == 1)
    hold.close()
    assert not fake.received


async def test_an_examination_sends_it_and_says_so_but_never_what(fake: FakeOllama) -> None:
    fake.behave(behaviours.behind_proxy(fake.answer_well, header="x-gate", value="canary-key"))
    server = replace(server_at(fake.url), credential=ApiKey(key="canary-key", header="X-Gate"))
    found = await examination.examine(server)
    assert found.trouble is Reason.OK
    assert [step.seen for step in found.steps if step.name == "credential"] == ["sent along: X-Gate"]
    assert "canary-key" not in json.dumps([step.seen for step in found.steps])


async def test_an_examination_ends_at_a_credential_that_cannot_be_opened(fake: FakeOllama) -> None:
    server = replace(server_at(fake.url), credential=Unreadable(why="No key opens it."))
    found = await examination.examine(server)
    assert [(step.name, step.ok, step.seen) for step in found.steps] == [("credential", False, "No key opens it.")]
    assert found.result.reason is Reason.CREDENTIAL
    assert fake.accepted == 0
