"""Requests that were let in before: known again, but never longer than their grants, nor as what was sent."""

from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from multidict import CIMultiDict

from api.fleet.access import grant, tokens
from api.fleet.access.grant import Grant
from api.fleet.access.scopes import Access, Scope
from api.web.gate import admissions
from api.web.gate.admissions import Admissions

HEADER = "Bearer olf_secret"
TARGET = "/api/resolve?model=m"


def access(granted: Grant) -> Access:
    """What a token with this grant allows."""
    return Access(actor="ci", scopes=frozenset({Scope.READ}), grant=granted)


def request(target: str = TARGET, *headers: str, method: str = "GET") -> web.Request:
    """Return a request with these headers of a token; the usual one if none is given."""
    sent = CIMultiDict(("Authorization", each) for each in headers or (HEADER,))
    return cast("web.Request", SimpleNamespace(method=method, raw_path=target, headers=sent))


async def test_a_request_is_known_again_until_its_grant_ends() -> None:
    known, granted = Admissions(), access(Grant())
    known.remember(request(), granted)
    assert known.recall(request()) is granted
    assert known.recall(request(TARGET, HEADER + "x")) is None
    assert known.recall(request(TARGET, "Bearer \udcff")) is None
    assert known.recall(request(TARGET, HEADER, HEADER)) is None
    assert known.recall(request(f"{TARGET}&include=credentials")) is None
    granted.grant.end(tokens.unknown())
    assert known.recall(request()) is None


async def test_a_session_is_known_with_all_others_but_not_what_is_hidden_beside_it() -> None:
    known, granted = Admissions(), access(Grant())
    known.remember(request(f"{TARGET}&session=a"), granted)
    assert known.recall(request(f"{TARGET}&session=b")) is granted
    assert known.recall(request(f"{TARGET}&session=b&token=x")) is None
    assert known.recall(request(f"{TARGET}&session=b%26token=x")) is None


async def test_what_changes_something_is_looked_at_each_time() -> None:
    known = Admissions()
    known.remember(request(method="POST"), access(Grant()))
    assert known.recall(request(method="POST")) is None
    known.remember(request(), access(Grant()))
    assert known.recall(request(method="DELETE")) is None


async def test_several_headers_are_not_remembered() -> None:
    known = Admissions()
    known.remember(request(TARGET, HEADER, HEADER), access(Grant()))
    assert known.recall(request(TARGET, HEADER, HEADER)) is None


async def test_a_request_is_not_known_after_its_token_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    start = grant.now()
    known = Admissions()
    known.remember(request(), access(Grant(deadline=start + 60, expired=tokens.unknown())))
    assert known.recall(request()) is not None
    monkeypatch.setattr(grant, "now", lambda: start + 60)
    assert known.recall(request()) is None


async def test_no_secret_is_kept_and_not_without_limit() -> None:
    known = Admissions()
    for number in range(3 * admissions.MOST_REMEMBERED):
        known.remember(request(f"{TARGET}{number}"), access(Grant()))
    assert len(known._known) <= admissions.MOST_REMEMBERED
    assert not any(b"secret" in mark for _, mark in known._known)
