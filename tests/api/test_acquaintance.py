"""Headers that were good before: known again, but never longer than their grants, nor as what was sent."""

import pytest

from api.security import acquaintance, grant, token_table
from api.security.access import Access, Scope
from api.security.acquaintance import Acquaintance
from api.security.grant import Grant

HEADER = "Bearer olf_secret"


def access(granted: Grant) -> Access:
    """What a token with this grant allows."""
    return Access(actor="ci", scopes=frozenset({Scope.READ}), grant=granted)


async def test_a_header_is_known_again_until_its_grant_ends() -> None:
    known, granted = Acquaintance(), access(Grant())
    known.remember(HEADER, granted)
    assert known.recall(HEADER) is granted
    assert known.recall(HEADER + "x") is None
    assert known.recall("Bearer \udcff") is None
    granted.grant.end(token_table.unknown())
    assert known.recall(HEADER) is None


async def test_a_header_is_not_known_after_its_token_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    start = grant.now()
    known = Acquaintance()
    known.remember(HEADER, access(Grant(deadline=start + 60, expired=token_table.unknown())))
    assert known.recall(HEADER) is not None
    monkeypatch.setattr(grant, "now", lambda: start + 60)
    assert known.recall(HEADER) is None


async def test_no_secret_is_kept_and_not_without_limit() -> None:
    known = Acquaintance()
    for number in range(3 * acquaintance.MOST_REMEMBERED):
        known.remember(f"{HEADER}{number}", access(Grant()))
    assert len(known._known) <= acquaintance.MOST_REMEMBERED
    assert not any(b"secret" in mark for mark in known._known)
