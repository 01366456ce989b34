"""Images of one's own: two lists of files, or a folder with a table of scores.

Lists, as chainer-dfi's: a text file of the images that lack an attribute and one of those that have it, a path a line,
relative to the text file's folder or absolute. Blank lines, and lines that begin with `#`, are skipped.

A table, `ROOT/scores.csv` or any other CSV file, separated by commas, in UTF-8, with paths relative to its folder:

    image,person,Smiling,Male
    ann/1.jpg,Ann Lee,1.5,-1
    ann/2.jpg,Ann Lee,-0.5,-1

`person` may be left out. Positive scores mean that the image has the attribute, negative ones that it lacks it.

An image is a face in the canonical crop, of any size; lists of nothing but LFW's images, as `dfi select` writes them,
get LFW's crop.
"""

import csv
import io
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax import image
from dfi_jax.data import lfw
from dfi_jax.data.dataset import Dataset, require
from dfi_jax.errors import FileError

ATTRIBUTES = ("Target",)
"""The attribute of two lists: 1 for an image of the target list, −1 for one of the source list."""

TABLE = "scores.csv"


def load_lists(source: Path, target: Path) -> Dataset:
    """The images of two lists: first those that lack the attribute, then those that have it.

    Args:
      source: the text file of images that lack it.
      target: the text file of images that have it.

    Raises:
      FileError: where a list can't be read or is empty, an image is missing, or one is listed twice.
    """
    folder = Path(os.path.normpath(source.absolute().parent))
    found: dict[Path, str] = {}
    scores = []
    for listed, score in ((source, -1), (target, 1)):
        before = len(found)
        for path, where in _listed(listed):
            if path in found:
                raise FileError(f"{where}, lists {path}, as {found[path]} does; take one of them out.")
            if not path.is_file():
                raise FileError(f"{where}, lists {path}, which is not a file; mend the line or take it out.")
            found[path] = where
            scores.append(score)
        if len(found) == before:
            raise FileError(f"{listed} lists no image; give a text file with the path of an image in each line.")
    names = tuple(str(path.relative_to(folder) if path.is_relative_to(folder) else path) for path in found)
    of_lfw = all(map(lfw.is_lfw_image, found))
    return Dataset(
        name="folders",
        names=names,
        read=partial(lfw.read_image if of_lfw else _read_image, folder, names),
        attributes=ATTRIBUTES,
        scores=np.asarray(scores, np.float32)[:, None],
        crop=lfw.CROP if of_lfw else None,
        folder=folder,
    )


def _listed(path: Path) -> Iterator[tuple[Path, str]]:
    """The paths that a text file lists, and the line of each, in words."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield Path(os.path.normpath(path.absolute().parent / line)), f"{path}, line {number}"


def load_table(path: Path) -> Dataset:
    """The images that a table has scores for and that are there, in the table's order.

    Args:
      path: the CSV file, or the folder that holds it as `scores.csv`.

    Raises:
      FileError: where the table is missing, is no CSV in UTF-8, has no usable header, has a row that can't be used
        or has an image twice, or where none of the images is there.
    """
    table = path if path.is_file() else require(path, TABLE)
    rows = _rows(table)
    header = next(rows, (0, []))[1]
    _check_header(table, header)
    attributes = tuple(name for name in header if name not in ("image", "person"))
    names, people, scores = [], [], []
    taken: dict[str, int] = {}
    for number, cells in rows:
        where = f"{table}, line {number},"
        if len(cells) != len(header):
            raise FileError(f"{where} has {len(cells)} cells and the header has {len(header)}; mend the line.")
        row = dict(zip(header, cells, strict=True))
        if not row["image"]:
            raise FileError(f"{where} names no image; mend the line.")
        name = os.path.normpath(row["image"])
        if name in taken:
            raise FileError(f"{where} is about {name}, as line {taken[name]} is; take one of them out.")
        taken[name] = number
        values = _scores([row[attribute] for attribute in attributes], where)
        if (table.parent / name).is_file():
            names.append(name)
            people.append(row.get("person") or name)  # an image without a person is of one of its own
            scores.append(values)
    if not taken:
        raise FileError(f"{table} has no row of scores; write a line for each image below its header.")
    if not names:
        raise FileError(f"{table} has scores for {len(taken)} images, and none of them is there; write their paths "
                        f"relative to {table.parent}.")  # fmt: skip
    return Dataset(
        name="folder",
        names=tuple(names),
        read=partial(_read_image, table.parent, tuple(names)),
        attributes=attributes,
        scores=np.stack(scores),
        people=np.asarray(people) if "person" in header else None,
        folder=table.parent,
    )


def _read_image(folder: Path, names: tuple[str, ...], index: int) -> Float[np.ndarray, "h w 3"]:
    return image.read(folder / names[index])


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line and the cells of each row that isn't blank."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}, can't be read as CSV ({error}); mend the line.") from None


def _check_header(path: Path, header: list[str]) -> None:
    begin = "begin it with a line as image,person,Smiling,Male, separated by commas."
    if "image" not in header:
        raise FileError(f"{path} has no column image in its header {','.join(header)[:80]!r}; {begin}")
    if twice := next((name for i, name in enumerate(header) if name in header[:i]), None):
        raise FileError(f"{path} has two columns {twice!r}; {begin}")
    if not set(header) - {"image", "person"}:
        raise FileError(f"{path} has no column of scores; {begin}")
    if "" in header:
        raise FileError(f"{path} has a column without a name; {begin}")


def _scores(cells: list[str], where: str) -> Float[np.ndarray, " a"]:
    try:
        scores = np.asarray([float(cell) for cell in cells])
    except ValueError as error:
        raise FileError(f"{where} can't be read ({error}); mend the line.") from None
    if not (np.abs(scores) <= np.finfo(np.float32).max).all():
        raise FileError(f"{where} has a score that is not finite; mend the line.")
    return scores.astype(np.float32)


def _text(path: Path) -> str:
    """A file of UTF-8, with or without a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} can't be read ({error.strerror}); give a text file.") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise FileError(f"{path}, line {number}, isn't UTF-8; save the file in that encoding.") from None
