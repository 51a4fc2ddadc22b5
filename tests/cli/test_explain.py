"""`servers check --explain`: every step of a check, for a person, from this machine, without a monitor."""

import asyncio
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.domain import reasons
from monitor.domain.probe import Reason
from tests.cli.conftest import CHECKOUT, COMMAND, PATIENCE, Outcome, Typed
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama

FAKE = (COMMAND[0], "-m", "tests.fakes.ollama")
EVIL = b"HTTP/1.1 403 \x1b[2J\xc2\x9bgone\r\nServer: \xc2\x9b\xe2\x80\xaemoc\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[str]:
    """Return the URL of a server that is well, in a process of its own."""
    with subprocess.Popen(FAKE, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split()[1]
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def free_url() -> Iterator[str]:
    """Return the URL of a port of this machine that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_an_advice_of_one_paragraph(reason: Reason) -> None:
    for url in ("http://10.0.0.5:11434", "https://[::1]/a/b", "http://garbage?"):
        said = reasons.advice(reason, url)
        assert re.fullmatch(r"[^\n{}]{20,300}[.?]", said), said


def test_the_advice_names_host_and_port() -> None:
    assert reasons.advice(Reason.REFUSED, "http://10.0.0.5:11434").startswith(
        "Nothing listens on port 11434 of 10.0.0.5: is Ollama running there"
    )
    for here in ("127.0.0.1", "localhost", "[::1]"):
        assert reasons.advice(Reason.REFUSED, f"http://{here}:11999").startswith("Start Ollama on this machine")


def test_a_url_is_explained_by_a_real_process_that_has_no_database(
    started: Callable[..., subprocess.Popen[str]], server: str, tmp_path: Path
) -> None:
    process = started("servers", "check", f"{server}/v1", "--explain")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert [line.split()[0] for line in out.splitlines() if line] == [
        f"{server},",
        "STEP",
        "resolve",
        "guard",
        "connect",
        "head",
        "body",
        "models",
        "loaded",
        "Verdict",
        "Next",
        "Add",
    ]
    assert f"Add it   ollama-fleet servers add NAME {server}\n" in out
    assert err == f"The registry was not asked whether it has this URL: no database runs in {tmp_path / 'state'}.\n"
    assert not (tmp_path / "state").exists()


def test_a_url_is_explained_while_the_database_is_away(
    typed: Typed, free_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "OLLAMA_FLEET_DATABASE_URL", f"postgresql://fleet:secret@{free_url.removeprefix('http://')}/fleet"
    )
    outcome = typed("servers", "check", free_url, "--explain")
    assert outcome.code == 1
    assert "Verdict  refused: Nothing listens on the port.\n" in outcome.out
    assert outcome.err.startswith("The registry was not asked whether it has this URL: PostgreSQL at 127.0.0.1")
    assert "secret" not in outcome.err


@pytest.mark.usefixtures("on_database")
def test_a_registered_server_is_asked_at_its_url_with_its_own_patience(typed: Typed, server: str) -> None:
    assert typed("servers", "add", "gpu-1", server, "--timeout", "7s", "--inactive").code == 0
    for reference in ("gpu-1", server, f"{server}/"):
        outcome = typed("servers", "check", reference, "--explain")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.startswith(f"gpu-1 at {server}, asked from this machine, with 7 s for an answer\n")
        assert "Verdict  ok, Ollama 0." in outcome.out
        assert "Add it" not in outcome.out


@pytest.mark.usefixtures("on_database", "ring")
async def test_a_registered_server_is_asked_with_its_credential(typed: Typed, secret_file: str) -> None:
    async with FakeOllama() as fake:
        fake.behave(behaviours.behind_proxy(fake.answer_well, header="authorization", value="Bearer canary-secret"))

        async def explained(reference: str) -> Outcome:
            return await asyncio.to_thread(typed, "servers", "check", reference, "--explain")

        assert "Verdict  auth: " in (await explained(fake.url)).out
        words = ("servers", "add", "gpu-1", fake.url, "--auth-type", "bearer", "--secret-file", secret_file)
        assert (await asyncio.to_thread(typed, *words)).code == 0
        for reference in ("gpu-1", fake.url):
            outcome = await explained(reference)
            assert (outcome.code, outcome.err) == (0, "")
            assert "Verdict  ok, Ollama 0." in outcome.out
            assert "canary" not in outcome.out
        assert {request.headers.get("authorization") for request in fake.received} == {None, "Bearer canary-secret"}


@pytest.mark.usefixtures("on_database")
def test_a_program_gets_all_of_it_and_the_exit_code(typed: Typed, free_url: str) -> None:
    outcome = typed("servers", "check", free_url, "--explain", "--json")
    assert (outcome.code, outcome.err) == (1, "")
    found = json.loads(outcome.out)
    steps = found.pop("steps")
    assert [(step["name"], step["ok"]) for step in steps] == [("resolve", True), ("guard", True), ("connect", False)]
    assert all(set(step) == {"name", "ok", "ms", "seen"} and step["ms"] >= 0 for step in steps)
    assert found == {
        "url": free_url,
        "name": None,
        "is_registered": False,
        "timeout_seconds": 5.0,
        "is_alive": False,
        "reason": "refused",
        "detail": "Nothing listens on the port.",
        "server_version": None,
        "latency_ms": None,
        "trouble": "refused",
        "advice": reasons.advice(Reason.REFUSED, free_url),
    }


@pytest.mark.usefixtures("on_database")
def test_a_name_that_is_not_registered_and_a_url_that_is_none_are_refused(typed: Typed) -> None:
    assert "There is no server gpu-9" in typed("servers", "check", "gpu-9", "--explain").err
    outcome = typed("servers", "check", "ftp://gpu-9", "--explain")
    assert (outcome.code, outcome.out) == (1, "")
    assert "must begin with http:// or https://" in outcome.err


def test_nothing_a_hostile_server_says_steers_the_terminal(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        process = started("servers", "check", f"http://127.0.0.1:{listener.getsockname()[1]}", "--explain")
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(EVIL)
            out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "gone" in out
    assert all(line.isprintable() for line in out.splitlines())
