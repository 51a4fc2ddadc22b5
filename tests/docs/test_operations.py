"""The page of operations: its commands work as written, and what it names is there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.settings import Settings
from tests import fold
from tests.deploy.checkout import ROOT
from tests.docs import pages
from tests.embedded import embedded_user
from tests.postgres.conftest import postgres_15

PAGE = "operations.md"
COMMAND = Path(sys.executable).with_name("ollama-fleet")
LOUD = {"warning", "error", "exception", "critical"}
__all__ = ["postgres_15"]


def commands() -> list[str]:
    """Every line of the page's shell blocks, less its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", pages.text(PAGE), re.DOTALL)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.replace("\\\n", "").splitlines()]


def logged() -> Iterator[tuple[str, str]]:
    """Level and name of every line that the program can log by a fixed name."""
    for source in [*(ROOT / "monitor").rglob("*.py"), *(ROOT / "api").rglob("*.py")]:
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=str(name)), *_]
                ):
                    yield level, name


def test_every_loud_log_line_is_explained_and_every_one_explained_is_there() -> None:
    explained = {name for row in pages.rows(PAGE, header="event") for name in pages.codes(row[0])}
    # Their names are made of those of the events.
    of_events = {"monitor_isolated", "monitor_recovered"}
    assert {name for level, name in logged() if level in LOUD} | of_events == explained


def test_every_setting_and_command_it_names_is_there() -> None:
    named = {code for code in pages.codes(pages.text(PAGE)) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", code)}
    assert named <= {name.upper() for name in Settings.model_fields}
    words = [shlex.split(line.partition(" >")[0]) for line in commands()]
    ours = [line[1:3] for line in words if line[0] == "ollama-fleet"]
    assert ours
    for line in ours:
        done = subprocess.run([COMMAND, *line, "--help"], capture_output=True, check=False)
        assert done.returncode == 0, line


@pytest.mark.parametrize(
    "page", sorted((ROOT / "deploy").rglob("*.md")), ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.fixture(params=["postgres", pytest.param("postgres_15", marks=pytest.mark.long)])
async def target(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """An empty database of another role, on this PostgreSQL and on an older one."""
    server: EmbeddedServer = request.getfixturevalue(request.param)
    name = f"moved_{os.getpid()}"
    admin = await asyncpg.connect(server.dsn("postgres"))
    await admin.execute(f"CREATE ROLE {name} LOGIN")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    yield server.dsn(name).replace("//fleet@", f"//{name}@")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


async def test_the_way_to_another_postgresql_works_as_it_is_written(target: str, tmp_path: Path) -> None:
    (mend,) = (line for line in commands() if line.startswith("sed "))
    (restore,) = {line for line in commands() if line.startswith("ollama-fleet db psql") and "<fleet.sql" in line}
    assert "ollama-fleet db dump >fleet.sql" in commands()
    with embedded_user.state_dir() as state_dir:
        here = {"OLLAMA_FLEET_STATE_DIR": str(state_dir)}
        for words in ("servers add gpu-1 http://127.0.0.1:9", "servers set gpu-1 --priority 3"):
            shell(f"ollama-fleet {words}", tmp_path, **here)
        shell("ollama-fleet db dump >fleet.sql", tmp_path, **here)
    shell(mend, tmp_path)
    there = {"OLLAMA_FLEET_DATABASE_URL": target, "OLLAMA_FLEET_STATE_DIR": str(tmp_path / "none")}
    shell(restore, tmp_path, **there)
    assert "nothing was to do" in shell("ollama-fleet migrate", tmp_path, **there)
    shell("ollama-fleet servers set gpu-1 --priority 4", tmp_path, **there)
    session = await asyncpg.connect(target)
    events = await fold.read_events(session)
    assert [event.seq for event in events] == [1, 2, 3]
    assert fold.fold(events) == await fold.table_state(session)
    await session.close()


def test_a_dump_is_restored_and_keys_and_tokens_are_changed_as_it_is_written(tmp_path: Path) -> None:
    dump, *restore = (line for line in commands() if line.startswith("ollama-fleet db "))
    keys = [line for line in commands() if line.startswith(("ollama-fleet keys", "ollama-fleet token"))]
    (tmp_path / "secret").write_text("planted")
    with embedded_user.state_dir() as state_dir:
        here = {"OLLAMA_FLEET_STATE_DIR": str(state_dir)}
        shell("ollama-fleet token create ci --scope read", tmp_path, **here)
        add = "ollama-fleet servers add gpu-1 http://127.0.0.1:9 --auth-type bearer --secret-file secret"
        shell(add, tmp_path, **here)
        rotated, listed, pruned, _, _ = (shell(line, tmp_path, **here) for line in keys)
        assert "1 credentials were sealed anew" in rotated
        assert (len(listed.splitlines()), pruned.split()[0]) == (3, "Removed")
        assert (tmp_path / "ci.token").read_text().startswith("olf_")
        shell(dump, tmp_path, **here)
        shell("ollama-fleet servers remove gpu-1 --yes", tmp_path, **here)
        for line in dict.fromkeys(restore):
            if line != dump:
                shell(line, tmp_path, **here)
        assert "gpu-1" in shell("ollama-fleet servers list", tmp_path, **here)
        assert shell("ollama-fleet keys list", tmp_path, **here).splitlines()[1].split()[-4:-3] == ["1"]


def shell(line: str, folder: Path, **settings: str) -> str:
    """Run a line as an operator types it."""
    environment = {**os.environ, **settings, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
