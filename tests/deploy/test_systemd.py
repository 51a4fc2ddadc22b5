"""The units for systemd are correct, hardened, and start what there is, as systemd's own tool says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT

UNITS = ["ollama-fleet.service", "ollama-fleet-monitor.service", "ollama-fleet-api.service"]
INSTALLED = "/opt/ollama-fleet/current/bin/ollama-fleet"
MOST_EXPOSURE = 2.0

pytestmark = pytest.mark.parametrize("name", UNITS)
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (Debian's package systemd)"
)


def read(name: str) -> str:
    return (ROOT / "deploy" / "systemd" / name).read_text()


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@needs_systemd
@pytest.mark.parametrize("with_keyring", [False, True])
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path, with_keyring: bool) -> None:
    """A copy is checked whose program and user exist here, since systemd looks for them as well."""
    unit = tmp_path / name
    unit.write_text(read(name).replace(INSTALLED, "/bin/sh").replace("User=ollama-fleet", "User=root"))
    if with_keyring:
        (tmp_path / f"{name}.d").mkdir()
        (tmp_path / f"{name}.d" / "keyring.conf").write_text(read("keyring.conf"))
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_a_broken_service_could_do_little_harm(name: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(ROOT / "deploy" / "systemd" / name))
    exposure = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_the_service_is_watched_and_started_again_but_not_on_a_wrong_setting(name: str) -> None:
    lines = read(name).splitlines()
    assert {
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=20",
        "Restart=on-failure",
        "RestartPreventExitStatus=78",
        "LimitNOFILE=65536",
    } <= set(lines)


def test_the_service_starts_a_command_that_there_is(name: str) -> None:
    starts = re.findall(
        r"^Exec\w+=-?(\S+) --config /etc/ollama-fleet/ollama-fleet.toml (.+)$", read(name), re.MULTILINE
    )
    assert len(starts) == read(name).count("\nExec") > 0
    command = Path(sys.executable).with_name("ollama-fleet")
    for program, words in starts:
        assert program == INSTALLED
        done = subprocess.run([command, *words.split(), "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_service_holds_no_secret_and_reads_no_environment_file(name: str) -> None:
    assert not re.search("DATABASE_URL|EnvironmentFile|Environment=", read(name))
