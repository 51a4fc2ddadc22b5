"""The set-up with the real package clients: what is installed is what is locked, whichever client did it."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.deploy import checkout as checkouts
from tests.deploy.checkout import ROOT, Checkout

CLIENTS = {"pip", "setuptools", "uv"}
CLOSED = "http://127.0.0.1:9/simple"


def installed(checkout: Checkout) -> dict[str, str]:
    """Return the packages of the checkout and their versions, the clients and the project left out."""
    (packages,) = (checkout.root / ".venv" / "lib").glob("python3*/site-packages")
    found = {
        re.sub(r"[-_.]+", "-", package.name).lower(): package.version
        for package in metadata.distributions(path=[str(packages)])
    }
    return {name: version for name, version in found.items() if name not in {*CLIENTS, "ollama-fleet"}}


def locked() -> dict[str, str]:
    """Return the packages that a running program needs, and their versions."""
    text = (ROOT / "deploy" / "requirements.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.MULTILINE))


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with checkouts.copied() as copy:
        python = f'#!/bin/sh\nexec {checkouts.PYTHON} "$@"\n'
        checkouts.put_on_path(copy, tmp_path / "bin", name="python3", text=python)
        yield copy


def add_uv(checkout: Checkout, folder: Path) -> None:
    checkouts.put_on_path(checkout, folder, name="uv", text=f'#!/bin/sh\nexec {checkouts.UV} "$@"\n')


def check_that_it_is_complete(checkout: Checkout) -> None:
    """Fail unless the locked versions are there and a second start fetches nothing."""
    assert installed(checkout).items() <= locked().items()
    assert {"aiohttp", "asyncpg", "hatchling"} <= installed(checkout).keys()
    code, printed = checkout.run("run.sh", "--demo", "--help", PIP_INDEX_URL=CLOSED, UV_INDEX_URL=CLOSED)
    assert (code, "Setting up" in printed) == (0, False), printed


def test_uv_installs_what_is_locked(checkout: Checkout, tmp_path: Path, home: dict[str, str]) -> None:
    add_uv(checkout, tmp_path / "bin")
    code, printed = checkout.run("run.sh", "--demo", "--help", **home)
    assert (code, "Setting up" in printed) == (0, True), printed
    check_that_it_is_complete(checkout)


@pytest.mark.long
def test_pip_installs_the_same_as_uv(checkout: Checkout, tmp_path: Path, home: dict[str, str]) -> None:
    code, printed = checkout.run("run.sh", "--demo", "--help", **home)
    assert code == 0, printed
    check_that_it_is_complete(checkout)
    by_pip = installed(checkout)
    (checkout.root / ".venv" / "ready-run").unlink()
    add_uv(checkout, tmp_path / "bin")
    assert checkout.run("run.sh", "--demo", "--help", **home)[0] == 0
    assert installed(checkout) == by_pip
