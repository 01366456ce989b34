"""The errors that users can cause.

Each message is one sentence: what was given, what is wrong with it, and what to do.
"""


class DfiError(Exception):
    """The base of the errors below; it is never raised itself."""


class InputError(DfiError, ValueError):
    """A value that can't be used: an option, an array, an attribute's name, a recipe."""


class FileError(DfiError, OSError):
    """A file or folder that is missing, unreadable, damaged, or of the wrong kind."""
