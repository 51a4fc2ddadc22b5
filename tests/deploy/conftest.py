"""What the tests of the set-up share."""

import os

import pytest


@pytest.fixture
def home() -> dict[str, str]:
    """What of this environment a package client needs: its cache, its certificates, its index."""
    wanted = ("HOME", "PIP_", "UV_", "SSL_", "HTTPS_PROXY", "https_proxy", "XDG_CACHE_HOME")
    return {name: value for name, value in os.environ.items() if name.startswith(wanted)}
