"""Key rings in folders of the tests' own."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.credentials import key_ring
from monitor.credentials.key_ring import Key
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.vault import Vault

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def fresh_key() -> Key:
    """Return a key that is new each time."""
    return key_ring.new_key(at=AT)


@pytest.fixture
def file(tmp_path: Path) -> KeyRingFile:
    """The place of a key ring that is not there yet."""
    return KeyRingFile(tmp_path / "keyring")


@pytest.fixture
def vault(file: KeyRingFile) -> Vault:
    """Makes its ring when a credential is first sealed."""
    return Vault(file, makes_ring=True, must_exist=False)
