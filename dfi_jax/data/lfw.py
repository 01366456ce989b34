"""Labeled Faces in the Wild with attribute scores, in the layout in which both are published.

    ROOT/lfw_attributes.txt
    ROOT/lfw-deepfunneled/Aaron_Eckhart/Aaron_Eckhart_0001.jpg

The attributes file is tab-separated: comment lines, then a header `#  person  imagenum  Male  …`, then a row an image.

References: Huang et al., "Labeled Faces in the Wild", 2007; Huang et al., "Learning to Align from Scratch", NIPS 2012
(the deep-funnelled images); Kumar et al., "Attribute and Simile Classifiers for Face Verification", ICCV 2009 (the
scores).
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax import image
from dfi_jax.data.dataset import Dataset, require
from dfi_jax.errors import FileError

CROP: image.Box = (40, 20, 210, 190)
"""The face in a deep-funnelled image of 250 × 250 pixels, as chainer-dfi crops it."""

SIDE = 250
"""Width and height of an image of the data set."""

TABLE = "lfw_attributes.txt"

_FILE_NAME = re.compile(r"(?P<person>.+)_\d{4}\.jpg")


def is_lfw_image(path: Path) -> bool:
    """Whether a file lies where LFW's images do: in a folder with its person's name, as `Person/Person_0001.jpg`."""
    match = _FILE_NAME.fullmatch(path.name)
    return match is not None and match["person"] == path.resolve().parent.name


def load(root: Path) -> Dataset:
    """The images that have attribute scores and lie in the folder, in the order of the attributes file.

    Args:
      root: the folder with `lfw_attributes.txt` and the folder `lfw-deepfunneled` (or `lfw`).

    Raises:
      FileError: where the folder, the attributes file or all images are missing, or a row of the file can't be read.
    """
    table = require(root, TABLE)
    folder = require(root, "lfw-deepfunneled", "lfw")
    attributes, rows = _read_table(table)
    names, people, scores = [], [], []
    taken: set[str] = set()
    for person, number, row in rows:
        stem = person.replace(" ", "_")
        name = f"{stem}/{stem}_{number:04d}.jpg"
        if name in taken:
            raise FileError(f"{table} has two rows for {name}; take one of them out.")
        taken.add(name)
        if (folder / name).is_file():
            names.append(name)
            people.append(person)
            scores.append(row)
    if not names:
        raise FileError(f"none of the {len(rows)} images of {table} lies in {folder}; unpack the images there.")
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
    """One of the images of these names. Raises FileError where it can't be read, or isn't 250 × 250 pixels."""
    photograph = image.read(folder / names[index])
    if photograph.shape[:2] != (SIDE, SIDE):
        height, width = photograph.shape[:2]
        raise FileError(
            f"{folder / names[index]} is {width} × {height} pixels and LFW's images are {SIDE} × {SIDE}; "
            f"get the deep-funnelled images."
        )
    return photograph


def _read_table(path: Path) -> tuple[tuple[str, ...], list[tuple[str, int, list[float]]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} can't be read as text ({error}).") from None
    header: list[str] | None = None
    rows = []
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.rstrip("\n").split("\t")]
        if line.startswith("#"):
            if cells[1:3] == ["person", "imagenum"]:
                header = cells[3:]
            continue
        if not line.strip():
            continue
        if header is None:
            raise FileError(f"{path} has no header line `# person imagenum …` before line {number}; get it again.")
        rows.append(_read_row(cells, header, f"{path}, line {number}"))
    if header is None or not rows:
        raise FileError(f"{path} holds no image's scores; get it again.")
    return tuple(header), rows


def _read_row(cells: list[str], header: list[str], where: str) -> tuple[str, int, list[float]]:
    if len(cells) != len(header) + 2:
        raise FileError(f"{where}, has {len(cells) - 2} scores and the header names {len(header)} attributes; "
                        f"mend the line or get the file again.")  # fmt: skip
    try:
        scores = [float(cell) for cell in cells[2:]]
        number = int(cells[1])
    except ValueError as error:
        raise FileError(f"{where}, can't be read ({error}); mend the line or get the file again.") from None
    if not (np.abs(scores) <= np.finfo(np.float32).max).all():
        raise FileError(f"{where}, has a score that is not finite; mend the line or get the file again.")
    return cells[0], number, scores
