"""The page of REST names every route that is answered and every code that an answer can have, and no others."""

import ast
import re
from collections.abc import Iterator

from aiohttp import hdrs

from api import app
from api.fan_out import FanOut
from api.streams import Streams
from api.wakeup import Wakeup
from monitor.postgres.database import Database
from monitor.settings import Settings
from tests.deploy.checkout import ROOT
from tests.docs import pages

STATUS = re.compile(r"[45][0-9]{2}")


def routes_answered(database: Database) -> set[str]:
    """Every method and path of the API as it is built; HEAD goes with GET."""
    settings = Settings()
    wakeup, streams = Wakeup(database), Streams(database, settings.policy, FanOut(database))
    router = app.build(settings, database, wakeup=wakeup, streams=streams).router
    return {
        f"{route.method} {route.resource.canonical}"
        for route in router.routes()
        if route.resource is not None and route.method != hdrs.METH_HEAD
    }


def codes_raised() -> set[str]:
    """Every text that the sources of the API use as the code of a problem."""
    found: set[str] = set()
    for source in (ROOT / "api").rglob("*.py"):
        if source.is_relative_to(ROOT / "api" / "cli"):
            # The commands only read codes.
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            found.update(text for part in code_parts(node) for text in texts_of(part))
    return found


def code_parts(node: ast.AST) -> Iterator[ast.AST]:
    """The second argument of `Problem`, `code=` of a call, its default, and what is assigned to `code`."""
    match node:
        case ast.Call(func=ast.Name(id="Problem"), args=[_, code, *_]):
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


async def test_every_route_is_documented_and_no_other(dsn: str) -> None:
    documented = [row[0].strip("`") for row in pages.rows("rest.md", header="route")]
    assert set(documented) == routes_answered(Database(dsn, name="tests"))
    assert len(set(documented)) == len(documented)


def test_every_code_is_documented_and_no_other() -> None:
    codes = [row[0].strip("`") for row in pages.rows("rest.md", header="code")]
    assert set(codes) == codes_raised()
    assert codes == sorted(codes)
    assert all(STATUS.fullmatch(row[1]) for row in pages.rows("rest.md", header="code"))


def test_every_code_is_of_some_route_or_of_all() -> None:
    introduction = pages.text("rest.md").partition("| route |")[0]
    routes = pages.rows("rest.md", header="route")
    told = {code for row in routes for code in pages.codes(row[2] if len(row) > 2 else "")}
    known = {row[0].strip("`") for row in pages.rows("rest.md", header="code")}
    assert told <= known
    assert known <= told | set(pages.codes(introduction))
