"""Small faces of a dataset, which a file can hold for a machine without the dataset and dfi_jax."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

SIDE = 64
"""Width and height of a face, as in the authors' code of the VAE/GAN."""


class SmallFaces(NamedTuple):
    """Faces in the canonical crop, and what is known about them.

    Attributes:
      images: RGB faces.
      names: Name of each image in the dataset.
      people: Person in each image.
      attributes: Names of the attributes.
      scores: Scores of each image for each attribute; positive means present.
      group: Name of the group of `judged_edits.Groups` that each image belongs to. Nothing learns
        from the group `photos`, whose people are edited.
    """

    images: UInt8[np.ndarray, "n 64 64 3"]
    names: Shaped[np.ndarray, " n"]
    people: Shaped[np.ndarray, " n"]
    attributes: Shaped[np.ndarray, " a"]
    scores: Float[np.ndarray, "n a"]
    group: Shaped[np.ndarray, " n"]

    @property
    def held_out(self) -> Bool[np.ndarray, " n"]:
        """Whether nothing learns from an image, because its person may be edited."""
        return self.group == "photos"


def load(source: str) -> SmallFaces:
    """Returns the faces of a dataset such as `lfw:DIR`, or of a file that `write` made."""
    return read(Path(source)) if source.endswith(".npz") else crop(source)


def crop(source: str) -> SmallFaces:
    """Returns the faces of a dataset. LFW's 3000 take four seconds."""
    # A machine that reads the file needs nothing but NumPy.
    import judged_edits

    from dfi_jax import load_dataset
    from dfi_jax.photo.image import to_bytes

    dataset = load_dataset(source)
    rows = np.arange(len(dataset))
    people = rows if dataset.people is None else dataset.people
    group = np.empty(len(rows), "<U7")
    for name, images in judged_edits.divide(dataset)._asdict().items():
        group[images] = name
    return SmallFaces(
        images=np.concatenate([to_bytes(some) for some in dataset.batches(rows, size=SIDE)]),
        names=np.array(dataset.names),
        people=np.asarray(people).astype(str),
        attributes=np.array(dataset.attributes),
        scores=dataset.scores,
        group=group,
    )


def write(path: Path, faces: SmallFaces) -> None:
    """Writes faces into a compressed file.

    Pixels are stored as differences from their left neighbours, modulo 256: 25 MB instead of 33 for
    3000 faces of LFW.
    """
    left = np.diff(faces.images, axis=2, prepend=np.uint8(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **faces._replace(images=left)._asdict())


def read(path: Path) -> SmallFaces:
    """Returns the faces of a file that `write` made."""
    with np.load(path) as file:
        stored = SmallFaces(**{name: file[name] for name in SmallFaces._fields})
    return stored._replace(images=np.cumsum(stored.images, axis=2, dtype=np.uint8))
