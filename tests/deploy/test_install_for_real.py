"""The installer with the real uv and the real program: what it puts there runs, and has migrated its database."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import checkout as checkouts
from tests.deploy.host import Host
from tests.embedded import embedded_user

# Both stand-ins leave all but the place of Python to the real program.
UV = f'exec {checkouts.UV} "$@"'
BASE = shlex.quote(getattr(sys, "_base_executable", ""))
PYTHON = f'case "$*" in *_base_executable*) echo $0 ;; *) exec {BASE} "$@" ;; esac'


@pytest.mark.long
def test_what_is_installed_runs_and_has_migrated_its_database(host: Host, home: dict[str, str]) -> None:
    host.stand_in("uv", UV)
    host.stand_in("python3", PYTHON)
    with embedded_user.state_dir() as state_dir:
        settings = host.root / "etc/ollama-fleet/ollama-fleet.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'state_dir = "{state_dir}"\n')
        # The stand-in of systemctl asks which version it starts.
        host.stand_in("systemctl", "exit 0")
        code, printed = host.install(env=home)
        assert code == 0, printed
        assert "The schema is at" in printed
        program = host.root / "opt/ollama-fleet/current/bin/ollama-fleet"
        query = ["db", "psql", "--", "-Atc", "SELECT count(*) FROM ollama_servers"]
        command: list[str | Path] = [program, "--config", settings, *query]
        done = subprocess.run(command, cwd="/", env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    version = (host.root / "opt/ollama-fleet/current").resolve()
    assert (version / "units" / "ollama-fleet.service").exists()
    assert not list(version.rglob("*editable*ollama*"))
    assert (
        host.checkout.root.name
        not in subprocess.run(
            [version / "bin/python", "-I", "-c", "import monitor; print(monitor.__file__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
