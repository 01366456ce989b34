"""The errors that users can cause.

Each message is one sentence: what was given, what is wrong with it, and what to do.
"""

import unicodedata

LONGEST = 800
"""Maximum number of characters of a message. A message quotes values of files, of any length."""


class DfiError(Exception):
    """The base of the errors below; it is never raised itself."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class InputError(DfiError, ValueError):
    """A value that can't be used: an option, an array, an attribute's name, a recipe."""


class FileError(DfiError, OSError):
    """A file or folder that is missing, unreadable, damaged, or of the wrong kind."""


def one_line(message: str) -> str:
    r"""Returns a message that any terminal can show in one line.

    A message may quote a name or a value from a file. Line ends, control characters, with which a
    file could write anything on the terminal, and lone surrogates, which can't be printed at all,
    are shown as Python writes them. A long message loses its middle, because it begins with what is
    wrong and ends with what to do.

    >>> one_line("the file 'a\x1b[31m.jpg' is missing.")
    "the file 'a\\x1b[31m.jpg' is missing."
    >>> len(one_line("x" * 5000))
    800
    """
    message = visible(message)
    if len(message) > LONGEST:
        half = LONGEST // 2
        message = f"{message[:half]}…{message[half + 1 - LONGEST :]}"
    return message


def visible(text: str) -> str:
    r"""Returns a text in which characters that a terminal obeys are shown as Python writes them.

    >>> visible("grüezi\x1b[2J")
    'grüezi\\x1b[2J'
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
