"""The photograph that is edited: where its face is, what is known of it, and the attribute vector near it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dfi_jax import cache, faces, image, probes
from dfi_jax.attribute import AttributeVector, Provenance
from dfi_jax.data import landmarks, lfw, select
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.select import Like, Selection
from dfi_jax.errors import InputError
from dfi_jax.features import mean_features
from dfi_jax.problem import check_network
from dfi_jax.recipe import Recipe
from dfi_jax.vgg import VGG, Features, check_layers, features

Place = image.Box | Float[np.ndarray, "2 3"]
"""Where a face is in a photograph: a box, or the matrix that takes the canonical crop there (`faces`)."""

SMALLEST = 32
"""Height and width of a face, at least; less shows no more than a blur."""


@dataclass(frozen=True, eq=False)
class Subject:
    """The photograph that is edited.

    Attributes:
      photograph: RGB in [0, 1].
      place: of the face in it.
      index: in the dataset, if it is one of its images.
    """

    photograph: Float[np.ndarray, "H W 3"]
    place: Place
    index: int | None = None


def find_subject(
    path: Path,
    *,
    dataset: Dataset | None = None,
    crop: image.Box | None = None,
    align: bool | None = None,
    number: int | None = None,
    points: Literal[5, 68] = 5,
) -> Subject:
    """Reads a photograph and finds the face in it.

    The face is where the crop says, or, in a photograph of the dataset or of LFW, where that has it. In any other it
    is looked for; where it isn't, the whole photograph is taken for the face.

    Args:
      path: of the photograph.
      dataset: which it may be one of.
      crop: the face in it.
      align: True to look for the face in any photograph; False not to, but to take the whole of one that is of no
        dataset for the face; by default it is looked for in that where the extra `faces` is installed.
      number: of the face, from 1, the largest, which it is by default.
      points: of the face that it is aligned by: 5 around the eyes and nose, or 68, which place the mouth as well.

    Raises:
      FileError: for a file that is no photograph, or where a face is to be found without the extra `faces`.
      InputError: where there is no face, or the crop doesn't lie in the photograph.
    """
    photograph = image.read(path)
    height, width = photograph.shape[:2]
    index = None if dataset is None else dataset.index(path)
    place: Place = (0, 0, width, height)
    check_face(photograph, place)
    known = None if dataset is None or index is None else dataset.place(index)
    if number is not None and (crop is not None or align is False):
        raise InputError("a number of a face is given and none is looked for; leave it out, or let faces be found.")
    if crop is not None:
        place = crop
    elif align or number is not None:
        place = _look(photograph, number, points)
    elif index is not None:
        place = place if known is None else known
    elif lfw.is_lfw_image(path) and (height, width) == (lfw.SIDE, lfw.SIDE):
        place = lfw.CROP
    elif align is None and faces.are_found():
        place = _look(photograph, number, points)
    check_face(photograph, place)
    return Subject(photograph, place, index)


def _look(photograph: Float[np.ndarray, "H W 3"], number: int | None, points: Literal[5, 68]) -> Place:
    return faces.choose(faces.detect(photograph, landmarks=points), number).place


def describe_subject(
    vgg: VGG,
    dataset: Dataset,
    subject: Subject,
    *,
    by: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Like:
    """What selection has to know of a photograph: its scores, estimated where the dataset hasn't them, and its face.

    Args:
      vgg: the network, for estimates.
      dataset: with scores.
      subject: the photograph.
      by: what nearness will be of; scores are estimated where that needs them, or by default, if the dataset has
        several attributes.
      on_progress: follows the fit of the probes, where they aren't in the cache.
    """
    face = cut(subject.photograph, subject.place, size=faces.CANONICAL_SIZE)
    points = None
    if by == "landmarks" and subject.index is not None and dataset.landmarks is not None:
        points = dataset.landmarks[subject.index]
    elif by == "landmarks":
        points = landmarks.nearest(subject.photograph, subject.place)
    several = len(dataset.attributes) > 1  # one score, such as which of two lists an image is in, says nothing of it
    if subject.index is not None:
        return Like(subject.index, dataset.scores[subject.index] if several else None, face, points)
    scores = None
    if several and by in (None, "scores", "binary", "landmarks"):
        scores = probes.estimate(vgg, probes.fit(vgg, dataset, on_progress=on_progress), face)
    return Like(None, scores, face, points)


def select_images(
    vgg: VGG,
    dataset: Dataset,
    attributes: Sequence[str],
    *,
    like: Like,
    k: int = 100,
    by: str | None = None,
    recipe: Recipe,
    on_progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """The images of a dataset that are nearest to one, with and without attributes (`data.select.select`).

    Args:
      vgg: the network, for `by` a layer.
      dataset: with attribute scores.
      attributes: what is wanted, with signs.
      like: the image that is edited.
      k: images in a set, at most.
      by: what nearness is of: `scores`, `binary`, `pixels`, `landmarks`, or the name of a layer, for its features;
        scores where they are known, or else pixels, by default.
      recipe: its image size.
      on_progress: follows the search for landmarks, for `by` these in a dataset that has none.

    Raises:
      InputError: as `data.select.select` does, and for a layer that the network hasn't.
    """
    nearness = _nearness(vgg, by)
    if by is None or nearness != "features":
        found = None
        if dataset.landmarks is None and faces.are_found():
            found = partial(landmarks.detect, dataset, on_progress=on_progress)
        return select.select(dataset, like=like, attributes=attributes, k=k, by=nearness, landmarks_of=found)

    def describe(faces: Float[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b d"]:
        return np.asarray(features(vgg, jnp.asarray(faces), layers=(by,))[by]).reshape(len(faces), -1)

    return select.select(
        dataset, like=like, attributes=attributes, k=k, by="features", describe=describe, size=recipe.size
    )


def check_selection(
    vgg: VGG, dataset: Dataset, attributes: Sequence[str], *, subject: Subject, k: int = 100, by: str | None = None
) -> None:
    """Raises InputError for what `select_images` will refuse in any photograph; it takes no time."""
    select.admitted(dataset, attributes, like=Like(subject.index), k=k, by=_nearness(vgg, by))


def _nearness(vgg: VGG, by: str | None) -> str | None:
    """What `data.select` calls it: `features` for a layer."""
    if by is not None and by.startswith("conv"):
        check_layers(vgg.architecture, (by,))
        return "features"
    names = [name for name in select.BY if name != "features"]
    if by is not None and by not in names:
        raise InputError(f"images can't be selected by {by!r}; choose from {', '.join(names)}, or name a layer, such "
                         f"as conv5_1, for its features.")  # fmt: skip
    return by


def vector_between(
    vgg: VGG,
    dataset: Dataset,
    attributes: Sequence[str],
    selection: Selection,
    *,
    k: int = 100,
    recipe: Recipe,
    on_progress: Callable[[int, int], None] | None = None,
) -> AttributeVector:
    """The attribute vector w = mean φ(target) − mean φ(source) of the images selected.

    Means are kept in the cache folder, by what they depend on.

    Args:
      vgg: the network.
      dataset: of the images.
      attributes: by which they were selected, for provenance.
      selection: of the dataset.
      k: as it was asked for, for provenance.
      recipe: its layers, size and feature normalisation.
      on_progress: called with the images done, and how many there are.

    Raises:
      FileError: where an image can't be read.
    """
    check_network(vgg, recipe)
    total = len(selection.source) + len(selection.target)
    done = 0

    def batches(rows: Int[np.ndarray, " r"]) -> Iterator[Float[np.ndarray, "b s s 3"]]:
        nonlocal done
        for batch in dataset.batches(rows, size=recipe.size):
            yield batch
            done += len(batch)
            if on_progress is not None:
                on_progress(done, total)

    def mean(rows: Int[np.ndarray, " r"]) -> Features:
        depends = {
            "images": dataset.fingerprint(rows),
            "network": vgg.identity(),
            "recipe": [recipe.layers, recipe.size, recipe.feature_norm, recipe.norm_scope],
        }
        found = cache.remember("means", depends, lambda: {
            name: np.asarray(layer)
            for name, layer in mean_features(
                vgg, batches(rows), layers=recipe.layers, norm=recipe.feature_norm, scope=recipe.norm_scope
            ).items()
        })  # fmt: skip
        return {name: jnp.asarray(found[name]) for name in recipe.layers}

    signed = [(sign, select.find_attribute(name, dataset.attributes))
              for sign, name in map(select.sign_and_name, attributes)]  # fmt: skip
    provenance = Provenance(
        dataset=dataset.name,
        attributes=tuple(f"{sign}{dataset.attributes[column]}" for sign, column in signed),
        k=k,
        n_source=len(selection.source),
        n_target=len(selection.target),
        network=vgg.name,
        weights_sha256=vgg.sha256,
        layers=recipe.layers,
        size=recipe.size,
        crop=dataset.crop,
        feature_norm=recipe.feature_norm,
        norm_scope=recipe.norm_scope,
        note=f"nearest by {selection.by}",
    )
    target, source = mean(selection.target), mean(selection.source)
    return AttributeVector(jax.tree.map(jnp.subtract, target, source), provenance)


def cut(photograph: Float[np.ndarray, "H W 3"], place: Place, *, size: int | None = None) -> Float[np.ndarray, "_ _ 3"]:
    """The face at a place in a photograph, size × size; at about the photograph's own resolution by default."""
    if not isinstance(place, tuple):
        return faces.crop(photograph, place, size=size or max(1, round(faces.CANONICAL_SIZE * _scale(place))))
    face = image.crop(photograph, place)
    return face if size is None else image.resize(face, (size, size))


def _scale(place: Float[np.ndarray, "2 3"]) -> float:
    """The photograph's pixels to one of the canonical crop's."""
    return float(np.linalg.norm(place[:, 0]))


def check_face(photograph: Float[np.ndarray, "H W 3"], place: Place) -> None:
    """Raises InputError for a box outside of the photograph, or a face under 32 × 32 pixels."""
    height, width = cut(photograph, place).shape[:2]
    if min(height, width) < SMALLEST:
        raise InputError(f"the face is {width} × {height} pixels; it should be {SMALLEST} × {SMALLEST} at least.")
