"""Your own images: a pair of folders or lists, or a folder with a table of scores.

A pair consists of the images without an attribute and the images with it. Each part is a folder
with its subfolders, or a text file of paths, one per line, as in chainer-dfi. Paths are absolute or
relative to the folder of the text file. Blank lines, and lines that begin with `#`, are skipped.

A table is `ROOT/scores.csv`, or any other CSV file, separated by commas, in UTF-8, with paths
relative to its folder:

    image,person,Smiling,Male
    ann/1.jpg,Ann Lee,1.5,-1
    ann/2.jpg,Ann Lee,-0.5,-1

The column `person` is optional. A positive score means that the image has the attribute, a negative
score that the image lacks it.

Each image is a face in the canonical crop, of any size. Lists that contain only LFW's images, such
as those that `dfi select` writes, get LFW's crop.
"""

import csv
import io
import logging
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax.data import lfw
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.layout import check_columns, require, warn_of_missing
from dfi_jax.errors import FileError
from dfi_jax.photo.photo import read
from dfi_jax.storage.files import check_file, is_file
from dfi_jax.storage.text import base_folder, read_lines, read_text

ATTRIBUTES = ("Target",)
"""The attribute of a pair: 1 for an image with it, −1 for an image without it."""

TABLE = "scores.csv"
"""The name of the table in a folder."""

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Suffixes, in lower case, by which images in a folder are recognised."""

UNREAD_SUFFIXES = (
    *(".arw", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef", ".orf", ".psd"),
    *(".raf", ".rw2"),
)
"""Suffixes of photos that can't be read. Those in a folder are counted instead of passed over."""


def load_pair(without: Path, with_: Path) -> Dataset:
    """Loads two folders or lists: the images without the attribute, then the images with it.

    >>> import tempfile
    >>> from dfi_jax.photo.photo import write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("plain/a.png", "plain/b.png", "smiling/c.png"):
    ...         write(Path(folder, name), np.zeros((20, 20, 3)))
    ...     dataset = load_pair(Path(folder, "plain"), Path(folder, "smiling"))
    >>> dataset.names
    ('plain/a.png', 'plain/b.png', 'smiling/c.png')
    >>> dataset.scores.ravel().tolist()
    [-1.0, -1.0, 1.0]

    Args:
      without: Folder of the images without the attribute, or a text file of their paths.
      with_: Folder of the images with the attribute, or a text file of their paths.

    Raises:
      FileError: If a folder or list doesn't exist, can't be read or has no image, or if an image is
        missing or occurs twice.
    """
    base = Path(os.path.normpath(without.absolute())).parent
    origins: dict[Path, str] = {}
    scores = []
    for side, score in ((without, -1), (with_, 1)):
        images = _in_folder(side) if side.is_dir() else _in_list(side)
        for path, origin in images:
            if path in origins:
                raise FileError(
                    f"{path} occurs twice, in {origins[path]} and in {origin}; remove one of them."
                )
            origins[path] = origin
            scores.append(score)
    names = tuple(
        str(path.relative_to(base) if path.is_relative_to(base) else path) for path in origins
    )
    lists_of_lfw = not (without.is_dir() or with_.is_dir()) and all(map(lfw.is_lfw_image, origins))
    return Dataset(
        name="pair",
        names=names,
        read=partial(lfw.read_image if lists_of_lfw else _read_image, base, names),
        attributes=ATTRIBUTES,
        scores=np.asarray(scores, np.float32)[:, None],
        crop=lfw.CROP if lists_of_lfw else None,
        folder=base,
    )


def images_in(folder: Path) -> list[Path]:
    """Returns the paths of the images in a folder and its subfolders, sorted.

    Images are recognised by their suffixes. Hidden files and folders are skipped. Links to folders
    are followed, but no folder is read twice.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in images_in(Path(folder))]
    ['a.JPG', 'b.png']

    Raises:
      FileError: If the folder or a subfolder can't be read.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        target = os.path.realpath(parent)
        if target in seen:  # A link to a folder above would never end.
            folders.clear()
        else:
            found += [Path(parent, name) for name in names if _is_image(name)]
        seen.add(target)
        warn_of_unread(Path(parent), names)
    return sorted(found)


def warn_of_unread(folder: Path, names: Iterable[str]) -> None:
    """Writes to the log how many photos in a folder can't be read.

    >>> warn_of_unread(Path("photos"), ["a.jpg", "notes.txt"])
    """
    suffixes = [Path(name).suffix.lower() for name in names if not name.startswith(".")]
    if unread := [suffix for suffix in suffixes if suffix in UNREAD_SUFFIXES]:
        _log.warning(
            "%s: photos of kinds that can't be read (%s) were left out: %d; save them as JPEG.",
            *(folder, ", ".join(sorted(set(unread))), len(unread)),
        )


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def _raise_unreadable(error: OSError) -> None:
    raise FileError(
        f"{error.filename} can't be read ({error.strerror}); check that the folder exists and its "
        f"permissions."
    )


def _in_folder(folder: Path) -> list[tuple[Path, str]]:
    """Returns the images of a folder, and where each was found."""
    images = images_in(Path(os.path.normpath(folder.absolute())))
    if not images:
        raise FileError(
            f"{folder} has no image; give a folder with files that end in one of "
            f"{', '.join(IMAGE_SUFFIXES)}."
        )
    return [(path, str(folder)) for path in images]


def _in_list(path: Path) -> list[tuple[Path, str]]:
    """Returns the images that a text file lists, and the line of each."""
    if _is_image(path.name):
        raise FileError(
            f"{path} is an image, or doesn't exist; give a folder of images, or a text file of "
            f"their paths."
        )
    images = []
    folder = base_folder(path).absolute()
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # A name may begin or end with a space, but a line may as well.
        texts = dict.fromkeys((line, line.strip()))
        found = [Path(os.path.normpath(folder / text)) for text in texts]
        image = next((image for image in found if is_file(image)), found[-1])
        origin = f"{path}, line {number}"
        if not is_file(image):
            raise FileError(
                f"{origin}, lists {image}, which is not a file; correct the line or remove it."
            )
        images.append((image, origin))
    if not images:
        raise FileError(
            f"{path} lists no image; give a folder of images, or a text file with the path of an "
            f"image in each line."
        )
    return images


def load_table(path: Path) -> Dataset:
    r"""Loads the images that a table has scores for, in the table's order.

    Images that don't exist are skipped, with a warning in the log.

    >>> import tempfile
    >>> from dfi_jax.photo.photo import write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.png"), np.zeros((20, 20, 3)))
    ...     _ = Path(folder, "scores.csv").write_text("image,Smiling\na.png,1.5\n")
    ...     dataset = load_table(Path(folder))
    >>> dataset.attributes, dataset.scores.tolist()
    (('Smiling',), [[1.5]])

    Args:
      path: Path of the CSV file, or of the folder that holds it as `scores.csv`.

    Raises:
      FileError: If the table doesn't exist or isn't CSV in UTF-8, if its header or a row can't be
        used, if two rows are about the same image, or if none of the images exists.
    """
    table = path if is_file(path) else require(path, TABLE)
    check_file(table)
    rows = _rows(table)
    header = next(rows, (0, []))[1]
    _check_header(table, header)
    attributes = tuple(name for name in header if name not in ("image", "person"))
    names, people, scores = [], [], []
    lines: dict[str, int] = {}
    folder = table.parent.absolute()
    for number, cells in rows:
        where = f"{table}, line {number},"
        if len(cells) != len(header):
            raise FileError(
                f"{where} has {len(cells)} cells but the header has {len(header)}; "
                f"correct the line."
            )
        row = dict(zip(header, cells, strict=True))
        if not row["image"]:
            raise FileError(f"{where} names no image; correct the line.")
        name = os.path.normpath(row["image"])
        file = os.path.normpath(folder / name)
        if file in lines:
            raise FileError(
                f"{where} is about {name}, as line {lines[file]} is; remove one of them."
            )
        lines[file] = number
        values = _scores([row[attribute] for attribute in attributes], where)
        if is_file(table.parent / name):
            names.append(name)
            # An image without a person counts as showing somebody who is in no other image.
            people.append(row.get("person") or name)
            scores.append(values)
    if not lines:
        raise FileError(f"{table} has no row of scores; add a line for each image to it.")
    if not names:
        raise FileError(
            f"{table} has scores for {len(lines)} images, none of which exists; write their paths "
            f"relative to {table.parent}."
        )
    warn_of_missing(table, found=len(names), listed=len(lines))
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
    return read(folder / names[index])


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the cells of each row that isn't blank."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise FileError(
            f"{path}, line {reader.line_num}, can't be read as CSV ({error}); correct the line."
        ) from None


def _check_header(path: Path, header: list[str]) -> None:
    advice = "begin it with a line such as image,person,Smiling,Male, separated by commas."
    if "image" not in header:
        raise FileError(
            f"{path} has no column image in its header {','.join(header)[:80]!r}; {advice}"
        )
    check_columns(path, header, advice=advice)
    if not set(header) - {"image", "person"}:
        raise FileError(f"{path} has no column of scores; {advice}")
    if "" in header:
        raise FileError(f"{path} has a column without a name; {advice}")


def _scores(cells: list[str], where: str) -> Float[np.ndarray, " a"]:
    try:
        scores = np.asarray([float(cell) for cell in cells])
    except ValueError as error:
        raise FileError(f"{where} can't be read ({error}); correct the line.") from None
    if not (np.abs(scores) <= np.finfo(np.float32).max).all():
        raise FileError(f"{where} has a score that is not finite; correct the line.")
    return scores.astype(np.float32)
