"""From an attribute to its vector: a starter, a file, or the images of a dataset near a photo."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from dfi_jax.data import landmarks, selection
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.rule import Rule
from dfi_jax.data.selection import Anchor, Selection
from dfi_jax.data.wanted import Wanted
from dfi_jax.editor.job import (
    AttributeLike,
    has_strengths,
    is_number,
    is_vector_file,
    parse_strengths,
)
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG
from dfi_jax.photo import faces
from dfi_jax.photo.choice import FaceLike, locate
from dfi_jax.photo.photo import Photo, PhotoLike
from dfi_jax.photo.placement import Placement
from dfi_jax.photo.warp import Warp
from dfi_jax.progress import OnProgress
from dfi_jax.recipe import Recipe
from dfi_jax.storage.cache import Arrays, Cache, remember
from dfi_jax.vectors import estimate
from dfi_jax.vectors.anchor import find_anchor
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.combination import combine
from dfi_jax.vectors.fitted import FittedDataset
from dfi_jax.vectors.starters import starter


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedPhoto:
    """A photo, and the face in it.

    Attributes:
      photo: The photo.
      placement: The face in the photo.
      index: The photo's position in the dataset, or None if the dataset doesn't contain it.
    """

    photo: Photo
    placement: Placement
    index: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """The source of an attribute vector.

    Attributes:
      dataset: The dataset, fitted or not, or None if the attribute is an existing vector.
      located: The photo that the images should be near, or None for images spread evenly.
      rule: Rule by which images are selected.
      cache: Cache in which means, probes and landmarks are stored, or None.
      on_progress: Function that is called with the progress of every phase.
    """

    dataset: Dataset | FittedDataset | None
    located: LocatedPhoto | None = None
    rule: Rule = field(default_factory=Rule)
    cache: Cache | None = None
    on_progress: OnProgress | None = None


def locate_photo(
    photo: PhotoLike,
    *,
    dataset: Dataset | FittedDataset | None,
    face: FaceLike,
    points: Literal[5, 68],
) -> LocatedPhoto:
    """Opens a photo and finds the face in it.

    Args:
      photo: The photo.
      dataset: A dataset that the photo may be in. If it is, `auto` uses the dataset's annotation.
      face: The face that is wanted, as for `Job`.
      points: Number of landmarks that a detected face is aligned by.

    Raises:
      InputError: If the photo has no such face.
      FileError: If the photo can't be read, or dlib is needed and isn't installed.

    >>> import numpy as np
    >>> photo = np.zeros((40, 60, 3), np.float32)
    >>> locate_photo(photo, dataset=None, face="whole", points=5).placement.box
    (0, 0, 60, 40)
    """
    opened = Photo.of(photo)
    index, annotated = None, None
    if isinstance(dataset, Dataset) and opened.path is not None:
        index = dataset.index(opened.path)
    if isinstance(dataset, Dataset) and index is not None:
        annotated = dataset.placement(index, pixels=opened.pixels)
    placement = locate(opened, face, points=points, annotated=annotated)
    return LocatedPhoto(photo=opened, placement=placement, index=index)


def find_warp(located: LocatedPhoto, *, cache: Cache | None) -> Warp:
    """Returns the warp of a photo's face to the average face.

    Args:
      located: The photo, and the face in it.
      cache: Cache in which landmarks are stored, or None.

    Raises:
      InputError: If no face is detected at the placement, or it can't be warped without folding.
      FileError: If the extra `faces` isn't installed.

    >>> import dfi_jax
    >>> people = dfi_jax.load_dataset("synthetic:1")
    >>> photo, whole = Photo.of(people.face(0, 200)), Placement.whole((200, 200))
    >>> located = LocatedPhoto(photo=photo, placement=whole, index=None)
    >>> if faces.installed():
    ...     assert abs(find_warp(located, cache=None).to_face[25, 25] - 99.5).max() < 20
    """
    photo, placement = located.photo, located.placement

    def compute() -> Arrays:
        found = faces.canonical_points(photo.pixels, placement)
        return {"points": np.zeros((0, 2)) if found is None else found}

    depends = {"photo": photo.sha256, "placement": placement.to_json(), "points": "canonical"}
    points = remember(cache, "landmarks", depends, compute)["points"]
    if not len(points):
        raise InputError(
            f"no face was detected where {photo.name} is edited, so its landmarks are unknown; "
            f"edit it without a warp."
        )
    return Warp.between(points, faces.CANONICAL_LANDMARKS)


class Found(NamedTuple):
    """An attribute vector, and what it was made from.

    Attributes:
      vector: The vector.
      selections: Selections of images that it was computed from.
      parts: Vectors whose sum it is, with the strength of each, or nothing if it isn't a sum.
    """

    vector: AttributeVector
    selections: list[Selection]
    parts: tuple[tuple[AttributeVector, float], ...] = ()


def find_vector(
    vgg: VGG, attribute: AttributeLike | None, query: Query, *, recipe: Recipe
) -> Found:
    """Returns the vector of an attribute, and what it was made from.

    Args:
      vgg: The network.
      attribute: The attribute. None stands for the attribute of a dataset that has only one.
      query: The dataset, and the photo that its images should be near.
      recipe: The recipe, which decides what features the vector has.

    Raises:
      InputError: If the attribute doesn't exist, or too few images have or lack it.
      FileError: If a file can't be read.

    >>> import dfi_jax
    >>> vgg, query = dfi_jax.load_vgg("random-vgg16"), Query(dataset=None)
    >>> found = find_vector(vgg, "older", query, recipe=Recipe())
    >>> found.vector.provenance.attributes, found.selections
    (('~Young',), [])
    >>> both = find_vector(vgg, "older,smiling=0.5", query, recipe=Recipe())
    >>> [strength for _, strength in both.parts]
    [1.0, 0.5]
    """
    match attribute:
        case AttributeVector():
            return Found(attribute, [])
        case Path():
            return Found(AttributeVector.load(attribute), [])
        case str() if is_vector_file(attribute):
            return Found(AttributeVector.load(attribute), [])
        case Selection():
            return Found(_estimate(vgg, attribute, query, recipe=recipe), [attribute])
        case str() if query.dataset is None or has_strengths(attribute):
            attribute = parse_strengths(attribute)
    if isinstance(attribute, Mapping):
        for name, strength in attribute.items():
            if not is_number(strength):
                raise InputError(
                    f"the attribute has the strength {strength!r} of {name!r}; give a number for "
                    f"each name, as in {{'eyeglasses': 1, 'older': 0.5}}."
                )
        # `combine` would describe a single vector as a sum.
        if query.dataset is None and list(attribute.values()) == [1.0]:
            return Found(starter(next(iter(attribute))), [])
        found = [
            find_vector(vgg, name, query, recipe=recipe)
            if query.dataset is not None
            else Found(starter(name), [])
            for name in attribute
        ]
        pairs = zip(found, attribute.values(), strict=True)
        parts = tuple((each.vector, float(strength)) for each, strength in pairs)
        return Found(combine(parts), [used for each in found for used in each.selections], parts)
    if not isinstance(attribute, str | Wanted | None):
        raise InputError(
            f"the attribute is {attribute!r}; give a name, several names separated by commas, a "
            f"mapping from names to strengths, or a vector or its file."
        )
    if query.dataset is None:
        raise InputError(f"the attribute is {attribute!r} and no dataset is given; give a dataset.")
    if isinstance(query.dataset, FittedDataset):
        return Found(query.dataset.vector(attribute, shrinkage=recipe.shrinkage), [])
    chosen = find_selection(vgg, attribute, query, size=recipe.features.size)
    return Found(_estimate(vgg, chosen, query, recipe=recipe), [chosen])


def _estimate(vgg: VGG, chosen: Selection, query: Query, *, recipe: Recipe) -> AttributeVector:
    return estimate.attribute_vector(
        vgg, chosen, recipe=recipe, cache=query.cache, on_progress=query.on_progress
    )


def check_images(dataset: Dataset | FittedDataset | None) -> Dataset:
    """Returns a dataset if it has images.

    Raises:
      InputError: If it has none.

    >>> check_images(None)
    Traceback (most recent call last):
    dfi_jax.errors.InputError: there is no dataset; give one with images, from load_dataset.
    """
    if not isinstance(dataset, Dataset):
        given = "there is no dataset" if dataset is None else "a fitted dataset has no images"
        raise InputError(f"{given}; give one with images, from load_dataset.")
    return dataset


def find_selection(vgg: VGG, wanted: Wanted | str | None, query: Query, *, size: int) -> Selection:
    """Returns the images of a dataset with and without attributes, near a photo if there is one.

    Args:
      vgg: The network, which may be needed for the nearness or to estimate the photo's scores.
      wanted: The attributes.
      query: The dataset and the photo.
      size: Height and width of faces, for a nearness of features.

    Raises:
      InputError: If the attribute doesn't exist, too few images have or lack it, or the images
        can't be compared with the photo.
      FileError: If a file can't be read.

    >>> import dfi_jax
    >>> vgg, people = dfi_jax.load_vgg("random-vgg16"), dfi_jax.load_dataset("synthetic:80")
    >>> query = Query(dataset=people, rule=Rule(k=10))
    >>> len(find_selection(vgg, "Smiling", query, size=200).target)
    10
    """
    dataset, located = check_images(query.dataset), query.located
    if located is None:
        return selection.spread(dataset, wanted, rule=query.rule)
    # Probes and landmarks take long, so what would fail after them fails here.
    selection.check_selection(
        dataset,
        wanted,
        anchor=Anchor(index=located.index),
        rule=query.rule,
        vgg=vgg,
    )
    anchor = find_anchor(
        vgg,
        dataset,
        located.photo.pixels,
        located.placement,
        index=located.index,
        rule=query.rule,
        cache=query.cache,
        on_progress=query.on_progress,
    )
    find_landmarks = None
    points: Literal[5, 68] = 68 if "landmarks68" in query.rule.needs else 5
    if (dataset.landmarks is None or points == 68) and faces.installed():
        find_landmarks = partial(
            landmarks.detect,
            dataset,
            points=points,
            cache=query.cache,
            on_progress=query.on_progress,
        )
    return selection.select(
        dataset,
        wanted,
        anchor=anchor,
        rule=query.rule,
        vgg=vgg,
        size=size,
        find_landmarks=find_landmarks,
    )
