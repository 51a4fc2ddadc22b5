"""The installer on a host that a real systemd runs: services start, are watched, get their key ring, and go again."""

import json
from collections.abc import Iterator

import pytest

from tests.deploy import booted
from tests.deploy.booted import BootedHost

SETTINGS = "/etc/ollama-fleet/ollama-fleet.toml"
UNIT = "ollama-fleet"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def running() -> Iterator[BootedHost]:
    """A host that no test has taken anything from yet."""
    if reason := booted.why_not():
        pytest.skip(reason)
    with booted.booted() as host:
        yield host


@pytest.fixture
def host(running: BootedHost) -> BootedHost:
    """The host with the fleet installed; all tests share it, and this mends what the one before has changed."""
    code, printed = running.install()
    assert code == 0, printed
    return running


def test_the_service_answers_and_the_command_finds_nothing_wrong(host: BootedHost) -> None:
    assert host.shown(UNIT, "StatusText") == "Answering at http://127.0.0.1:8420"
    assert json.loads(host.done("curl", "--silent", "http://127.0.0.1:8420/readyz"))["ready"]
    assert "FAILED" not in host.done("ollama-fleet", "doctor")


def test_nothing_of_the_hardening_is_refused_by_systemd(host: BootedHost) -> None:
    complaints = host.done("journalctl", "--quiet", "--priority=warning", "--output=cat", "--unit", UNIT, "_PID=1")
    assert complaints == ""
    assert host.done("systemctl", "list-units", "--failed", "--quiet") == ""


def test_a_second_run_leaves_the_service_alone(host: BootedHost) -> None:
    before = host.shown(UNIT, "MainPID")
    assert host.install() == (0, "Everything is in place and runs; the services were not touched.\n")
    assert host.shown(UNIT, "MainPID") == before


def test_a_credential_is_sealed_with_the_key_ring_that_the_service_was_given(host: BootedHost) -> None:
    host.done("ollama-fleet", "servers", "add", "gpu-1", "http://127.0.0.1:9")
    host.done(
        *("ollama-fleet", "servers", "set", "gpu-1", "--auth-type", "bearer", "--secret-file", "-"), text="hunter2"
    )
    assert "/run/credentials/ollama-fleet.service/keyring opens all of them" in host.done("ollama-fleet", "doctor")
    assert host.run("runuser", "-u", "nobody", "--", "cat", "/run/credentials/ollama-fleet.service/keyring")[0] == 1
    # Had the daemon not opened it, the reason would be `credential`.
    code, printed = host.run("ollama-fleet", "servers", "check", "gpu-1")
    assert (code, "refused" in printed) == (1, True), printed
    assert "hunter2" not in host.done("journalctl", "--output=cat")
    host.done("ollama-fleet", "servers", "remove", "gpu-1", "--yes")


def test_a_service_that_stands_still_is_killed_and_started_again(host: BootedHost) -> None:
    before = host.shown(UNIT, "MainPID")
    host.done("kill", "-STOP", before)
    host.until(
        lambda: host.shown(UNIT, "NRestarts") == "1" and host.shown(UNIT, "ActiveState") == "active",
        "it is started again",
    )
    assert host.shown(UNIT, "MainPID") != before
    assert "Watchdog timeout" in host.done("journalctl", "--output=cat", "--unit", UNIT)
    assert "FAILED" not in host.done("ollama-fleet", "doctor")


def test_a_change_of_the_settings_reaches_the_service_by_the_installer_and_is_kept(host: BootedHost) -> None:
    host.done("sed", "-i", "$a api_port = 8421", SETTINGS)
    code, printed = host.install()
    assert code == 0, printed
    assert host.shown(UNIT, "StatusText") == "Answering at http://127.0.0.1:8421"
    host.done("sed", "-i", "$d", SETTINGS)


def test_a_wrong_setting_is_told_before_the_service_is_touched_and_ends_it_for_good_at_a_start(
    host: BootedHost,
) -> None:
    before = host.shown(UNIT, "MainPID")
    host.done("sed", "-i", "$a rise = 0", SETTINGS)
    code, printed = host.install()
    assert (code, host.shown(UNIT, "MainPID")) == (1, before)
    assert f"rise in {SETTINGS} cannot be used" in printed
    assert host.run("systemctl", "restart", UNIT)[0] == 1
    assert (host.shown(UNIT, "ActiveState"), host.shown(UNIT, "ExecMainStatus")) == ("failed", "78")
    host.done("sed", "-i", "$d", SETTINGS)


def test_the_service_comes_with_the_boot(host: BootedHost) -> None:
    host.done("systemctl", "stop", UNIT)
    # All that a boot would start, and nothing else.
    host.done("systemctl", "isolate", "multi-user.target")
    assert host.shown(UNIT, "ActiveState") == "active"


def test_what_is_taken_away_leaves_nothing_behind_but_what_was_promised(host: BootedHost) -> None:
    host.done("ollama-fleet", "servers", "add", "kept", "http://127.0.0.1:8")
    assert host.install("--uninstall")[0] == 0
    assert host.run("systemctl", "cat", UNIT)[0] == 1
    assert host.run("pgrep", "--uid", "ollama-fleet")[0] == 1
    assert host.install()[0] == 0
    assert "kept" in host.done("ollama-fleet", "servers", "list")
    assert host.install("--uninstall", "--purge")[0] == 0
    assert host.run("getent", "passwd", "ollama-fleet")[0] == 2
    assert host.done("find", "/etc", "/opt", "/usr/local", "/var/lib", "-name", "*ollama-fleet*") == ""
