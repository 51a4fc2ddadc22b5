"""Signals reach the process that was looked at: not one that only has its number, its name or its folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import file_lock, postmaster, process, state_folder, supervision
from monitor.embedded import postgres as embedded
from monitor.embedded.process import Process
from tests.embedded import embedded_user

STOP = signal.SIGTERM


@contextmanager
def sleeping(name: str = "sleep", *, cwd: Path | str = "/") -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that calls itself so and would end at any signal."""
    with subprocess.Popen([name, "600"], executable="/bin/sleep", cwd=cwd) as child:
        try:
            yield child
        finally:
            child.kill()


def no_descriptors(_pid: int) -> int:
    """Be a sandbox that forbids to hold a process."""
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("is_held", [True, False], ids=["by a descriptor", "by its start time"])
def test_a_process_that_is_held_is_told_apart_from_the_next_with_its_number(
    monkeypatch: pytest.MonkeyPatch, *, is_held: bool
) -> None:
    if not is_held:
        monkeypatch.setattr(os, "pidfd_open", no_descriptors)
    with sleeping() as child:
        held = Process.hold(child.pid)
        assert held is not None
        assert held.is_alive()
        assert held.belongs_to(os.geteuid())
        assert not held.belongs_to(os.geteuid() + 1)
        if not is_held:
            with monkeypatch.context() as later:
                later.setattr(process, "born", lambda _: "later")
                assert not held.is_alive()
                assert not held.signal(STOP)
        assert held.signal(STOP)
        held.wait() if is_held else child.wait()
        child.wait()
        assert not held.is_alive()
        assert not held.signal(STOP)
        held.close()
    assert Process.hold(child.pid) is None


def test_what_is_held_no_more_gets_no_signal() -> None:
    with sleeping() as child:
        held = Process.hold(child.pid)
        assert held is not None
        held.close()
        assert not held.signal(STOP)
        assert child.poll() is None


@pytest.mark.parametrize("pid", [0, 1, -1])
def test_no_number_that_stands_for_others_is_held(pid: int) -> None:
    assert Process.hold(pid) is None


@pytest.mark.parametrize("note", ["{stranger} {born}", "{stranger} 1", "{stranger}", "-1 {born}", "1 {born}", "x", ""])
def test_a_number_in_the_lock_of_the_supervisor_ends_no_stranger(monkeypatch: pytest.MonkeyPatch, note: str) -> None:
    monkeypatch.setattr(supervision, "_STOP_SECONDS", 0.3)
    with embedded_user.state_dir() as state_dir, sleeping() as stranger, ExitStack() as stack:
        folder = state_folder.StateFolder.at(state_dir)
        folder.root.mkdir(parents=True)
        descriptor = file_lock.open_file(folder.supervisor_lock)
        stack.callback(os.close, descriptor)
        assert file_lock.take(descriptor)
        written = note.format(stranger=stranger.pid, born=process.born(stranger.pid))
        folder.supervisor_lock.write_text(written)
        if note == "{stranger} {born}" and os.geteuid() == 0:
            # All is right but the owner of the file, who is not that of the process.
            os.chown(folder.supervisor_lock, 1, 1)
        elif note == "{stranger} {born}":
            pytest.skip("only root can give a file away")
        with pytest.raises(EmbeddedPostgresError, match="did not stop"):
            supervision.end(folder)
        assert stranger.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has processes that are not the account's")
def test_a_process_of_somebody_else_is_not_taken_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_user.state_dir() as state_dir, embedded.running(state_dir, fast_and_unsafe=True) as server:
        real = postmaster.find(server.data_dir)
        note = (server.data_dir / "postmaster.pid").read_text()
        titles = ("/usr/lib/postgresql/postgres", "postgres: writer")
        with sleeping(titles[0], cwd=server.data_dir) as child, sleeping(titles[1], cwd=server.data_dir) as session:
            (server.data_dir / "postmaster.pid").write_text(f"{child.pid}\n")
            assert postmaster.find(server.data_dir) is None
            monkeypatch.setattr(process, "all_ids", lambda: [session.pid])
            postmaster.quit_orphans(server.data_dir)
            assert session.poll() is None
        (server.data_dir / "postmaster.pid").write_text(note)
        assert postmaster.find(server.data_dir) == real


def test_a_server_is_found_by_a_start_time_where_no_process_can_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", no_descriptors)
    with embedded_user.state_dir() as state_dir, embedded.running(state_dir, fast_and_unsafe=True):
        assert embedded.stop(state_dir)
        assert not embedded_user.is_running(state_dir)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "PG_VERSION")
    assert file_lock.read_short(tmp_path / "PG_VERSION") == ""
    (tmp_path / "link").symlink_to(sys.executable)
    with pytest.raises(OSError, match="symbolic links"):
        file_lock.read_short(tmp_path / "link")
