"""A real proxy before a fake server, a real daemon that checks it, and the API that shows what came of it."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from monitor.credentials import key_ring
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.settings import Settings
from tests.api.client import serving
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.daemon.proxies import packages, running
from tests.daemon.proxies.packages import NotToBeHadError, Programs
from tests.daemon.proxies.running import Proxy, Setup
from tests.daemon.proxies.scene import PATIENT, RARELY, Scene

PROGRAMS = {"nginx": running.nginx, "haproxy": running.haproxy}
Behind = Callable[..., AbstractAsyncContextManager[Proxy]]
Watching = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Programs:
    """The programs of Debian; kept with what pytest keeps, so the next run has them at once."""
    cache = pytestconfig.cache
    assert cache is not None
    try:
        return packages.unpacked(Path(cache.mkdir("debian-packages")))
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture
def behind(programs: Programs, tmp_path: Path) -> Behind:
    """Runs a proxy before a base URL: `async with behind("nginx", url, Setup(…)) as proxy:`."""

    @asynccontextmanager
    async def run(
        name: str, backend: str, setup: Setup | None = None, *, at: tuple[str, int] | None = None
    ) -> AsyncIterator[Proxy]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        async with PROGRAMS[name](programs, folder, backend, setup or Setup(), at=at) as proxy:
            yield proxy

    return run


@pytest.fixture
def watching(daemon: Daemon, observer: Observer, dsn: str, tmp_path: Path) -> Watching:
    """Runs a daemon that checks only when it has to, and an API: `async with watching() as scene:`."""

    @asynccontextmanager
    async def run(**overrides: Any) -> AsyncIterator[Scene]:
        ring = KeyRingFile(tmp_path / "keyring")
        ring.create(key_ring.new_key(at=datetime.now(UTC)))
        settings = Settings.model_validate({"api_port": "0", "keyring_file": str(ring.path)})
        rare = {"check_interval": RARELY, "discovery_interval": RARELY, "check_timeout": PATIENT}
        async with (
            daemon(**rare | overrides, keyring_file=ring.path),
            serving(settings, dsn) as (api, _),
        ):
            yield Scene(api, observer)
        await observer.check_history()

    return run


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """An authority that nothing trusts by itself."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return authority
