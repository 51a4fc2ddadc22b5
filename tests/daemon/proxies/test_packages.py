"""The quick part: how the packages come, with stand-ins for apt and dpkg; the real ones come with `--long`."""

from pathlib import Path

import pytest

from tests.daemon.proxies import packages
from tests.daemon.proxies.packages import NotToBeHadError

# They note how they are called; what apt "downloads" is a package whose text dpkg "unpacks" as a program.
APT = """#!/bin/sh
echo "$@" >>"$CALLS"
if [ -e "$CALLS.fault" ]; then echo 'the mirror is away'; exit 100; fi
case "$*" in *install*) echo program >"$FOLDER/cache/archives/nginx_1_amd64.deb" ;; esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/sbin" "$3/usr/lib/any" && cp "$2" "$3/usr/sbin/nginx" && : >"$3/usr/lib/any/liblua.so.1"
"""


class Machine:
    """A machine with apt, as far as the download can tell."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "packages"
        self.log = tmp_path / "calls"
        self.fault = tmp_path / "calls.fault"

    @property
    def calls(self) -> list[str]:
        """What apt was asked for, oldest first."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that lacks the packages."""
    machine = Machine(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"apt-get": APT, "dpkg-deb": DPKG}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(machine.log))
    monkeypatch.setenv("FOLDER", str(machine.folder))
    return machine


def test_they_are_downloaded_once_and_installed_nowhere(machine: Machine) -> None:
    first = packages.unpacked(machine.folder)
    again = packages.unpacked(machine.folder)
    assert first == again
    assert first.path("nginx").read_text() == "program\n"
    assert first.environment["LD_LIBRARY_PATH"] == str(first.root / "usr/lib/any")
    assert len(machine.calls) == 2
    assert all(f"-c {machine.folder}/apt.conf" in call for call in machine.calls)
    assert "--download-only" in machine.calls[1]
    written = [line for line in (machine.folder / "apt.conf").read_text().splitlines() if line.startswith("Dir")]
    assert written
    assert all(f'"{machine.folder}/' in line for line in written)


def test_another_release_of_the_system_has_them_downloaded_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages.unpacked(machine.folder)
    upgraded = tmp_path / "os-release"
    upgraded.write_text("VERSION_ID=14\n")
    monkeypatch.setattr(packages, "RELEASE", upgraded)
    packages.unpacked(machine.folder)
    assert len(machine.calls) == 4


def test_a_mirror_that_is_away_is_told_and_asked_again_the_next_time(machine: Machine) -> None:
    machine.fault.touch()
    with pytest.raises(NotToBeHadError, match="the mirror is away"):
        packages.unpacked(machine.folder)
    machine.fault.unlink()
    assert packages.unpacked(machine.folder).path("nginx").exists()


def test_a_machine_without_apt_is_told_what_is_missing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotToBeHadError, match=r"apt-get, dpkg-deb is missing"):
        packages.unpacked(machine.folder)
    assert machine.calls == []
