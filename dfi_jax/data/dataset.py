"""A dataset: numbered images of faces, and what is known about each of them."""

import functools
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float, Int, Shaped

from dfi_jax.errors import FileError, InputError
from dfi_jax.photo import faces
from dfi_jax.photo.placement import Box, Placement
from dfi_jax.photo.warp import Warp
from dfi_jax.storage.files import file_sha256

BATCH = 10
"""Number of images that the network sees at a time."""

DECODERS = max(2, os.cpu_count() or 1)
"""Number of threads that decode images while the network works. Pillow releases Python's global
interpreter lock while it decodes. On an H200, the network takes 3 milliseconds for an image and its
sums, and a thread takes 5 to decode an image of LFW (AMD EPYC)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Images of faces in a fixed order, and what is known about each of them.

    Attributes:
      name: Name of the dataset, for records.
      names: Name of each image, all different. If the images are files, a name is the path relative
        to `folder`.
      read: Function that returns the image with a number, RGB in [0, 1]. It raises FileError if the
        image can't be read.
      attributes: Names of the attributes, which are the columns of `scores`.
      scores: Scores of each image (rows) for each attribute (columns). Positive means present,
        negative absent.
      people: Person in each image, as values that can be compared, or None if that is unknown.
      landmarks: Five points of each face, (x, y) in the image's pixels, in the order of
        `placement.CANONICAL_POINTS`, or None if they are unknown.
      crop: Box of the face in every image if there are no landmarks. None means that each image
        is a whole face.
      folder: Folder of the images, or None if they aren't files.
      warped: Whether faces are warped to the geometry of the average face (`photo.warp`). This
        needs the extra `faces`. A face that isn't detected, or can't be warped, isn't changed.

    >>> grey = Dataset(
    ...     name="grey",
    ...     names=("faces/dark", "faces/light"),
    ...     read=lambda index: np.full((40, 40, 3), 0.25 + index / 2, np.float32),
    ...     attributes=("Light",),
    ...     scores=np.array([[-1.0], [1.0]], np.float32),
    ... )
    >>> grey.index(Path("faces/light")), grey.placement(1).box
    (1, (0, 0, 40, 40))
    >>> grey.face(1, 2)[..., 0].tolist()
    [[0.75, 0.75], [0.75, 0.75]]
    >>> [batch[:, 0, 0, 0].tolist() for batch in grey.batches(np.array([1, 0]), size=2)]
    [[0.75, 0.25]]
    >>> grey.fingerprint(np.array([0])) == grey.fingerprint(np.array([1]))
    False
    """

    name: str
    names: tuple[str, ...] = field(repr=False)
    read: Callable[[int], Float[np.ndarray, "h w 3"]] = field(repr=False)
    attributes: tuple[str, ...]
    scores: Float[np.ndarray, "n a"] = field(repr=False)
    people: Shaped[np.ndarray, " n"] | None = field(default=None, repr=False)
    landmarks: Float[np.ndarray, "n 5 2"] | None = field(default=None, repr=False)
    crop: Box | None = None
    folder: Path | None = None
    warped: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def placement(
        self, index: SupportsIndex, *, pixels: Float[np.ndarray, "h w 3"] | None = None
    ) -> Placement:
        """Returns the placement of a face, from its landmarks, the crop, or the whole image.

        Args:
          index: Number of the image.
          pixels: Image, if it has been read already. Otherwise it is read if its size is needed.

        Raises:
          FileError: If the image can't be read, or its landmarks coincide or aren't finite.
        """
        index = index.__index__()
        if self.landmarks is not None:
            try:
                return Placement.from_landmarks(self.landmarks[index])
            except InputError as error:
                raise self._error(index, error) from None
        if self.crop is not None:
            return Placement.from_box(self.crop)
        height, width = (self.read(index) if pixels is None else pixels).shape[:2]
        return Placement.whole((width, height))

    def face(self, index: SupportsIndex, size: int) -> Float[np.ndarray, "size size 3"]:
        """Returns the canonical crop of the face in an image.

        If `warped` is set, the face is warped to the average face.

        Args:
          index: Number of the image.
          size: Height and width of the result.

        Raises:
          FileError: If the image can't be read, the face doesn't lie in it, or the dataset is
            warped and the extra `faces` isn't installed.
        """
        index = index.__index__()
        pixels = self.read(index)
        placement = self.placement(index, pixels=pixels)
        try:
            face = placement.crop(pixels, size=size)
        except InputError as error:
            raise self._error(index, error) from None
        return _warp(face, pixels, placement) if self.warped else face

    def batches(
        self, rows: Int[np.ndarray, " r"], *, size: int, batch: int = BATCH
    ) -> Iterator[Float[np.ndarray, "_ size size 3"]]:
        """Yields the faces of some rows in batches, and decodes the next batches meanwhile.

        Args:
          rows: Numbers of the images.
          size: Height and width of each face.
          batch: Number of faces in a batch; the last one may be smaller.

        Raises:
          FileError: If an image can't be read, or a face doesn't lie in its image.
        """
        with ThreadPoolExecutor(DECODERS) as pool:
            coming = deque(pool.submit(self.face, row, size) for row in rows[: 2 * batch])
            for i in range(0, len(rows), batch):
                faces = np.stack([coming.popleft().result() for _ in rows[i : i + batch]])
                following = rows[i + 2 * batch : i + 3 * batch]
                coming.extend(pool.submit(self.face, row, size) for row in following)
                yield faces

    def fingerprint(self, rows: Int[np.ndarray, " r"]) -> str:
        """Returns the SHA-256, in hex, of everything that the faces of some rows depend on.

        The hash covers the bytes of each image, and where the face lies in it.

        Args:
          rows: Numbers of the images.

        Raises:
          FileError: If an image can't be read.
        """
        digest = hashlib.sha256(repr(self.crop).encode() + b"warped" * self.warped)
        for row in rows:
            if self.folder is None:
                digest.update(self.read(int(row)).tobytes())
            else:
                digest.update(file_sha256(self.folder / self.names[row]).encode())
            if self.landmarks is not None:
                digest.update(self.landmarks[row].tobytes())
        return digest.hexdigest()

    @functools.cached_property
    def catalog_sha256(self) -> str:
        """SHA-256, in hex, of all that a selection depends on, except the contents of the images.

        These are the names, people, scores and landmarks, and the crop.
        """
        people = None if self.people is None else self.people.tolist()
        plain = (self.name, self.names, self.attributes, self.crop, self.warped, people)
        digest = hashlib.sha256(repr(plain).encode("utf-8", "surrogateescape"))
        for table in (self.scores, self.landmarks):
            digest.update(b"none" if table is None else np.ascontiguousarray(table).tobytes())
        return digest.hexdigest()

    def index(self, path: Path) -> int | None:
        """Returns the number of a file's image, or None if the dataset doesn't contain it.

        If the dataset's images aren't files, they are compared by name: an image named
        `Ann_Lee/Ann_Lee_0001.jpg` is found for any file of that name in a folder of that name.
        """
        if self.folder is None:
            name = "/".join(path.resolve().parts[-2:])
            return next((i for i, known in enumerate(self.names) if known == name), None)
        # A link may have another name than its target, so both of the file's names are tried. Of a
        # link to itself, which may be among the images, Path.resolve raises a RuntimeError.
        target = os.path.realpath(path)
        ends = (path.name, Path(target).name)
        candidates = (i for i, name in enumerate(self.names) if name.endswith(ends))
        return next(
            (i for i in candidates if os.path.realpath(self.folder / self.names[i]) == target), None
        )

    def _error(self, index: int, error: InputError) -> FileError:
        return FileError(f"{self.names[index]} of the dataset {self.name}: {error}")


def _warp(
    face: Float[np.ndarray, "s s 3"], pixels: Float[np.ndarray, "h w 3"], placement: Placement
) -> Float[np.ndarray, "s s 3"]:
    """Returns a face in the geometry of the average face, or as it is if that can't be done."""
    points = faces.canonical_points(pixels, placement)
    if points is None:
        return face
    try:
        return Warp.between(points, faces.CANONICAL_LANDMARKS).average_face(face)
    except InputError:
        return face
