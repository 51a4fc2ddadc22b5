"""Every problem code that the sources can answer with is described, and no other."""

import ast
import gc
from collections.abc import Iterator

import pytest

from api.web.problems import CODES
from monitor.domain import resolver
from tests.deploy.checkout import ROOT


def codes_raised() -> set[str]:
    """Every text that the sources of the API use as the code of a problem, and the resolver's own codes."""
    found: set[str] = {code.value for code in resolver.Code}
    for source in (ROOT / "api").rglob("*.py"):
        if source.is_relative_to(ROOT / "api" / "cli"):
            # The commands only read codes.
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            found.update(text for part in code_parts(node) for text in texts_of(part))
    return found


def code_parts(node: ast.AST) -> Iterator[ast.AST]:
    """The first argument of a refusal, `code=` of a call, its default, and what is assigned to `code`."""
    match node:
        case ast.Call(func=ast.Name(id="Refused" | "HttpRefused"), args=[code, *_]):
            yield code
        case ast.keyword(arg="code", value=code):
            yield code
        case ast.Assign(targets=[ast.Name(id="code")], value=code):
            yield code
        case ast.FunctionDef(args=ast.arguments(kwonlyargs=names, kw_defaults=defaults)):
            yield from (
                default
                for name, default in zip(names, defaults, strict=True)
                if name.arg == "code" and default is not None
            )


def texts_of(part: ast.AST) -> Iterator[str]:
    """The texts in an expression; one that is put together of a field is one for each such field."""
    if isinstance(part, ast.JoinedStr):
        yield from (f"{field}{text}" for text in texts_of(part.values[-1]) for field in ("name", "url"))
        return
    for node in ast.walk(part):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """Python 3.11 counts how deep a parser is, and is led astray by what a collection ends in the middle of it."""
    gc.disable()
    yield
    gc.enable()


def test_every_code_that_is_raised_is_described_and_no_other() -> None:
    assert codes_raised() == set(CODES)
