"""Whether two faces are the same person's, by dlib's embedding (the extra `faces`)."""

import functools
from typing import Any

import numpy as np
from jaxtyping import Float

from dfi_jax.photo import faces
from dfi_jax.photo.image import to_bytes

SAME_PERSON = 0.6
"""Distance below which dlib takes two faces for the same person's."""

CHIP, MARGIN = 150, 0.25
"""Side of the aligned face that the embedding is computed from, in pixels, and the margin around
the face, as dlib's authors trained it."""


def identity_distance(
    face: Float[np.ndarray, "h w 3"], edited: Float[np.ndarray, "h w 3"]
) -> float:
    """Returns the Euclidean distance between the embeddings of a face and of its edit.

    Both are aligned by where the canonical crop has its five points, so that an open mouth or a
    pair of eyeglasses doesn't move the alignment. Below `SAME_PERSON`, dlib takes them for the same
    person.

    Args:
      face: The face in the canonical crop, RGB in [0, 1].
      edited: The edited face, of the same size.

    Raises:
      FileError: If dlib or its models aren't installed.

    References:
      King, "High Quality Face Recognition with Deep Metric Learning", 2017,
      http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html.

    >>> from dfi_jax import load_dataset
    >>> face = load_dataset("synthetic:1").face(0, 200)
    >>> identity_distance(face, face) if faces.installed() else 0.0
    0.0
    """
    first, second = (_embed(image) for image in (face, edited))
    return float(np.linalg.norm(first - second))


def _embed(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, " 128"]:
    dlib = faces.import_dlib()
    scale = image.shape[1] / 200
    points = [dlib.point(round(x * scale), round(y * scale)) for x, y in faces.CANONICAL_CORNERS]
    box = dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1)
    shape = dlib.full_object_detection(box, points)
    chip = dlib.get_face_chip(to_bytes(image), shape, size=CHIP, padding=MARGIN)
    return np.array(_load_embedding().compute_face_descriptor(chip))


@functools.cache
def _load_embedding() -> Any:
    path = faces.locate_model("dlib_face_recognition_resnet_model_v1.dat")
    return faces.import_dlib().face_recognition_model_v1(str(path))
