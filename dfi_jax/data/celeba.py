"""CelebA, aligned and cropped, in the layout in which it is published.

    ROOT/list_attr_celeba.txt              number of images; 40 names; rows `000001.jpg -1 1 …`
    ROOT/list_landmarks_align_celeba.txt   number of images; ten names; rows `000001.jpg 69 109 …`
    ROOT/identity_CelebA.txt               rows `000001.jpg 2880`
    ROOT/img_align_celeba/000001.jpg       178 × 218 pixels

The text files may also lie in `ROOT/Anno`, and the images in `ROOT/Img`, as in the published
folder. The attributes and landmarks may also be CSV files, as Kaggle has them, with the header
`image_id,5_o_Clock_Shadow,…` and rows `000001.jpg,-1,…`. The landmarks and identities are optional:
without landmarks, faces are cropped from a fixed box, and without identities, the people in the
images are unknown.

Reference: Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015.
"""

import os
import warnings
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.layout import check_columns, require, unpacked, warn_of_missing
from dfi_jax.errors import FileError
from dfi_jax.photo.photo import read
from dfi_jax.photo.placement import Box
from dfi_jax.storage.files import check_file
from dfi_jax.storage.text import read_lines, read_text

ATTRIBUTES = "list_attr_celeba.txt"
LANDMARKS = "list_landmarks_align_celeba.txt"
IDENTITIES = "identity_CelebA.txt"
IMAGES = "img_align_celeba"

SIZE = (178, 218)
"""Width and height of an image."""

POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
"""The landmarks, in the order of `placement.CANONICAL_POINTS`. In both, left is the viewer's."""

CROP: Box = (11, 27, 166, 182)
"""The canonical crop in an aligned image.

The scale s and translation t that take an image to the crop minimise Σ‖s·p + t − q‖². CelebA is
aligned to the points p, about (69.5, 111.3), (107.7, 111.2), (88.2, 135.5), (72, 152) and
(105.5, 152). The points q are `placement.CANONICAL_POINTS`. The result has s = 1.284."""

CSV = ".csv"
"""Suffix of files in Kaggle's form."""

LARGEST_IDENTITY = 2**24
"""The largest number of a person. Larger numbers aren't exact in float32; CelebA's end at 10177."""

LONGEST_NAME = 47
"""The maximum number of characters in a file's name. CelebA's names have 10."""


def load(root: Path) -> Dataset:
    """Loads the images that have attribute scores, in the order of the attributes file.

    Images that aren't in the folder are skipped, with a warning in the log. Call it as
    `load(Path("CelebA"))`.

    Args:
      root: Folder with the layout that this module describes.

    Raises:
      FileError: If the folder, the attributes file or all images are missing, if a row of a file
        can't be read or is about the same image as another, or if the landmarks or identities lack
        an image.
    """
    table = require(root, *_places(ATTRIBUTES, csv=True))
    landmarks = _optional(root, LANDMARKS, csv=True)
    identities = _optional(root, IDENTITIES)
    for path in (table, landmarks, identities):
        if path is not None:
            check_file(path)
    folder = _image_folder(root)
    attributes, names, scores = _read_named(table)
    points = None if landmarks is None else _read_landmarks(landmarks, names, table)
    people = None if identities is None else _read_identities(identities, names, table)
    existing = {entry.name for entry in os.scandir(folder)}
    kept = np.flatnonzero([name in existing for name in names])
    if not kept.size:
        raise FileError(
            f"none of the {len(names)} images of {table} is in {folder}; unpack the images there."
        )
    warn_of_missing(table, found=len(kept), listed=len(names))
    kept_names = tuple(names[row] for row in kept)
    return Dataset(
        name="celeba",
        names=kept_names,
        read=partial(_read_image, folder, kept_names),
        attributes=attributes,
        scores=scores[kept],
        people=None if people is None else people[kept, 0].astype(np.int64),
        landmarks=None if points is None else points[kept],
        crop=None if points is not None else CROP,
        folder=folder,
    )


def _image_folder(root: Path) -> Path:
    """Returns the folder of images; the archive may be unpacked into a folder of the same name."""
    if (root / "Img").is_dir() and not (root / IMAGES).exists():
        folder = require(root / "Img", IMAGES)
    else:
        folder = require(root, IMAGES, f"Img/{IMAGES}")
    if not folder.is_dir():
        raise FileError(f"{folder} is a file; replace it with the folder of CelebA's images.")
    return unpacked(folder)


def _places(name: str, *, csv: bool = False) -> list[str]:
    """Returns the paths, below the root, at which a file may lie, also as a CSV file."""
    names = [name, f"{Path(name).stem}{CSV}"] if csv else [name]
    return [place for name in names for place in (name, f"Anno/{name}")]


def _optional(root: Path, name: str, *, csv: bool = False) -> Path | None:
    places = _places(name, csv=csv)
    return next((root / place for place in places if (root / place).exists()), None)


def _read_image(folder: Path, names: tuple[str, ...], index: int) -> Float[np.ndarray, "h w 3"]:
    pixels = read(folder / names[index])
    height, width = pixels.shape[:2]
    if (width, height) != SIZE:
        raise FileError(
            f"{folder / names[index]} is {width} × {height} pixels, but CelebA's aligned images "
            f"are {SIZE[0]} × {SIZE[1]}; download {IMAGES}.zip."
        )
    return pixels


def _read_landmarks(path: Path, names: list[str], table: Path) -> Float[np.ndarray, "n 5 2"]:
    header, listed, values = _read_named(path)
    expected = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
    if header != expected:
        raise FileError(
            f"{path} has the columns {' '.join(header)} instead of {' '.join(expected)}; "
            f"download it again."
        )
    return _align_values(names, listed, values, path, table).reshape(-1, len(POINTS), 2)


def _read_identities(path: Path, names: list[str], table: Path) -> Float[np.ndarray, "n 1"]:
    listed, values = _read_rows(path, ("identity",), 0)
    wrong = (values != np.round(values)) | (np.abs(values) > LARGEST_IDENTITY)
    if wrong.any():
        name = listed[int(wrong.argmax())]
        raise FileError(
            f"{path} gives {name} an identity that isn't a whole number up to {LARGEST_IDENTITY}; "
            f"download it again."
        )
    return _align_values(names, listed, values, path, table)


def _align_values(
    names: list[str], listed: list[str], values: Float[np.ndarray, "m c"], path: Path, table: Path
) -> Float[np.ndarray, "n c"]:
    """Returns the values of each name, from a file that lists the names in another order."""
    if names == listed:
        return values
    rows = {name: row for row, name in enumerate(listed)}
    if missing := [name for name in names if name not in rows]:
        raise FileError(
            f"{path} has no row for {len(missing)} images of {table}, such as {missing[0]}; "
            f"download both files again."
        )
    return values[[rows[name] for name in names]]


def _read_named(path: Path) -> tuple[tuple[str, ...], list[str], Float[np.ndarray, "n c"]]:
    """Returns the names of a file's columns, the names of its images, and their values."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first, second = (*islice(file, 2), "", "")[:2]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    if path.suffix == CSV:
        return _read_csv(path, [cell.strip() for cell in first.split(",")])
    count, header = first.split(), second.split()
    if len(count) != 1 or not count[0].isdecimal() or not header:
        raise FileError(
            f"{path} doesn't begin with a line with the number of images and a line with the names "
            f"of the columns; download it again."
        )
    check_columns(path, header, advice="download it again.")
    names, values = _read_rows(path, tuple(header), 2)
    if len(names) != int(count[0]):
        raise FileError(
            f"{path} announces {count[0]} images in its first line but has {len(names)}; download "
            f"it again, or correct the first line."
        )
    return tuple(header), names, values


def _read_csv(
    path: Path, header: list[str]
) -> tuple[tuple[str, ...], list[str], Float[np.ndarray, "n c"]]:
    if header[:1] != ["image_id"] or len(header) < 2:
        raise FileError(
            f"{path} doesn't begin with a line image_id,NAME,NAME,…; download it again."
        )
    check_columns(path, header, advice="download it again.")
    names, values = _read_rows(path, tuple(header[1:]), 1)
    return tuple(header[1:]), names, values


def _read_rows(
    path: Path, header: tuple[str, ...], skipped: int
) -> tuple[list[str], Float[np.ndarray, "n c"]]:
    """Returns the names of the images and their values.

    NumPy's parser, which is written in C, reads 200,000 rows of 40 values in about a second.
    """
    row = np.dtype([("name", f"U{LONGEST_NAME + 1}"), ("values", np.float32, (len(header),))])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
            rows = np.loadtxt(
                path,
                row,
                comments=None,
                delimiter=_delimiter(path),
                skiprows=skipped,
                ndmin=1,
                encoding="utf-8-sig",
            )
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        problem = _first_problem(path, header, skipped)
        raise FileError(problem or f"{path} can't be read ({error}); download it again.") from None
    if not rows.size:
        raise FileError(f"{path} lists no images; download it again.")
    names, values = rows["name"].tolist(), np.ascontiguousarray(rows["values"])
    names_fit = max(map(len, names)) <= LONGEST_NAME and len(set(names)) == len(names)
    if not (names_fit and np.isfinite(values).all()):
        problem = _first_problem(path, header, skipped)
        if problem is not None:
            raise FileError(problem)
    return names, values


def _first_problem(path: Path, header: tuple[str, ...], skipped: int) -> str | None:
    """Describes the first problem in the rows of a file.

    This is slow, so it is only used for files that are known to have a problem.
    """
    seen: dict[str, int] = {}
    lines = read_lines(path)[skipped:]
    advice = "correct the line or download the file again."
    for number, line in enumerate(lines, skipped + 1):
        name, *cells = line.split(_delimiter(path)) or [""]
        where = f"{path}, line {number},"
        if not name:
            continue
        if len(cells) != len(header):
            return f"{where} has {len(cells)} values instead of {len(header)}; {advice}"
        if len(name) > LONGEST_NAME:
            return f"{where} names an image with more than {LONGEST_NAME} characters; shorten it."
        if name in seen:
            return f"{where} is about {name}, as line {seen[name]} is; remove one of them."
        seen[name] = number
        try:
            finite = (np.abs([float(cell) for cell in cells]) <= np.finfo(np.float32).max).all()
        except ValueError as error:
            return f"{where} can't be read ({error}); {advice}"
        if not finite:
            return f"{where} has a value that is not finite; {advice}"
    return None


def _delimiter(path: Path) -> str | None:
    """Returns what separates the cells of a file; None stands for white space."""
    return "," if path.suffix == CSV else None


def _unreadable(path: Path, error: Exception) -> FileError:
    if isinstance(error, UnicodeDecodeError):
        read_text(path)  # It raises an error that names the line.
    return FileError(f"{path} can't be read as text ({error}); download it again.")
