"""The proxy wants a credential: the right one opens, a wrong one is `auth` after three requests, then left alone."""

from pathlib import Path

import pytest

from tests.daemon.proxies.conftest import Behind, Watching
from tests.daemon.proxies.running import Setup
from tests.daemon.proxies.scene import FALL, RARELY
from tests.fakes.ollama import FakeOllama

pytestmark = pytest.mark.long

BASIC = {"type": "basic", "username": "monitor", "password": "right"}
BEARER = {"type": "bearer", "token": "right"}
CASES = [
    ("nginx", BASIC, BASIC | {"password": "wrong"}),
    ("nginx", BEARER, BEARER | {"token": "wrong"}),
    ("haproxy", BASIC, BASIC | {"password": "wrong"}),
    ("haproxy", BEARER, BEARER | {"token": "wrong"}),
]
IDS = [f"{program}-{right['type']}" for program, right, _ in CASES]
# The first check of a wrong credential may look for OpenAI's API as well.
MOST_ASKED = FALL + 1


def guarded(program: str, kind: str, folder: Path) -> Setup:
    """Return what lets only the right credential of a kind through."""
    users = folder / "users"
    users.write_text("monitor:{PLAIN}right\n")
    match program, kind:
        case "nginx", "basic":
            return Setup(settings=f'auth_basic "gpu"; auth_basic_user_file {users};')
        case "nginx", _:
            return Setup(settings='if ($http_authorization != "Bearer right") { return 401; }')
        case _, "basic":
            return Setup(
                defaults="userlist people\n    user monitor insecure-password right",
                settings="    http-request auth realm gpu unless { http_auth(people) }",
            )
        case _:
            rule = "http-request deny deny_status 401 unless { req.hdr(authorization) -m str"
            return Setup(settings=f'    {rule} "Bearer right" }}')


@pytest.mark.parametrize(("program", "right", "wrong"), CASES, ids=IDS)
async def test_the_right_credential_opens(
    program: str, right: dict[str, str], wrong: dict[str, str], behind: Behind, watching: Watching, tmp_path: Path
) -> None:
    setup = guarded(program, right["type"], tmp_path)
    async with FakeOllama() as fake, behind(program, fake.url, setup) as proxy, watching() as scene:
        await scene.add(proxy.url, auth=right)
        await scene.until_known(fake)
        assert {asked.status for asked in proxy.asked} == {200}
        assert await scene.told() == ["created", "up"]


@pytest.mark.parametrize("stored", ["wrong", "none"])
@pytest.mark.parametrize(("program", "right", "wrong"), CASES, ids=IDS)
async def test_a_wrong_or_missing_one_is_asked_with_three_times_and_is_then_left_alone(
    program: str,
    right: dict[str, str],
    wrong: dict[str, str],
    stored: str,
    behind: Behind,
    watching: Watching,
    tmp_path: Path,
) -> None:
    setup = guarded(program, right["type"], tmp_path)
    async with FakeOllama() as fake, behind(program, fake.url, setup) as proxy, watching() as scene:
        await scene.add(proxy.url, auth=wrong if stored == "wrong" else {"type": "none"})
        await scene.until("down", "auth")
        shown = await scene.shown()
        assert "(HTTP 401)" in shown["status_detail"]
        assert ("none is stored" in shown["status_detail"]) is (stored == "none")
        assert "--auth-type" in shown["advice"]
        bad = await scene.bad_answers(proxy)
        assert {asked.status for asked in bad} == {401}
        assert FALL <= len(bad) <= MOST_ASKED
        # What nobody mends by asking is asked again after the interval.
        assert await scene.pause() >= 0.8 * RARELY.total_seconds()
        assert not fake.received
        await scene.edit(auth=right)
        await scene.until("up")
        assert await scene.told() == ["created", "down", "up"]
