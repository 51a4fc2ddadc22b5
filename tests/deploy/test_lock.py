"""The check that pyproject.toml, uv.lock and the files for pip agree can fail, and says what to do."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.deploy import checkout as checkouts
from tests.deploy.checkout import Checkout


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    with checkouts.copied() as copy:
        yield copy


def check(checkout: Checkout) -> tuple[int, str]:
    command = [sys.executable, str(checkout.root / "deploy" / "lock.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def replace(checkout: Checkout, path: str, *, old: str, new: str) -> None:
    file = checkout.root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_lock_files_agree(checkout: Checkout) -> None:
    assert check(checkout) == (0, "")


def test_a_requirement_that_is_not_locked_is_told(checkout: Checkout) -> None:
    replace(checkout, "pyproject.toml", old='"idna>=3.10"', new='"idna>=99"')
    code, printed = check(checkout)
    assert code == 1
    assert printed.startswith("uv.lock does not fit pyproject.toml")


@pytest.mark.parametrize("path", ["deploy/requirements.txt", "deploy/requirements-dev.txt"])
def test_a_file_for_pip_that_says_something_else_is_told(checkout: Checkout, path: str) -> None:
    replace(checkout, path, old="idna==", new="idna==9")
    assert check(checkout) == (
        1,
        f"{path} does not say the same as uv.lock: run `.venv/bin/python deploy/lock.py`.\n",
    )


def test_a_private_index_in_the_lock_is_told(checkout: Checkout) -> None:
    private = "https://pypi.example.internal"
    replace(checkout, "uv.lock", old="https://files.pythonhosted.org", new=private)
    code, printed = check(checkout)
    assert code == 1
    assert "uv.lock names pypi.example.internal" in printed
