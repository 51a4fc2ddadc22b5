"""The installer on a pretended host: what a first run makes, what another one leaves alone, and what removal leaves."""

import os
import shutil
import tomllib

import pytest

from tests.deploy.host import Host

APART = {"ollama-fleet-monitor", "ollama-fleet-api"}
SETTINGS = "etc/ollama-fleet/ollama-fleet.toml"
DATABASE = "postgresql://fleet:secret@db/fleet"


def test_a_first_run_makes_user_program_configuration_and_one_service(host: Host) -> None:
    code, printed = host.install()
    assert code == 0, printed
    assert "ollama-fleet is installed and runs." in printed
    assert (host.enabled(), host.active()) == ({"ollama-fleet"}, {"ollama-fleet"})
    calls = host.calls()
    assert calls[0].startswith("useradd --system --user-group")
    assert calls.index("fleet old db uri") < calls.index("fleet old migrate") < calls.index("systemctl daemon-reload")
    assert (host.root / "usr/local/bin/ollama-fleet").stat().st_mode & 0o777 == 0o755
    units = {f"{unit}.service" for unit in ("ollama-fleet", *APART)}
    installed = {path.name for path in (host.root / "etc/systemd/system").iterdir()}
    assert installed == units | {f"{unit}.d" for unit in units}


def test_only_locked_packages_and_the_program_itself_are_installed(installed: Host) -> None:
    packages, project = (call for call in installed.calls() if call.startswith("uv pip"))
    assert "--require-hashes -r deploy/requirements.txt" in packages
    assert project.endswith(f"--no-build-isolation --no-deps --offline {installed.checkout.root}")


def test_the_configuration_is_for_the_service_user_only_to_read_and_its_defaults_are_comments(installed: Host) -> None:
    settings = installed.root / SETTINGS
    assert settings.stat().st_mode & 0o777 == 0o640
    assert settings.parent.stat().st_mode & 0o777 == 0o750
    assert tomllib.loads(settings.read_text()) == {"state_dir": "/var/lib/ollama-fleet"}
    assert f"chown root:ollama-fleet {settings}.new" in installed.calls()


def test_with_a_database_the_two_services_run_and_no_unit_holds_the_password(host: Host) -> None:
    code, printed = host.install(env={"OLLAMA_FLEET_DATABASE_URL": DATABASE})
    assert code == 0, printed
    assert (host.enabled(), host.active()) == (APART, APART)
    holders = {path for path, (_, content) in host.snapshot().items() if b"secret" in (content or b"")}
    assert holders == {SETTINGS}
    assert "secret" not in printed


def test_a_second_run_changes_nothing_and_disturbs_nothing(installed: Host) -> None:
    before = installed.snapshot()
    installed.calls()
    code, printed = installed.install()
    assert (code, printed) == (0, "Everything is in place and runs; the services were not touched.\n")
    assert installed.snapshot() == before
    assert {call.split()[1] for call in installed.calls() if call.startswith("systemctl")} == {
        "is-enabled",
        "is-active",
        "show",
    }


def test_a_service_that_somebody_stopped_is_started_by_the_next_run(installed: Host) -> None:
    (installed.folder / "active" / "ollama-fleet").unlink()
    assert installed.install()[0] == 0
    assert installed.active() == {"ollama-fleet"}


@pytest.mark.parametrize("file", [SETTINGS, "etc/ollama-fleet/keyring"])
def test_services_that_were_started_before_their_settings_changed_are_started_again(installed: Host, file: str) -> None:
    started = (installed.folder / "active" / "ollama-fleet").stat().st_mtime
    os.utime(installed.root / file, (started + 60, started + 60))
    installed.calls()
    code, printed = installed.install()
    assert code == 0, printed
    assert {"fleet old migrate", "systemctl restart ollama-fleet"} <= set(installed.calls())


def test_a_database_url_set_later_changes_the_services(installed: Host) -> None:
    with (installed.root / SETTINGS).open("a") as settings:
        settings.write(f'database_url = "{DATABASE}"\n')
    assert installed.install()[0] == 0
    assert (installed.enabled(), installed.active()) == (APART, APART)


def test_a_key_ring_is_made_once_and_the_services_get_it_as_a_credential(installed: Host) -> None:
    keyring = installed.root / "etc/ollama-fleet/keyring"
    assert (keyring.read_text(), keyring.stat().st_mode & 0o777) == ("1:key\n", 0o400)
    drop_in = installed.root / "etc/systemd/system/ollama-fleet.service.d/keyring.conf"
    assert "LoadCredential=keyring:/etc/ollama-fleet/keyring" in drop_in.read_text()
    before = installed.snapshot()
    assert installed.install()[0] == 0
    assert installed.snapshot() == before


@pytest.mark.parametrize("arguments", [(), ("--uninstall",), ("--uninstall", "--purge")])
def test_a_dry_run_says_each_step_and_changes_nothing(installed: Host, arguments: tuple[str, ...]) -> None:
    installed.mark("new")
    before = installed.snapshot(), installed.active(), installed.enabled()
    code, printed = installed.install("--dry-run", *arguments)
    assert code == 0, printed
    assert printed.count("Would ") >= 2
    assert (installed.snapshot(), installed.active(), installed.enabled()) == before


def test_a_dry_run_on_a_fresh_host_names_all_that_would_be_made(host: Host) -> None:
    before = host.snapshot()
    code, printed = host.install("--dry-run")
    assert code == 0, printed
    for part in (
        "system user",
        "install the program",
        SETTINGS,
        "var/lib/ollama-fleet",
        "up to date",
        "start: ollama-fleet",
    ):
        assert part in printed
    assert host.snapshot() == before
    assert host.calls() == []


def test_uninstalling_keeps_data_and_configuration(installed: Host) -> None:
    code, printed = installed.install("--uninstall")
    assert code == 0, printed
    assert printed.splitlines()[-1].startswith("Kept: ")
    assert (installed.active(), installed.enabled()) == (set(), set())
    left = {path for path, (_, content) in installed.snapshot().items() if content is not None}
    assert left == {SETTINGS, "etc/ollama-fleet/keyring"}
    assert (installed.root / "var/lib/ollama-fleet").is_dir()
    assert installed.install()[0] == 0


def test_purging_leaves_nothing(installed: Host) -> None:
    assert installed.install("--uninstall", "--purge")[0] == 0
    assert not {path for path in installed.snapshot() if "ollama" in path}
    assert "userdel ollama-fleet" in installed.calls()
    assert installed.install("--uninstall", "--purge")[0] == 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("systemd", "This host is not run by systemd"),
        ("root", "needs root: run it with sudo"),
        ("disk", "make room first"),
        ("python", "lies in a private home"),
        ("no python", "Python 3.11 or newer is needed"),
        ("wheel", "There is no file"),
    ],
)
def test_a_host_that_will_not_do_is_refused_in_a_sentence_and_left_as_it_was(
    host: Host, fault: str, sentence: str
) -> None:
    arguments: tuple[str, ...] = ()
    match fault:
        case "systemd":
            (host.root / "run/systemd/system").rmdir()
        case "root":
            host.stand_in("id", "echo 1000")
        case "no python":
            host.stand_in("python3", "exit 1")
        case "wheel":
            arguments = ("--wheel", "missing.whl")
        case _:
            host.fault(fault, "/home/me/bin/python3")
    before = host.snapshot()
    code, printed = host.install(*arguments)
    assert code == 1
    assert sentence in printed
    assert host.snapshot() == before


@pytest.mark.parametrize("arguments", [("--frobnicate",), ("--purge",), ("--wheel",)])
def test_wrong_usage_ends_with_2_and_shows_the_usage(host: Host, arguments: tuple[str, ...]) -> None:
    code, printed = host.install(*arguments)
    assert code == 2
    assert "sh deploy/install.sh [--dry-run]" in printed


@pytest.mark.skipif(shutil.which("dash") is None, reason="dash is missing")
def test_the_installer_needs_nothing_but_a_posix_shell(host: Host) -> None:
    (host.folder / "bin" / "sh").unlink()
    (host.folder / "bin" / "sh").symlink_to(shutil.which("dash") or "dash")
    assert host.install()[0] == 0
