"""Text files that users write: lists, tables and manifests.

They may come from any editor. A byte order mark is ignored, and a line ends with a line feed, a
carriage return, or both. Other characters that separate lines, such as U+2028, may be part of a
file's name.
"""

import re
from pathlib import Path

from dfi_jax.errors import FileError
from dfi_jax.storage.files import exists, is_file

LARGEST = 1_000_000_000
"""Maximum number of bytes of a text file. A device such as `/dev/zero` never ends."""

_LINE_END = re.compile(r"\r\n|\n|\r")


def read_text(path: Path) -> str:
    r"""Returns the contents of a UTF-8 file without a byte order mark.

    Raises:
      FileError: If the file can't be read, is larger than 1 GB, isn't UTF-8, or contains NUL. If
        the text is wrong, the message has the line's number.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "list.txt")
    >>> _ = path.write_text("\ufeffa.jpg", encoding="utf-8")
    >>> read_text(path)
    'a.jpg'
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; give a file.") from None
    except ValueError:  # The path has NUL or a lone surrogate.
        raise FileError(f"{path} doesn't exist; check the path.") from None
    except OSError as error:
        raise FileError(f"{path} can't be read ({error.strerror}); check the path.") from None
    if len(data) > LARGEST:
        raise FileError(f"{path} is larger than {LARGEST / 1e9:g} GB; give a file of text.")
    wrong = data.find(b"\0")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = error.start if wrong < 0 else min(wrong, error.start)
    if wrong >= 0:
        # UTF-16, which some programs on Windows write, has a NUL in every other place.
        number = len(_LINE_END.findall(data[:wrong].decode("latin-1"))) + 1
        raise FileError(f"{path}, line {number}, isn't UTF-8 text; save the file in that encoding.")
    return text


def base_folder(path: Path) -> Path:
    """Returns the folder that the relative paths in a text file start from.

    It is the file's own, or the current one for a pipe such as `/dev/stdin`, which lies nowhere.

    >>> import os
    >>> base_folder(Path("lists/smiling.txt")).as_posix(), base_folder(Path(os.devnull)).as_posix()
    ('lists', '.')
    """
    return Path() if exists(path) and not is_file(path) else path.parent


def read_lines(path: Path) -> list[str]:
    r"""Returns the lines of a UTF-8 file without their ends.

    Raises:
      FileError: As `read_text`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "list.txt")
    >>> _ = path.write_bytes("a\u2028b.jpg\r\nc.jpg".encode())
    >>> read_lines(path)
    ['a\u2028b.jpg', 'c.jpg']
    """
    return _LINE_END.split(read_text(path))
