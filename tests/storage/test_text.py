import os

import pytest

from dfi_jax.errors import FileError
from dfi_jax.storage.files import check_file
from dfi_jax.storage.text import read_lines


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a\nb\xff", 2),
        (b"a\r\nb\rc\0", 3),
        (b"\xff\n\0", 1),
        (b"\0\n\xff", 1),
        (b"a\n\0\n\xff", 2),
        ("a".encode("utf-16-le"), 1),
    ],
)
def test_the_first_line_that_is_not_utf_8_is_named(tmp_path, data, line):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(FileError, match=rf"list\.txt, line {line}, isn't UTF-8 text"):
        read_lines(tmp_path / "list.txt")


def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(FileError, match=r"absent can't be read \(No such file .*\); check the"):
        read_lines(tmp_path / "absent")
    with pytest.raises(FileError, match="is a folder; give a file"):
        read_lines(tmp_path)


@pytest.mark.parametrize("name", ["absent", "a\0b", "x" * 5000, "list.txt/inside"])
def test_a_path_of_no_file_is_one_sentence(tmp_path, name):
    (tmp_path / "list.txt").touch()
    with pytest.raises(FileError, match="doesn't exist; check the path"):
        check_file(tmp_path / name)


def test_a_folder_or_a_pipe_is_no_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="is a pipe or a device; give a file"):
        check_file(tmp_path / "pipe")
    with pytest.raises(FileError, match="is a folder; give a file"):
        check_file(tmp_path)
