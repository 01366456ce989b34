import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from dfi_jax.errors import FileError
from dfi_jax.storage.files import (
    HOST,
    SPACE,
    check_file,
    delete_unfinished,
    file_sha256,
    replacing,
    user_path,
    write_tensors,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_in_a_folder_that_is_made_for_it(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "naïve\r\nlines\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "naïve\r\nlines\n".encode()
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def ended_process():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_is_deleted_by_the_next_write(tmp_path):
    program = (
        "import os, pathlib, signal\n"
        "from dfi_jax.storage.files import replacing\n"
        f"with replacing(pathlib.Path({str(tmp_path)!r}, 'a.png')) as temporary:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".a-")
    assert left.endswith(".png")
    write_text(tmp_path / "b.txt", "")
    assert names(tmp_path) == ["b.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists zombies in /proc")
def test_what_a_killed_process_left_is_deleted_before_its_parent_knows(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (tmp_path / f".a-{HOST}-{SPACE}-{process.pid}-abcdefgh.png").touch()
        write_text(tmp_path / "b.txt", "")
        assert len(names(tmp_path)) == 2
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        write_text(tmp_path / "b.txt", "")
    assert names(tmp_path) == ["b.txt"]


def test_what_another_container_of_the_same_name_left_is_deleted_once_it_is_old(tmp_path):
    left = tmp_path / f".a-{HOST}-000000-{ended_process()}-abcdefgh.png"
    left.touch()
    write_text(tmp_path / "b.txt", "")
    assert left.exists()  # Its process may run.
    os.utime(left, (0, 0))
    write_text(tmp_path / "b.txt", "")
    assert names(tmp_path) == ["b.txt"]


@pytest.fixture
def running_process():
    """The number of a process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.poll() is None
        process.communicate(b"\n")


def test_what_an_earlier_process_of_the_same_number_left_is_deleted(tmp_path):
    # In a container, the first process always has the number 1.
    (tmp_path / f".a-{HOST}-{SPACE}-{os.getpid()}-abcdefgh.png").touch()
    write_text(tmp_path / "b.txt", "")
    assert names(tmp_path) == ["b.txt"]


def test_files_of_others_stay(tmp_path, running_process):
    kept = [
        f".a-{HOST}-{SPACE}-{running_process}-abcdefgh.png",
        f".a-{HOST}-{SPACE}-{10**30}-abcdefgh.png",  # Of no process.
        f".a-000000-{SPACE}-{ended_process()}-abcdefgh.png",  # Of another computer.
        f"a-{HOST}-{SPACE}-{ended_process()}-abcdefgh.png",  # Not hidden.
        ".a.png",
    ]
    for name in kept:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    with replacing(tmp_path / "b.txt"):
        write_text(tmp_path / "c.txt", "")  # A write in another's block doesn't delete its file.
        assert len(names(tmp_path)) == len(kept) + 2
    assert names(tmp_path) == sorted([*kept, "b.txt", "c.txt"])


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path):
    write_text(tmp_path / ("x" * 251 + ".txt"), "")
    assert len(names(tmp_path)[0]) == 255


def test_a_process_that_ends_at_once_deletes_its_unfinished_files(tmp_path):
    with contextlib.suppress(FileError), replacing(tmp_path / "a.txt"):
        before = names(tmp_path)
        delete_unfinished()
        after = names(tmp_path)
    assert (len(before), after) == (1, [])


def test_others_can_read_what_is_written(tmp_path):
    write_text(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("umask", [0o777, 0o277, 0o022])
def test_no_umask_keeps_this_user_out_of_what_is_written(tmp_path, umask):
    path, before = tmp_path / "new" / "newer" / "a.txt", os.umask(umask)
    try:
        with replacing(path) as temporary:
            assert temporary.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    modes = [folder.stat().st_mode & 0o777 for folder in list(path.parents)[:2]]
    assert modes == [0o700 | 0o777 & ~umask] * 2


def test_a_file_system_without_permissions_takes_files(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.chmod", refuse)
    write_text(tmp_path / "a.txt", "all of it")
    assert (tmp_path / "a.txt").read_text() == "all of it"


def test_tensors_and_metadata_are_written(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": np.arange(3.0)}, metadata={"by": "test"})
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["x"], np.arange(3.0))
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"by": "test"}


def test_a_file_that_cannot_be_read_is_no_missing_one(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()

    def refuse(path, mode):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(FileError, match=r"can't be read \(Permission denied\); check the path and"):
        check_file(tmp_path / "a.png")


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, 1:3], np.s_[..., None, ::2]])
def test_a_view_is_written_as_what_it_shows(view, tmp_path):
    path, shown = tmp_path / "a.safetensors", np.arange(12.0).reshape(3, 4)[view]
    write_tensors(path, {"x": shown, "transposed": shown.T})
    written = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(written["x"], shown)
    np.testing.assert_array_equal(written["transposed"], shown.T)


@pytest.mark.parametrize("address", ["https://example.org/me.png", "file:///home/me.png"])
def test_an_address_is_told_from_a_missing_file(tmp_path, address):
    for path in (Path(address), tmp_path / address):
        with pytest.raises(FileError, match=r"^(https|file)://.*me\.png is an address; download"):
            check_file(path)


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"can't be written \(.*\); choose another folder"):
        write_text(tmp_path / "file" / "a.txt", "")


def test_what_fails_while_a_file_is_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"^\S*folder can't be written \(Is a directory\); choose"):
        write_text(tmp_path / "folder", "")

    def fail(*_, **__):
        raise safetensors.SafetensorError("no space left")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(FileError, match=r"^\S*ones can't be written \(no space left\); choose an"):
        write_tensors(tmp_path / "ones", {"ones": np.ones(3)})
    assert names(tmp_path) == ["folder"]


def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(FileError, match="can't be read"):
        file_sha256(tmp_path / "b")


def test_a_home_folder_is_expanded_if_it_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a") == tmp_path / "a"
    assert str(user_path("~nobody-by-that-name/a")) == "~nobody-by-that-name/a"
