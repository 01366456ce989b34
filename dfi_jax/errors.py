"""The errors a user can cause: one sentence that says what was given, what is wrong with it and what to do."""


class DfiError(Exception):
    """Anything wrong with what the library was given; never raised as itself."""


class InputError(DfiError, ValueError):
    """A value that cannot be worked with: an option, an array, an attribute's name, a recipe."""


class FileError(DfiError, OSError):
    """A file or folder that is missing, unreadable, damaged or not what it should be."""
