"""When the set-up works and when it has nothing to do, on a stand-in for uv that installs nothing."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import checkout as checkouts
from tests.deploy.checkout import Checkout

INSTALLS = 3
PYTHON = f'#!/bin/sh\nexec {checkouts.PYTHON} "$@"\n'
PYTHON_WITHOUT_VENV = f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec {checkouts.PYTHON} "$@"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with checkouts.copied() as copy:
        checkouts.put_on_path(copy, tmp_path / "bin", name="uv", text=checkouts.STAND_IN_FOR_UV)
        checkouts.put_on_path(copy, tmp_path / "bin", name="python3", text=PYTHON)
        yield copy


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout on a machine with the basic commands of a shell, but no Python and no uv."""
    with checkouts.copied() as copy:
        (tmp_path / "bare").mkdir()
        for command in ("sh", "dirname", "cat", "awk", "cksum", "id", "rm"):
            (tmp_path / "bare" / command).symlink_to(shutil.which(command) or command)
        copy.path = str(tmp_path / "bare")
        yield copy


def test_the_first_start_sets_up_and_the_second_only_starts(checkout: Checkout) -> None:
    first = checkout.run("run.sh", "--port", "1")
    assert first[0] == 0
    assert first[1].splitlines()[0].startswith("Setting up Python packages")
    assert first[1].splitlines()[-1] == "started up --port 1"
    assert checkout.run("run.sh") == (0, "started up\n")
    assert len(checkout.calls) == INSTALLS


def test_help_sets_nothing_up(checkout: Checkout) -> None:
    code, text = checkout.run("run.sh", "--help")
    assert (code, checkout.calls) == (0, [])
    assert text.startswith("Usage: sh deploy/run.sh [--demo]")


def test_only_locked_files_are_installed(checkout: Checkout) -> None:
    checkout.run("run.sh")
    packages, project = checkout.calls[1:]
    assert "--require-hashes -r deploy/requirements.txt" in packages
    assert "--no-build-isolation --no-deps --offline -e ." in project


def test_a_failed_set_up_is_not_taken_for_a_ready_one(checkout: Checkout) -> None:
    (checkout.root / "fail").touch()
    code, printed = checkout.run("run.sh")
    assert code == 1
    assert "the index is away" in printed
    assert "could not be installed" in printed
    (checkout.root / "fail").unlink()
    assert checkout.run("run.sh")[1].endswith("started up\n")


def test_an_interrupted_set_up_is_done_afresh(checkout: Checkout) -> None:
    checkout.run("run.sh")
    (checkout.root / ".venv" / "ready-run").unlink()
    (checkout.root / ".venv" / "half-installed").touch()
    assert checkout.run("run.sh")[0] == 0
    assert not (checkout.root / ".venv" / "half-installed").exists()


@pytest.mark.parametrize("path", ["deploy/requirements.txt", "deploy/requirements-dev.txt"])
def test_new_locked_versions_are_installed(checkout: Checkout, path: str) -> None:
    checkout.run("run.sh")
    with (checkout.root / path).open("a") as lock:
        lock.write("# newer\n")
    checkout.run("run.sh")
    assert len(checkout.calls) == 2 * INSTALLS


def test_a_changed_setting_of_a_tool_installs_nothing(checkout: Checkout) -> None:
    checkout.run("run.sh")
    with (checkout.root / "pyproject.toml").open("a") as project:
        project.write("[tool.other]\nsetting = 1\n")
    checkout.run("run.sh")
    assert len(checkout.calls) == INSTALLS


def test_a_moved_checkout_is_set_up_again(checkout: Checkout) -> None:
    checkout.run("run.sh")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run("run.sh")[0] == 0
    assert len(checkout.calls) == 2 * INSTALLS


def test_two_set_ups_at_once_take_turns(checkout: Checkout) -> None:
    (checkout.root / "slow").touch()
    with checkout.start("run.sh") as one, checkout.start("run.sh") as other:
        printed = [one.communicate(timeout=30)[0], other.communicate(timeout=30)[0]]
    assert [one.returncode, other.returncode] == [0, 0]
    assert all(text.endswith("started up\n") for text in printed)
    assert len(checkout.calls) == INSTALLS


def test_without_python_the_set_up_says_what_is_needed(bare_checkout: Checkout) -> None:
    code, printed = bare_checkout.run("run.sh")
    assert code == 1
    assert printed.startswith("Python 3.11 or newer is needed")


def test_a_python_that_cannot_make_environments_is_told_with_the_command_that_helps(
    bare_checkout: Checkout, tmp_path: Path
) -> None:
    checkouts.put_on_path(bare_checkout, tmp_path / "bare", name="python3", text=PYTHON_WITHOUT_VENV)
    code, printed = bare_checkout.run("run.sh")
    assert code == 1
    assert f"apt-get install -y python3.{sys.version_info.minor}-venv" in printed


def test_a_checkout_that_cannot_be_written_is_told_in_a_sentence(checkout: Checkout) -> None:
    checkout.root.chmod(0o555)
    try:
        code, printed = checkout.run("run.sh", user="nobody" if os.getuid() == 0 else None)
    finally:
        checkout.root.chmod(0o755)
    assert code == 1
    assert printed.startswith(f"Nothing can be written to {checkout.root}")
