"""Files that belong to somebody else: the sentence says to whom, as whom this runs, and what to type."""

import os
import pwd
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor import permission, settings
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.domain.errors import ConfigurationError, KeyRingError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

ANOTHER = pwd.getpwnam("nobody")
NAMELESS = 2_000_000_000


@pytest.fixture
def file() -> Iterator[Path]:
    """A file of root's in a folder that everybody may look into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "file"
        path.touch(mode=0o600)
        yield path


@contextmanager
def nobody() -> Iterator[None]:
    """Be an ordinary user meanwhile."""
    os.seteuid(ANOTHER.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_configuration_of_root_is_read_with_sudo(file: Path) -> None:
    with nobody(), pytest.raises(ConfigurationError) as caught:
        settings.load(file, environ={})
    assert str(caught.value) == (
        f"The configuration file {file} cannot be read: Permission denied. It belongs to root, and this runs as "
        "nobody: run it with `sudo`, or let nobody read it."
    )


def test_a_key_ring_of_root_is_read_with_sudo_or_given_away(file: Path) -> None:
    with nobody(), pytest.raises(KeyRingError) as caught:
        KeyRingFile(file).read()
    assert str(caught.value) == (
        f"The key ring {file} cannot be read: Permission denied. It belongs to root, and this runs as nobody: "
        f"run it with `sudo`, or, if it is to be nobody's, `sudo chown nobody {file}`."
    )


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (pwd.getpwnam("daemon").pw_uid, "It belongs to daemon, and this runs as nobody: run it with `sudo -u daemon`"),
        (NAMELESS, f"It belongs to {NAMELESS}, and this runs as nobody: run it with `sudo`"),
    ],
)
def test_a_file_of_another_user_is_read_as_that_one(file: Path, owner: int, words: str) -> None:
    os.chown(file, owner, -1)
    with nobody():
        assert permission.way_out(file) == words


def test_a_folder_that_is_closed_is_named(file: Path) -> None:
    file.parent.chmod(0o700)
    with nobody(), pytest.raises(ConfigurationError, match=f"look into {re.escape(str(file.parent))}: run it with"):
        settings.load(file, environ={})
