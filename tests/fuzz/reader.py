"""The base of all readers of damaged files."""

import re
from pathlib import Path

from fuzz import mutations

LINE_END = re.compile(rb"\r\n|\n|\r")


class Reader:
    """A reader of one kind of file.

    Attributes:
      kind: Name in `READERS`.
      mutations: Ways to damage its files.
      contents: Valid files by name, or functions that return them.
    """

    kind = ""
    mutations = mutations.BYTES

    def __init__(self, folder: Path):
        self.folder = folder
        self.contents = {}

    def content(self, name):
        """Returns a valid file."""
        found = self.contents[name]
        if not isinstance(found, bytes):
            found = self.contents[name] = found()
        return found

    def read(self, name, data):
        """Reads a damaged file, and checks what was read. Raises DfiError if it is rejected."""
        raise NotImplementedError
