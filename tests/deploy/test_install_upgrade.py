"""Upgrades by the installer on a pretended host: the old version goes on until the new one is known to work."""

import pytest

from tests.deploy.host import Host

SETTINGS = "etc/ollama-fleet/ollama-fleet.toml"


def versions(host: Host) -> list[str]:
    return sorted(path.name for path in (host.root / "opt/ollama-fleet/versions").iterdir())


def test_an_upgrade_stops_migrates_switches_and_starts_in_that_order(installed: Host) -> None:
    settings = (installed.root / SETTINGS).read_text()
    installed.calls()
    installed.mark("new")
    code, printed = installed.install()
    assert code == 0, printed
    assert installed.running_mark() == "new"
    calls = installed.calls()
    order = [
        calls.index(call)
        for call in (
            "fleet new migrate --dry-run",
            "systemctl stop ollama-fleet",
            "fleet new migrate",
            "systemctl restart ollama-fleet",
        )
    ]
    assert order == sorted(order)
    assert max(index for index, call in enumerate(calls) if call.startswith("uv pip")) < order[0]
    assert (installed.root / SETTINGS).read_text() == settings


def test_the_version_before_is_kept_and_older_ones_go(installed: Host) -> None:
    for mark in ("second", "third"):
        installed.mark(mark)
        assert installed.install()[0] == 0
    (installed.folder / "active" / "ollama-fleet").unlink()
    assert installed.install()[0] == 0
    marks = {path.read_text() for path in (installed.root / "opt/ollama-fleet/versions").glob("*/mark")}
    assert marks == {"second", "third"}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("index", "What was installed before was not touched."),
        ("settings", "RISE cannot be used."),
        ("database", "PostgreSQL cannot be used.\nSo the database could not be brought up to date, and nothing"),
    ],
)
def test_what_fails_before_the_switch_never_stops_the_old_version(installed: Host, fault: str, sentence: str) -> None:
    installed.mark("new")
    installed.fault(fault)
    installed.calls()
    code, printed = installed.install()
    assert code == 1
    assert sentence in printed
    assert installed.running_mark() == "old"
    assert not any(call.startswith("systemctl stop") for call in installed.calls())
    assert installed.active() == {"ollama-fleet"}


def test_a_half_installed_version_is_not_left_behind(installed: Host) -> None:
    before = versions(installed)
    installed.mark("new")
    installed.fault("index")
    assert installed.install()[0] == 1
    assert versions(installed) == before


def test_a_migration_that_fails_lets_the_old_version_run_again(installed: Host) -> None:
    installed.mark("new")
    installed.fault("migrate")
    code, printed = installed.install()
    assert code == 1
    assert "The version before runs again." in printed
    assert (installed.running_mark(), installed.active()) == ("old", {"ollama-fleet"})


def test_a_new_version_that_does_not_start_gives_way_to_the_old_one(installed: Host) -> None:
    installed.mark("new")
    installed.fault("start-of-new")
    code, printed = installed.install()
    assert code == 1
    assert "runs again" in printed
    assert "journalctl -e -u ollama-fleet" in printed
    assert "    why the service ended\n" in printed
    assert (installed.running_mark(), installed.active()) == ("old", {"ollama-fleet"})


def test_the_old_version_is_not_put_back_on_a_database_it_does_not_know(installed: Host) -> None:
    installed.mark("new")
    installed.fault("start-of-new")
    installed.fault("schema")
    code, printed = installed.install()
    assert code == 1
    assert "restore the backup" in printed
    assert installed.running_mark() == "new"


def test_a_wheel_is_installed_instead_of_the_checkout(host: Host) -> None:
    wheel = host.folder / "ollama_fleet-9.8.7-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    code, printed = host.install("--wheel", str(wheel))
    assert code == 0, printed
    assert any(call.endswith(f"--no-deps --offline {wheel}") for call in host.calls())
    assert versions(host)[0].startswith("9.8.7-")
