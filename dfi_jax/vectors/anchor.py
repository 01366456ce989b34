"""The anchor of a selection: what is known about the photo that selected images should be near."""

import numpy as np
from jaxtyping import Float

from dfi_jax.data import landmarks
from dfi_jax.data.anchor import Anchor
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.rule import Rule
from dfi_jax.network.vgg import VGG
from dfi_jax.photo.placement import Placement
from dfi_jax.progress import OnProgress
from dfi_jax.storage.cache import Cache
from dfi_jax.vectors import probes


def find_anchor(
    vgg: VGG,
    dataset: Dataset,
    pixels: Float[np.ndarray, "H W 3"],
    placement: Placement,
    *,
    index: int | None = None,
    rule: Rule | None = None,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Anchor:
    """Returns the face, scores and landmarks of a photo, as far as a rule needs them.

    If the photo isn't in the dataset, probes estimate its scores. If the dataset has only one
    attribute, the scores are None: a single attribute, such as the side of a pair that an image is
    on, says nothing about the photo.

    Args:
      vgg: The network of the probes.
      dataset: The dataset that images are selected from.
      pixels: The photo, RGB in [0, 1].
      placement: The face in the photo.
      index: The photo's position in the dataset, or None if the dataset doesn't contain it.
      rule: The rule by which images will be selected. None stands for the default.
      cache: Cache in which the probes are stored, or None.
      on_progress: Function that is called while the probes are fitted.

    Raises:
      InputError: If scores are needed and no probes can be fitted.
      FileError: If an image can't be read, or dlib is needed and isn't installed.

    >>> import dfi_jax
    >>> vgg, people = dfi_jax.load_vgg("random-vgg16"), dfi_jax.load_dataset("synthetic:5")
    >>> anchor = find_anchor(vgg, people, people.read(2), people.placement(2), index=2)
    >>> bool((anchor.scores == people.scores[2]).all())
    True
    """
    needs = (Rule() if rule is None else rule).needs
    face = placement.crop(pixels)
    points = None
    if "landmarks" in needs:
        known = None if index is None or dataset.landmarks is None else dataset.landmarks[index]
        points = landmarks.nearest(pixels, placement) if known is None else known
    elif "landmarks68" in needs:
        points = landmarks.nearest(pixels, placement, points=68)
    scores = None
    if "scores" in needs and len(dataset.attributes) > 1:
        if index is not None:
            scores = dataset.scores[index]
        else:
            fitted = probes.fit(vgg, dataset, cache=cache, on_progress=on_progress)
            scores = probes.estimate(vgg, fitted, face)
    return Anchor(index=index, scores=scores, face=face, landmarks=points)
