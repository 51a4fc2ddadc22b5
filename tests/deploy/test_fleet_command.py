"""The command that the installer puts on PATH: whose settings and which key ring it has, for root and for others."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT

PROGRAM = '#!/bin/sh\necho "${OLLAMA_FLEET_KEYRING_FILE:-no ring}" "$@"\n'


class Command:
    """The command with its folders moved below one of the test's, and its calls of the system noted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        text = (ROOT / "deploy" / "fleet_command.sh").read_text()
        for folder in ("/opt/", "/etc/", "/run/"):
            text = text.replace(folder, f"{root}{folder}")
        self.script = self.put("command", text)
        self.put("opt/ollama-fleet/current/bin/ollama-fleet", PROGRAM)
        self.settings = self.put("etc/ollama-fleet/ollama-fleet.toml", "")
        self.keyring = self.put("etc/ollama-fleet/keyring", "1:key")
        self.put("bin/id", "#!/bin/sh\necho 0\n")
        self.put("bin/runuser", '#!/bin/sh\nshift 3\necho handed down\nexec "$@"\n')

    def put(self, name: str, text: str) -> Path:
        """Write a file that may be run."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *words: str, **variables: str) -> list[str]:
        """Run it and return the lines that it printed."""
        env = {"PATH": f"{self.root / 'bin'}:/usr/bin:/bin", **variables}
        done = subprocess.run(["sh", self.script, *words], env=env, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_root_hands_the_command_down_to_the_services_user_with_their_settings(command: Command) -> None:
    assert command.run("status", "--json") == [
        "handed down",
        f"{command.keyring} --config {command.settings} status --json",
    ]


@pytest.mark.parametrize("unit", ["ollama-fleet", "ollama-fleet-monitor", "ollama-fleet-api"])
def test_a_running_service_lends_its_copy_of_the_key_ring(command: Command, unit: str) -> None:
    copy = command.put(f"run/credentials/{unit}.service/keyring", "1:key")
    assert command.run("doctor")[-1] == f"{copy} --config {command.settings} doctor"


def test_the_key_ring_itself_is_changed_by_root_and_not_a_copy_of_it(command: Command) -> None:
    command.put("run/credentials/ollama-fleet.service/keyring", "1:key")
    assert command.run("keys", "rotate") == [f"{command.keyring} --config {command.settings} keys rotate"]


def test_who_may_not_read_the_settings_asks_the_api_without_them(command: Command) -> None:
    command.put("bin/id", "#!/bin/sh\necho 1000\n")
    # Not there is not readable for root, too.
    command.settings.unlink()
    assert command.run("status", OLLAMA_FLEET_API_URL="http://127.0.0.1:8420") == ["no ring status"]
    assert command.run("status") == [f"{command.keyring} --config {command.settings} status"]
