"""Sealed credentials: they open where they belong and nowhere else, and show themselves to nobody."""

import copy
import json
import pickle
import traceback
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from monitor.credentials import sealing
from monitor.credentials.key_ring import Key, KeyRing
from monitor.credentials.sealing import Sealed
from monitor.domain import credential as credentials
from monitor.domain.credential import ApiKey, Basic, Bearer, ClientKey, Credential, Guarded, Unreadable
from tests.credentials.conftest import fresh_key

SECRET = "hunter2-ümlaut"
KINDS: list[Credential | ClientKey] = [
    Basic(username="fleet", password=SECRET),
    Basic(username="fleet", password=""),
    Bearer(token=SECRET),
    ApiKey(key=SECRET),
    ApiKey(key=SECRET, header="X-Other"),
    ClientKey(pem=SECRET),
]
URL = "https://gpu-1.example:8443/ollama"
SERVER = UUID(int=7)


def sealed_with(key: Key, credential: Credential | ClientKey) -> Sealed:
    return sealing.seal(credential, server_id=SERVER, url=URL, key=key)


def opened(sealed: Sealed, *keys: Key) -> Credential | ClientKey | Unreadable:
    return sealing.unseal(sealed, find_key=KeyRing(keys).get)


@pytest.mark.parametrize("credential", KINDS)
def test_a_credential_opens_where_it_was_sealed_for(credential: Credential) -> None:
    key = fresh_key()
    sealed = sealed_with(key, credential)
    as_stored = replace(sealed, auth_config=json.loads(json.dumps(sealed.auth_config)))
    assert opened(as_stored, fresh_key(), key) == credential
    assert opened(replace(as_stored, url="HTTPS://GPU-1.example:8443/elsewhere/v1"), key) == credential


def test_nothing_of_a_secret_is_in_the_clear_and_no_two_are_alike() -> None:
    key = fresh_key()
    configs = [json.dumps(sealed_with(key, Basic(username="fleet", password=SECRET)).auth_config) for _ in range(2)]
    assert configs[0] != configs[1]
    assert not any(word in text for text in configs for word in ("fleet", "hunter2", "password"))


MOVES: dict[str, dict[str, Any]] = {
    "another server": {"server_id": uuid4()},
    "another host": {"url": "https://gpu-2.example:8443/ollama"},
    "another port": {"url": "https://gpu-1.example/ollama"},
    "another scheme": {"url": "http://gpu-1.example:8443/ollama"},
    "another kind": {"auth_type": "bearer"},
}


@pytest.mark.parametrize("move", MOVES)
def test_a_credential_does_not_open_for(move: str) -> None:
    key = fresh_key()
    sealed = sealed_with(key, ApiKey(key=SECRET))
    assert opened(sealed, key) == ApiKey(key=SECRET)
    assert opened(replace(sealed, **MOVES[move]), key) == sealing.FOREIGN


def test_a_credential_does_not_open_in_another_header() -> None:
    key = fresh_key()
    sealed = sealed_with(key, ApiKey(key=SECRET))
    for header in ("X-Other", "Host", None, 7, ["X-API-Key"]):
        moved = replace(sealed, auth_config={**sealed.auth_config, "header": header})
        assert isinstance(opened(moved, key), Unreadable), header


def test_every_changed_byte_of_the_ciphertext_is_noticed() -> None:
    key = fresh_key()
    sealed = sealed_with(key, Bearer(token=SECRET))
    text = sealed.auth_config["sealed"]
    for place in range(len(text.rstrip("="))):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        config = {**sealed.auth_config, "sealed": changed}
        assert isinstance(opened(replace(sealed, auth_config=config), key), Unreadable), place


def test_a_key_that_is_not_there_is_named() -> None:
    key = fresh_key()
    found = opened(sealed_with(key, Bearer(token=SECRET)), fresh_key())
    assert isinstance(found, Unreadable)
    assert key.id in found.why


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, sealing.ABSENT),
        ({"token": "planted"}, sealing.MALFORMED),
        ({"version": 2}, sealing.MALFORMED),
        ({"version": None}, sealing.MALFORMED),
        ({"key": None}, sealing.MALFORMED),
        ({"key": ["a"]}, sealing.MALFORMED),
        ({"sealed": None}, sealing.MALFORMED),
        ({"sealed": ""}, sealing.MALFORMED),
        ({"sealed": "AAAA"}, sealing.MALFORMED),
        ({"sealed": "*"}, sealing.MALFORMED),
        ({"sealed": "ü"}, sealing.MALFORMED),
        ({"sealed": {}}, sealing.MALFORMED),
    ],
)
def test_whatever_stands_in_the_row_opening_never_raises(change: dict[str, Any], outcome: Unreadable) -> None:
    key = fresh_key()
    sealed = sealed_with(key, Bearer(token=SECRET))
    alone = not change or "token" in change
    assert opened(replace(sealed, auth_config=change if alone else {**sealed.auth_config, **change}), key) == outcome


def test_a_url_that_is_none_is_told_apart() -> None:
    key = fresh_key()
    assert opened(replace(sealed_with(key, Bearer(token=SECRET)), url="nonsense"), key) == sealing.NO_ADDRESS


def test_every_answer_fits_the_detail_of_a_status() -> None:
    key_id = "k" * 300 + "\x1b"
    missing = opened(
        Sealed(server_id=SERVER, url=URL, auth_type="bearer", auth_config={"version": 1, "key": key_id}), fresh_key()
    )
    assert isinstance(missing, Unreadable)
    for answer in (missing, sealing.FOREIGN, sealing.MALFORMED, sealing.ABSENT, sealing.NO_ADDRESS):
        assert len(answer.why) <= 200
        assert answer.why.isprintable()


def test_a_credential_is_sealed_anew_with_the_first_key_or_left_alone() -> None:
    old, new = fresh_key(), fresh_key()
    sealed = sealed_with(old, ApiKey(key=SECRET, header="X-Other"))
    again = sealing.reseal(sealed, KeyRing((new, old)))
    assert again is not None
    assert (again.key_id, again.auth_config["header"]) == (new.id, "X-Other")
    assert opened(again, new) == ApiKey(key=SECRET, header="X-Other")
    assert sealing.reseal(sealed, KeyRing((new,))) is None


@pytest.mark.parametrize("secret", [*KINDS, fresh_key()])
def test_a_secret_does_not_show_and_does_not_leave_the_process(secret: Credential | Key) -> None:
    class Holder:
        def __init__(self) -> None:
            self.held = secret

    shown = f"{secret} {secret!r} {[secret]} {secret!s}"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            leave(secret)
        shown += "".join(traceback.format_exception(caught.value))
    with pytest.raises(TypeError):
        pickle.dumps(Holder().__dict__)
    assert isinstance(secret, Guarded)
    assert "hunter2" not in shown
    if isinstance(secret, Key):
        assert repr(secret.secret) not in shown


def test_what_is_sent_is_what_the_standards_say() -> None:
    assert credentials.headers(None) == {}
    aladdin = Basic(username="Aladdin", password="open sesame")
    assert credentials.headers(aladdin) == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}
    assert credentials.headers(Bearer(token="abc")) == {"Authorization": "Bearer abc"}
    assert credentials.headers(ApiKey(key="abc", header="X-Other")) == {"X-Other": "abc"}


# Authorization, since there are gates that want a key there without a scheme before it.
@pytest.mark.parametrize("header", ["X-API-Key", "api-key", "Authorization", "x_key", "a", "Ocp-Apim-Subscription-Key"])
def test_a_key_may_go_into(header: str) -> None:
    assert credentials.is_usable_header(header)


@pytest.mark.parametrize(
    "header",
    [
        *("Host", "content-length", "Transfer-Encoding", "COOKIE", "Connection", "User-Agent", "If-Match", "Te"),
        *("", "a b", "a:", "ü", "a\r\nb", "x" * 65),
    ],
)
def test_a_key_may_not_go_into(header: str) -> None:
    assert not credentials.is_usable_header(header)
