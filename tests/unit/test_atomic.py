"""Atomic writes: what they replace, who may read it, and what killed processes leave."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap

import pytest

from fgbench.engine.events import EventLog
from fgbench.errors import StoreError
from fgbench.store import atomic
from fgbench.store.atomic import (
    cannot_read,
    cannot_write,
    open_atomically,
    remove_leftovers,
    write_atomically,
)


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def make_folder(path):
    path.mkdir()


def make_fifo(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # the name of a socket is short


def make_link(path):
    path.with_name("target").write_text("precious")
    path.symlink_to("target")


def make_dangling_link(path):
    path.symlink_to("nowhere")


def make_link_to_fifo(path):
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_folder, "a folder"),
        (make_fifo, "a FIFO"),
        (make_socket, "a socket"),
        (make_link, "a symbolic link"),
        (make_dangling_link, "a symbolic link"),
        (make_link_to_fifo, "a symbolic link"),
    ],
)
def test_only_regular_files_are_replaced(tmp_path, monkeypatch, make, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out"
    make(path)
    before = path.lstat()
    files = sorted(item.name for item in tmp_path.iterdir())
    with pytest.raises(StoreError, match=f"out: is {kind}, not a regular file"):
        write_atomically(path, "new")
    with pytest.raises(StoreError, match=f"is {kind}"):
        EventLog(path)
    assert os.path.samestat(path.lstat(), before)
    assert sorted(item.name for item in tmp_path.iterdir()) == files
    if make is make_link:
        assert path.read_text() == "precious"


def test_file_that_becomes_a_fifo_during_the_write_is_not_replaced(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(StoreError, match="is a FIFO"), open_atomically(path) as stream:
        stream.write(b"new")
        os.mkfifo(path)
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


def test_private_and_public_files(tmp_path, umask):
    write_atomically(tmp_path / "private", b"x")
    write_atomically(tmp_path / "public", b"x", public=True)
    assert mode_of(tmp_path / "private") == 0o600
    assert mode_of(tmp_path / "public") == 0o666 & ~umask
    EventLog(tmp_path / "log").close()
    assert mode_of(tmp_path / "log") == 0o600


def test_event_log_appends(tmp_path):
    (tmp_path / "log").write_text("first\nhalf")
    log = EventLog(tmp_path / "log")
    log.close()
    assert (tmp_path / "log").read_text() == "first\nhalf\n"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EACCES, "Check the permissions"),
        (errno.EPERM, "Check the permissions"),
        (errno.EROFS, "Choose another folder"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "Check the disk"),
        (errno.ENAMETOOLONG, "Choose a shorter path"),
        (errno.EBUSY, "Fix this or choose another folder"),
    ],
)
def test_error_says_what_to_do(tmp_path, number, remedy):
    error = OSError(number, os.strerror(number))
    for message in (str(cannot_write(tmp_path, error)), str(cannot_read(tmp_path, error))):
        assert os.strerror(number) in message
        assert remedy in message
        assert message.count("Free some space") == (remedy == "Free some space")


WRITER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from fgbench.store.atomic import open_atomically
    with open_atomically(Path(sys.argv[1])) as stream:
        stream.write(b"half")
        stream.flush()
        print("writing", flush=True)
        time.sleep(60)
    """
)


@pytest.fixture
def writer(tmp_path):
    """Return a process that is writing `out`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "out")], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def test_leftover_of_killed_process_is_removed_by_the_next(tmp_path, writer):
    (leftover,) = tmp_path.iterdir()
    writer.kill()
    writer.wait()
    assert leftover.exists()
    write_atomically(tmp_path / "other", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_file_of_living_process_is_kept_however_old_it_is(tmp_path, writer):
    (temporary,) = tmp_path.iterdir()
    os.utime(temporary, (0, 0))
    writer.send_signal(signal.SIGSTOP)
    assert remove_leftovers(tmp_path) == []
    assert temporary.exists()


def test_files_of_other_programs_are_kept(tmp_path):
    names = [".out.0123456789abcdef.tmp", "out.fgbench-0123.tmp", ".fgbench", ".a.tmp"]
    for name in names:
        (tmp_path / name).write_text("")
    (tmp_path / ".b.fgbench-0.tmp").symlink_to(tmp_path / ".a.tmp")
    os.mkfifo(tmp_path / ".c.fgbench-0.tmp")
    assert remove_leftovers(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {
        *names, ".b.fgbench-0.tmp", ".c.fgbench-0.tmp",
    }  # fmt: skip


def test_nothing_is_removed_where_locks_are_not_supported(tmp_path, monkeypatch):
    """Such as some network file systems: no proof, no removal."""
    from fgbench.store import claims

    def refused(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / ".a.fgbench-0.tmp").write_text("")
    monkeypatch.setattr(claims.fcntl, "flock", refused)
    assert remove_leftovers(tmp_path) == []
    write_atomically(tmp_path / "out", b"x")
    assert (tmp_path / "out").read_bytes() == b"x"


def test_claim_removed_before_it_was_locked_is_created_again(tmp_path, monkeypatch):
    """Another process takes the file for abandoned between its creation and its lock."""
    from fgbench.store import claims

    flock, removed = claims.fcntl.flock, []

    def remove_first(descriptor, operation):
        if not removed:
            (path,) = tmp_path.iterdir()
            path.unlink()
            removed.append(path)
        flock(descriptor, operation)

    monkeypatch.setattr(claims.fcntl, "flock", remove_first)
    write_atomically(tmp_path / "out", b"x")
    assert removed
    assert (tmp_path / "out").read_bytes() == b"x"


def test_leftovers_are_looked_for_once_per_folder(tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(atomic, "remove_leftovers", folders.append)
    for name in ("a", "b", "c"):
        write_atomically(tmp_path / name, b"x")
    assert folders == [tmp_path]
