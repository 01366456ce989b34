"""Writes the tables of the pages anew from the records of the programs.

    python docs/tables.py

A table between two comments belongs to a record: `<!-- table 2 of experiments/fonts -->` before it
and `<!-- end -->` after it stand for the second table that the program prints for the record
`docs/records/fonts.json`, which it wrote with `--json`.

`tests/test_tables.py` lists the few tables of figures that are typed, with their reasons.
"""

import contextlib
import importlib
import io
import itertools
import json
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent

TABLE = re.compile(r"(<!-- table (\d+) of (\w+)/(\w+) -->\n\n).*?(<!-- end -->)", re.DOTALL)
"""Pattern of a table with its comments: its number, and the folder and the name of its program."""


def print_tables(folder: str, name: str) -> list[str]:
    """Returns the tables that a program prints for its record."""
    record = json.loads((DOCS / "records" / f"{name}.json").read_text(encoding="utf-8"))
    programs = str(DOCS.parent / folder)
    if programs not in sys.path:
        sys.path.append(programs)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        importlib.import_module(name).print_tables(record)
    lines = itertools.groupby(printed.getvalue().splitlines(), lambda line: line.startswith("|"))
    return ["\n".join(rows) for is_table, rows in lines if is_table]


def fill(page: str) -> str:
    """Returns a page with the tables of all records that it names."""

    def table(found: re.Match[str]) -> str:
        before, number, folder, name, after = found.groups()
        return f"{before}{print_tables(folder, name)[int(number) - 1]}\n\n{after}"

    return TABLE.sub(table, page)


def main() -> None:
    """Writes the pages."""
    for path in sorted(DOCS.glob("*.md")):
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
