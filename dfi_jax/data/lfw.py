"""Labeled Faces in the Wild with attribute scores, in the layout in which both are published.

    ROOT/lfw_attributes.txt
    ROOT/lfw-deepfunneled/Aaron_Eckhart/Aaron_Eckhart_0001.jpg

The attributes file is separated by tabs. It has comment lines, a header `#  person  imagenum  Male
…`, and a row per image.

References: Huang et al., "Labeled Faces in the Wild", 2007; Huang et al., "Learning to Align from
Scratch", NIPS 2012 (the deep-funnelled images); Kumar et al., "Attribute and Simile Classifiers for
Face Verification", ICCV 2009 (the scores).
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.layout import check_columns, require, unpacked, warn_of_missing
from dfi_jax.errors import FileError
from dfi_jax.photo.photo import read
from dfi_jax.photo.placement import Box
from dfi_jax.storage.files import check_file, is_file
from dfi_jax.storage.text import read_lines

CROP: Box = (40, 20, 210, 190)
"""The box of the face in a deep-funnelled image of 250 × 250 pixels, as in chainer-dfi."""

SIDE = 250
"""Width and height of an image."""

TABLE = "lfw_attributes.txt"
"""The name of the attributes file."""

_FILE_NAME = re.compile(r"(?P<person>.+)_\d{4}\.jpg")


def is_lfw_image(path: Path) -> bool:
    """Returns whether a file is named like LFW's images, such as `Ann_Lee/Ann_Lee_0001.jpg`.

    >>> is_lfw_image(Path("Ann_Lee/Ann_Lee_0001.jpg")), is_lfw_image(Path("Ann_Lee/me.jpg"))
    (True, False)
    """
    match = _FILE_NAME.fullmatch(path.name)
    return match is not None and match["person"] == path.resolve().parent.name


def load(root: Path) -> Dataset:
    """Loads the images that have attribute scores, in the order of the attributes file.

    Images that aren't in the folder are skipped, with a warning in the log. Call it as
    `load(Path("LFW"))`.

    Args:
      root: Folder that holds `lfw_attributes.txt` and the folder `lfw-deepfunneled` (or `lfw`).

    Raises:
      FileError: If the folder, the attributes file or all images are missing, or if a row of the
        file can't be read or is about the same image as another.
    """
    table = require(root, TABLE)
    check_file(table)
    folder = unpacked(require(root, "lfw-deepfunneled", "lfw"))
    attributes, rows = _read_table(table)
    names, people, scores = [], [], []
    seen: set[str] = set()
    for person, number, row in rows:
        stem = person.replace(" ", "_")
        name = f"{stem}/{stem}_{number:04d}.jpg"
        if name in seen:
            raise FileError(f"{table} has two rows for {name}; remove one of them.")
        seen.add(name)
        if is_file(folder / name):
            names.append(name)
            people.append(person)
            scores.append(row)
    if not names:
        raise FileError(
            f"none of the {len(rows)} images of {table} is in {folder}; unpack the images there."
        )
    warn_of_missing(table, found=len(names), listed=len(rows))
    return Dataset(
        name="lfw",
        names=tuple(names),
        read=partial(read_image, folder, tuple(names)),
        attributes=attributes,
        scores=np.asarray(scores, np.float32),
        people=np.asarray(people),
        crop=CROP,
        folder=folder,
    )


def read_image(folder: Path, names: tuple[str, ...], index: int) -> Float[np.ndarray, "h w 3"]:
    """Returns one of LFW's images.

    >>> import tempfile
    >>> from dfi_jax.photo.photo import write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "Ann_Lee_0001.png"), np.zeros((250, 250, 3)))
    ...     read_image(Path(folder), ("Ann_Lee_0001.png",), 0).shape
    (250, 250, 3)

    Args:
      folder: Folder of the images.
      names: Paths of the images, relative to the folder.
      index: Number of the image among the names.

    Raises:
      FileError: If the image can't be read or isn't 250 × 250 pixels.
    """
    pixels = read(folder / names[index])
    height, width = pixels.shape[:2]
    if (width, height) != (SIDE, SIDE):
        raise FileError(
            f"{folder / names[index]} is {width} × {height} pixels, but LFW's images are "
            f"{SIDE} × {SIDE}; download the deep-funnelled images."
        )
    return pixels


def _read_table(path: Path) -> tuple[tuple[str, ...], list[tuple[str, int, list[float]]]]:
    """Returns the attributes, and the person, image number and scores of each row."""
    header: list[str] | None = None
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if line.startswith("#"):
            if cells[1:3] == ["person", "imagenum"]:
                header = cells[3:]
            continue
        if not line.strip():
            continue
        if header is None:
            raise FileError(
                f"{path} has no header line `# person imagenum …` before line {number}; "
                f"download it again."
            )
        rows.append(_read_row(cells, header, f"{path}, line {number},"))
    if header is None or not rows:
        raise FileError(f"{path} has no scores; download it again.")
    check_columns(path, header, advice="download it again.")
    return tuple(header), rows


def _read_row(cells: list[str], header: list[str], where: str) -> tuple[str, int, list[float]]:
    advice = "correct the line or download the file again."
    if len(cells) != len(header) + 2:
        raise FileError(
            f"{where} has {len(cells) - 2} scores but the header names {len(header)} attributes; "
            f"{advice}"
        )
    try:
        scores = [float(cell) for cell in cells[2:]]
        number = int(cells[1])
    except ValueError as error:
        raise FileError(f"{where} can't be read ({error}); {advice}") from None
    if not (np.abs(scores) <= np.finfo(np.float32).max).all():
        raise FileError(f"{where} has a score that is not finite; {advice}")
    return cells[0], number, scores
