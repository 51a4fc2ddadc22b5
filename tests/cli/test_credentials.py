"""Credentials by hand: no secret is an argument, and none is shown."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.credentials.key_ring_file import KeyRingFile
from monitor.domain.credential import ApiKey, Basic, Bearer
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.serving import serving_beside
from tests.cli.conftest import PATIENCE, Outcome, Typed
from tests.cli.stored import stored, stored_at

pytestmark = pytest.mark.usefixtures("on_database")

Started = Callable[..., subprocess.Popen[str]]
URL = "http://gpu-1.example:11434"


def shown(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome.err
    assert "canary" not in outcome.out + outcome.err
    return outcome.out


def test_each_kind_is_read_from_a_file(typed: Typed, on_database: str, ring: KeyRingFile, secret_file: str) -> None:
    secret = ("--secret-file", secret_file)
    out = shown(typed("servers", "add", "a", "http://a.example", "--auth-type", "bearer", *secret, "--json"))
    assert json.loads(out)["auth"] == {"type": "bearer", "configured": True}
    shown(typed("servers", "add", "b", "http://b.example", "--auth-type", "basic", "--username", "fleet", *secret))
    shown(typed("servers", "add", "c", "http://c.example"))
    out = shown(typed("servers", "set", "c", "--auth-type", "api_key", "--auth-header", "X-Gate", *secret))
    assert out == "Changed c: auth=api_key in X-Gate (was none).\n"
    out = shown(typed("servers", "set", "c", "--auth-type", "api_key", "--auth-header", "X-Gate", *secret))
    assert out == "Changed c: auth=api_key in X-Gate (given anew).\n"
    assert asyncio.run(stored_at(on_database, ring)) == [
        Bearer(token="canary-secret"),
        Basic(username="fleet", password="canary-secret"),
        ApiKey(key="canary-secret", header="X-Gate"),
    ]


def test_a_credential_goes_to_a_fleet_elsewhere_and_does_not_come_back(
    typed: Typed, on_database: str, ring: KeyRingFile, secret_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"api_port": "0", "keyring_file": str(ring.path)})
    monkeypatch.delenv("OLLAMA_FLEET_KEYRING_FILE")
    with serving_beside(settings, on_database) as address, monkeypatch.context() as patch:
        patch.setenv("OLLAMA_FLEET_API_URL", address)
        secret = ("--secret-file", secret_file)
        shown(
            typed("servers", "add", "a", "http://127.0.0.1:9", "--auth-type", "basic", "--username", "fleet", *secret)
        )
        explained = typed("servers", "check", "a", "--explain")
        assert "asked without its credential" in explained.err
        assert asyncio.run(stored_at(on_database, ring)) == [Basic(username="fleet", password="canary-secret")]
        dropped = typed("servers", "set", "a", "--url", "http://127.0.0.2:9")
        assert "credential for the one before was removed" in dropped.err
    assert typed("servers", "show", "a", "--json").out.count('"configured": false') == 1


async def test_a_secret_comes_through_a_pipe(started: Started, connection: Connection, ring: KeyRingFile) -> None:
    words = ("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", "-")
    process = started(*words, stdin=subprocess.PIPE)
    out, err = process.communicate("canary-secret\n", timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert "canary" not in out
    assert await stored(connection, ring) == [Bearer(token="canary-secret")]


async def test_a_person_is_asked_and_what_is_typed_is_not_shown(
    connection: Connection, ring: KeyRingFile, started: Started
) -> None:
    ours, theirs = os.openpty()
    process = started("servers", "add", "a", URL, "--auth-type", "bearer", stdin=theirs, start_new_session=True)
    screen = process.stderr
    assert screen is not None
    asked = "".join(iter(lambda: screen.read(1), " "))
    # Not ahead of the question: what was typed before it is thrown away.
    os.write(ours, b"canary-secret\n")
    out, err = process.communicate(timeout=PATIENCE)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0, err
    assert asked.endswith("Token:")
    assert "canary" not in out + err
    assert await stored(connection, ring) == [Bearer(token="canary-secret")]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--auth-type bearer", "--secret-file FILE or -"),
        ("--auth-type basic --secret-file x", "--username"),
        ("--auth-type bearer --username fleet --secret-file x", "--username"),
        ("--auth-type bearer --auth-header X --secret-file x", "--auth-header"),
        ("--secret-file x", "--secret-file"),
        ("--auth-type none --secret-file x", "--secret-file"),
        ("--auth-type kerberos", "kerberos"),
    ],
)
def test_options_that_make_no_sense_together_are_wrong_usage(typed: Typed, options: str, why: str) -> None:
    outcome = typed("servers", "add", "a", URL, *options.split())
    assert outcome.code == 2
    assert why in outcome.err


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("content", [b"", b"canary 1", b"canary\xff", b"canary\nmore", b"canary" * 10_000])
def test_a_secret_of_no_use_is_refused_without_being_repeated(typed: Typed, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    file = str(tmp_path / "secret")
    outcome = typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", file)
    assert (outcome.code, outcome.out) == (1, "")
    assert "canary" not in outcome.err
    assert typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", f"{file}2").code == 1


@pytest.mark.usefixtures("ring")
def test_a_credential_goes_with_the_origin_or_when_it_is_taken_away(typed: Typed, secret_file: str) -> None:
    add = ("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    assert typed(*add).code == 0
    kept = typed("servers", "set", "a", "--url", f"{URL}/ollama", "--json")
    assert json.loads(kept.out)["auth"] == {"type": "bearer", "configured": True}
    dropped = typed("servers", "set", "a", "--url", "http://elsewhere.example")
    assert dropped.code == 0
    assert "credential for the one before was removed" in dropped.err
    typed("servers", "set", "a", "--auth-type", "bearer", "--secret-file", secret_file)
    taken = typed("servers", "set", "a", "--auth-type", "none", "--json")
    assert json.loads(taken.out)["auth"] == {"type": "none", "configured": False}


@pytest.mark.usefixtures("on_database")
def test_without_a_key_ring_a_credential_ends_with_78_and_what_to_do(typed: Typed, secret_file: str) -> None:
    outcome = typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    assert (outcome.code, outcome.out) == (78, "")
    assert "ollama-fleet keys create FILE" in outcome.err
    assert "OLLAMA_FLEET_KEYRING_FILE" in outcome.err
