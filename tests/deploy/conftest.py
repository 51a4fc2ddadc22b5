"""What the tests of the set-up and of the installer share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import checkout as checkouts
from tests.deploy.host import Host


@pytest.fixture
def home() -> dict[str, str]:
    """What of this environment a package client needs: its cache, its certificates, its index."""
    wanted = ("HOME", "PIP_", "UV_", "SSL_", "HTTPS_PROXY", "https_proxy", "XDG_CACHE_HOME")
    return {name: value for name, value in os.environ.items() if name.startswith(wanted)}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A pretended host with systemd, and nothing installed."""
    with checkouts.copied() as copy:
        yield Host(tmp_path / "host", copy)


@pytest.fixture
def installed(host: Host) -> Host:
    """The host after a first installation."""
    code, printed = host.install()
    assert code == 0, printed
    return host
