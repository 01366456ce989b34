"""What a dataset is to everything else: images of faces by number, and what is known of each."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float, Int, Shaped

from dfi_jax import faces, image
from dfi_jax.errors import FileError, InputError
from dfi_jax.files import file_sha256

BATCH = 10
"""Images that go to the network at a time."""

DECODERS = 2
"""Threads that decode images while the network works; Pillow lets go of Python's lock meanwhile."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of faces in a fixed order, and what is known of each.

    Attributes:
      name: of the dataset, for provenance.
      names: of each image, no two alike; the path from `folder` where the images are files.
      read: the photograph of a number, RGB in [0, 1]. Raises FileError where it can't be had.
      attributes: names of the columns of `scores`.
      scores: one row an image, one column an attribute; positive is present, negative absent.
      people: who is on each image, as anything that can be compared, or None where it isn't known.
      landmarks: five points of each face, (x, y) in the photograph's pixels, in the order of
        `faces.CANONICAL_POINTS`, or None where they aren't known.
      crop: the face in each photograph where there are no landmarks, (x0, y0, x1, y1); None for all of it.
      folder: of the images, where they are files.
    """

    name: str
    names: tuple[str, ...]
    read: Callable[[int], Float[np.ndarray, "h w 3"]]
    attributes: tuple[str, ...]
    scores: Float[np.ndarray, "n a"]
    people: Shaped[np.ndarray, " n"] | None = None
    landmarks: Float[np.ndarray, "n 5 2"] | None = None
    crop: image.Box | None = None
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.names)

    def place(self, index: int) -> image.Box | Float[np.ndarray, "2 3"] | None:
        """Where the face is in an image: by its landmarks where they are known, or the crop; None for all of it."""
        return self.crop if self.landmarks is None else faces.placement(self.landmarks[index])

    def face(self, index: SupportsIndex, size: int) -> Float[np.ndarray, "size size 3"]:
        """The face of an image in the canonical crop: by its landmarks where they are known, or by the crop.

        Raises FileError where the image can't be read, or the face isn't in it.
        """
        index = index.__index__()
        photograph = self.read(index)
        try:
            if self.landmarks is not None:
                return faces.align(photograph, self.landmarks[index], size=size)
            if self.crop is not None:
                photograph = image.crop(photograph, self.crop)
        except InputError as error:
            raise FileError(f"{self.names[index]} of {self.name}: {error}") from None
        return image.resize(photograph, (size, size))

    def batches(
        self, rows: Int[np.ndarray, " r"], *, size: int, batch: int = BATCH
    ) -> Iterator[Float[np.ndarray, "_ size size 3"]]:
        """The faces of some rows, `batch` at a time; the next ones are decoded while a batch is used.

        Raises FileError where an image can't be read.
        """
        with ThreadPoolExecutor(DECODERS) as pool:
            coming = deque(pool.submit(self.face, row, size) for row in rows[: 2 * batch])
            for i in range(0, len(rows), batch):
                found = np.stack([coming.popleft().result() for _ in rows[i : i + batch]])
                coming.extend(pool.submit(self.face, row, size) for row in rows[i + 2 * batch : i + 3 * batch])
                yield found

    def fingerprint(self, rows: Int[np.ndarray, " r"]) -> str:
        """A SHA-256 of all that the faces of some rows depend on: the images' bytes, and where the face is in each."""
        digest = hashlib.sha256(repr(self.crop).encode())
        for row in rows:
            if self.folder is None:
                digest.update(self.read(int(row)).tobytes())
            else:
                digest.update(file_sha256(self.folder / self.names[row]).encode())
            if self.landmarks is not None:
                digest.update(self.landmarks[row].tobytes())
        return digest.hexdigest()

    def index(self, path: Path) -> int | None:
        """Which image of the dataset a file is, or None if it isn't one.

        Where the dataset's images aren't files, it is the one whose name ends the file's path, folder and all.
        """
        if self.folder is None:
            return next((i for i, name in enumerate(self.names) if name == "/".join(path.resolve().parts[-2:])), None)
        ends = (path.name, path.resolve().name)  # either may be a link
        same = (i for i, name in enumerate(self.names) if name.endswith(ends))
        return next((i for i in same if (self.folder / self.names[i]).resolve() == path.resolve()), None)


ARCHIVES = (".zip", ".tgz", ".gz", ".tar", ".7z", ".001")


def require(root: Path, *needed: str) -> Path:
    """The first of the files or folders `needed` that `root` holds.

    Raises:
      FileError: where there is none; the message says which folder near by has one, or which archive to unpack.
    """
    if found := _held(root, needed):
        return found
    wanted = " or ".join(needed)
    if not root.exists():
        raise FileError(f"{root} does not exist; give the folder that holds {wanted}.")
    if not root.is_dir():
        raise FileError(f"{root} is a file; give the folder that holds {wanted}.")
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    stems = {Path(name).stem for name in needed}
    for path in inside:
        if path.suffix in ARCHIVES and any(path.name.startswith(stem) for stem in stems):
            raise FileError(f"{root} has no {wanted}; unpack {path.name} there.")
    near = (*root.resolve().parents[:2], *(path for path in inside if path.is_dir()))
    if other := next((folder for folder in near if _held(folder, needed)), None):
        raise FileError(f"{root} has no {wanted}; {other} has, give that folder.")
    raise FileError(f"{root} has no {wanted}; give the folder that holds it, or put it there.")


def _held(folder: Path, needed: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in needed if (folder / name).exists()), None)
