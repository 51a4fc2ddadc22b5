"""What a token is made of, and what its scopes contain."""

import inspect
import uuid

from api.fleet.access import scopes, tokens
from api.fleet.access.scopes import Scope
from api.fleet.access.tokens import TokenTable


def test_a_token_gives_its_id_and_never_comes_twice() -> None:
    token_id = uuid.uuid4()
    made = {tokens.make(token_id) for _ in range(100)}
    assert len(made) == 100
    assert {tokens.public_id(token) for token in made} == {token_id.hex}
    assert len({tokens.digest(token) for token in made}) == 100


def test_what_cannot_be_a_token_has_no_id() -> None:
    token = tokens.make(uuid.uuid4())
    for text in ("", "olf_", token + "\n", " " + token, token[:-1], token + "x", token.replace("olf", "OLF"), "\udcff"):
        assert tokens.public_id(text) is None


def test_a_secret_is_compared_in_constant_time() -> None:
    source = inspect.getsource(TokenTable.find)
    assert "hmac.compare_digest(" in source
    assert "digest ==" not in source


def test_write_contains_read_and_only_admin_contains_credentials() -> None:
    assert scopes.implied([Scope.WRITE]) == {Scope.READ, Scope.WRITE}
    assert scopes.implied([Scope.READ, Scope.CREDENTIALS]) == {Scope.READ, Scope.CREDENTIALS}
    assert scopes.implied([Scope.ADMIN]) == set(Scope)
    assert scopes.implied([]) == frozenset()
