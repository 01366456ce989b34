"""CelebA, aligned and cropped, in the layout in which it is published.

    ROOT/list_attr_celeba.txt              number of images; 40 names; `000001.jpg -1 1 …` an image
    ROOT/list_landmarks_align_celeba.txt   number of images; ten names; `000001.jpg 69 109 106 113 …` an image
    ROOT/identity_CelebA.txt               `000001.jpg 2880` an image
    ROOT/img_align_celeba/000001.jpg       178 × 218 pixels

The text files may also lie in `ROOT/Anno` and the images in `ROOT/Img`, as in the folder that is handed out. Without
the landmarks, faces are cropped; without the identities, it isn't known who is on an image.

Reference: Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015.
"""

import os
import warnings
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax import image
from dfi_jax.data.dataset import Dataset, require
from dfi_jax.errors import FileError

ATTRIBUTES = "list_attr_celeba.txt"
LANDMARKS = "list_landmarks_align_celeba.txt"
IDENTITIES = "identity_CelebA.txt"
IMAGES = "img_align_celeba"

SIZE = (178, 218)
"""Width and height of an image."""

POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
"""The landmarks in the order of `faces.CANONICAL_POINTS`; as there, left is left as seen."""

CROP: image.Box = (11, 27, 166, 182)
"""The canonical crop in an aligned image: what a scaling by s and a translation by t bring to it, fitted in least
squares to Σ‖s·p + t − q‖² over the points p that CelebA is aligned to, about (69.5, 111.3), (107.7, 111.2),
(88.2, 135.5), (72, 152) and (105.5, 152), and q, `faces.CANONICAL_POINTS`; s is 1.284."""

_NAME = 48
"""Characters of a file's name, at most; CelebA's have 10."""


def load(root: Path) -> Dataset:
    """The images that have attribute scores and lie in the folder, in the order of the attributes file.

    Args:
      root: the folder that this module's docstring lays out.

    Raises:
      FileError: where the folder, the attributes file or all images are missing, where a row of a file can't be read
        or is there twice, or where the landmarks or identities are of other images.
    """
    table = require(root, ATTRIBUTES, f"Anno/{ATTRIBUTES}")
    folder = _images(root)
    attributes, names, scores = _read_named(table)
    landmarks = _optional(root, LANDMARKS)
    identities = _optional(root, IDENTITIES)
    points = None if landmarks is None else _read_landmarks(landmarks, names, table)
    people = None if identities is None else _of(names, *_read_rows(identities, ("identity",), 0), identities, table)
    there = {entry.name for entry in os.scandir(folder)}
    kept = np.flatnonzero([name in there for name in names])
    if not kept.size:
        raise FileError(f"none of the {len(names)} images of {table} lies in {folder}; unpack the images there.")
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


def _images(root: Path) -> Path:
    """The folder of images, one level down where the archive was unpacked into a folder of its own name."""
    if (root / "Img").is_dir() and not (root / IMAGES).exists():
        folder = require(root / "Img", IMAGES)
    else:
        folder = require(root, IMAGES, f"Img/{IMAGES}")
    if not folder.is_dir():
        raise FileError(f"{folder} is a file; put the folder of CelebA's images in its place.")
    return folder / IMAGES if (folder / IMAGES).is_dir() else folder


def _optional(root: Path, name: str) -> Path | None:
    return next((path for path in (root / name, root / "Anno" / name) if path.exists()), None)


def _read_image(folder: Path, names: tuple[str, ...], index: int) -> Float[np.ndarray, "h w 3"]:
    photograph = image.read(folder / names[index])
    if photograph.shape[1::-1] != SIZE:
        height, width = photograph.shape[:2]
        raise FileError(
            f"{folder / names[index]} is {width} × {height} pixels and CelebA's aligned images are "
            f"{SIZE[0]} × {SIZE[1]}; get {IMAGES}.zip."
        )
    return photograph


def _read_landmarks(path: Path, names: list[str], table: Path) -> Float[np.ndarray, "n 5 2"]:
    header, found, values = _read_named(path)
    wanted = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
    if header != wanted:
        raise FileError(f"{path} has the columns {' '.join(header)} and not {' '.join(wanted)}; get it again.")
    return _of(names, found, values, path, table).reshape(-1, len(POINTS), 2)


def _of(
    names: list[str],
    found: list[str],
    values: Float[np.ndarray, "m c"],
    path: Path,
    table: Path,
) -> Float[np.ndarray, "n c"]:
    """The values of each name."""
    if names == found:
        return values
    rows = {name: row for row, name in enumerate(found)}
    if missing := [name for name in names if name not in rows]:
        raise FileError(f"{path} has no row for {len(missing)} images of {table}, such as {missing[0]}; "
                        f"get both files again.")  # fmt: skip
    return values[[rows[name] for name in names]]


def _read_named(path: Path) -> tuple[tuple[str, ...], list[str], Float[np.ndarray, "n c"]]:
    """The names of a file's columns, its images' names and their values."""
    try:
        with path.open(encoding="utf-8") as file:
            count, header = (line.split() for line in islice(file, 2))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} can't be read as text ({error}); get it again.") from None
    except ValueError:
        count, header = [], []
    if len(count) != 1 or not count[0].isdecimal() or not header:
        raise FileError(f"{path} doesn't begin with a line with the number of images and one with the columns' names; "
                        f"get it again.")  # fmt: skip
    if twice := next((name for i, name in enumerate(header) if name in header[:i]), None):
        raise FileError(f"{path} names the column {twice} twice; get it again.")
    names, values = _read_rows(path, tuple(header), 2)
    if len(names) != int(count[0]):
        raise FileError(f"{path} says {count[0]} images in its first line and has {len(names)}; get it again, or put "
                        f"the right number there.")  # fmt: skip
    return tuple(header), names, values


def _read_rows(path: Path, header: tuple[str, ...], skipped: int) -> tuple[list[str], Float[np.ndarray, "n c"]]:
    """The images' names and their values. NumPy's parser in C reads 200,000 × 40 of them in about a second."""
    row = np.dtype([("name", f"U{_NAME}"), ("values", np.float32, (len(header),))])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
            rows = np.loadtxt(path, row, comments=None, skiprows=skipped, ndmin=1, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} can't be read as text ({error}); get it again.") from None
    except ValueError as error:
        raise FileError(_what_is_wrong(path, header, skipped) or f"{path} can't be read ({error}).") from None
    if not rows.size:
        raise FileError(f"{path} holds no image; get it again.")
    names, values = rows["name"].tolist(), np.ascontiguousarray(rows["values"])
    usable = np.isfinite(values).all() and max(map(len, names)) < _NAME and len(set(names)) == len(names)
    if not usable and (wrong := _what_is_wrong(path, header, skipped)):
        raise FileError(wrong)
    return names, values


def _what_is_wrong(path: Path, header: tuple[str, ...], skipped: int) -> str | None:
    """The first thing that is wrong with the lines of a file: slow, and only for files known to be wrong."""
    taken: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[skipped:], skipped + 1):
        name, *cells = line.split() or [""]
        where = f"{path}, line {number},"
        if not name:
            continue
        if len(cells) != len(header):
            return f"{where} has {len(cells)} values where {len(header)} belong; mend the line or get the file again."
        if len(name) >= _NAME:
            return f"{where} names an image with {_NAME} characters or more; give it a shorter name."
        if name in taken:
            return f"{where} is about {name}, as line {taken[name]} is; take one of them out."
        taken[name] = number
        try:
            finite = (np.abs([float(cell) for cell in cells]) <= np.finfo(np.float32).max).all()
        except ValueError as error:
            return f"{where} can't be read ({error}); mend the line or get the file again."
        if not finite:
            return f"{where} has a value that is not finite; mend the line or get the file again."
    return None
