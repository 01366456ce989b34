"""The kinds of nearness, which `near` offers to users.

A nearness decides which images of a dataset are admitted, and computes how far they are from the
anchor, the photo that is edited.
"""

import abc
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from dfi_jax.data.admission import Admission, confident, thresholded
from dfi_jax.data.anchor import Anchor
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.distances import (
    Distance,
    FindLandmarks,
    binary_distance,
    face_distance,
    flatten,
    landmark_distance,
    score_distance,
)
from dfi_jax.data.wanted import Wanted, find_attribute
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG, check_layers
from dfi_jax.network.vgg import features as compute_features

Need = Literal["scores", "face", "landmarks", "network"]
"""Something that a nearness needs: a field of the `Anchor`, or a network."""


class Step(NamedTuple):
    """One step of a selection, which keeps the nearest images.

    Attributes:
      distance: Function that computes the distance of each image to the anchor.
      keep: Number of images that are kept.
    """

    distance: Distance
    keep: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Resources:
    """What distances are computed with, besides the dataset and the anchor.

    Attributes:
      vgg: Network, if features are compared.
      size: Height and width at which features are computed.
      find_landmarks: Function that returns the points of the faces of some rows, for a dataset
        without landmarks.
    """

    vgg: VGG | None = None
    size: int = 200
    find_landmarks: FindLandmarks | None = None


@dataclass(frozen=True)
class Nearness(abc.ABC):
    """What makes an image near to the anchor.

    `str(nearness)` is text that `near.parse` reads back.
    """

    @property
    @abc.abstractmethod
    def needs(self) -> frozenset[Need]:
        """Everything that the distances may depend on."""

    @abc.abstractmethod
    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        """Returns the steps of a selection of k images.

        Raises:
          InputError: If something that the distances depend on is unknown.
        """

    def admit(self, scores: Float[np.ndarray, "n a"]) -> Admission:
        """Returns whether each attribute of each image is on, off, or neither."""
        return thresholded(scores)

    def eligible(self, dataset: Dataset, anchor: Anchor, wanted: Wanted) -> Bool[np.ndarray, " n"]:
        """Returns which images may be selected, whether they have what is wanted or not."""
        return np.ones(len(dataset), bool)

    def check(self, vgg: VGG) -> None:
        """Checks that a network can be used to compute the distances.

        Raises:
          InputError: If the network lacks the layer whose features are compared.
        """
        return


@dataclass(frozen=True)
class Scores(Nearness):
    """Images are near if ‖s − s'‖ over the attribute scores is small.

    The wanted attributes don't count, because the images that have an attribute and are nearest to
    a photo without it would be those that hardly have it. If the dataset has no others, they count.

    Attributes:
      count_wanted: Whether the wanted attributes count, too, as in chainer-dfi.
    """

    count_wanted: bool = False

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"scores"})

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        scores, known = dataset.scores, _known_scores(anchor, self)
        differing = {term.name for term in wanted.terms if not term.shared}
        columns = [i for i, name in enumerate(dataset.attributes) if name not in differing]
        if columns and not self.count_wanted:
            scores, known = scores[:, columns], known[columns]
        return [Step(score_distance(scores, known), k)]

    def __str__(self) -> str:
        return "scores:all" if self.count_wanted else "scores"


@dataclass(frozen=True)
class Binary(Nearness):
    """Images are near if they have the same attributes, confidently, and the same gender.

    The distance is the number of attributes that only one of the two images has. Only the most
    confident two thirds of the images with and without an attribute are admitted. They must also
    be of the anchor's gender, if it is known and isn't itself wanted.

    This is modelled on the DFI paper's code, which differs in several ways. It admits the gender
    that mostly has the attribute, whoever is edited. Its source set consists of images that don't
    have the attribute confidently but do have a named opposite, such as Frowning for Smiling. And
    it excludes the edited photo, but no other photo of the same person.
    """

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"scores"})

    def admit(self, scores: Float[np.ndarray, "n a"]) -> Admission:
        return confident(scores)

    def eligible(self, dataset: Dataset, anchor: Anchor, wanted: Wanted) -> Bool[np.ndarray, " n"]:
        if anchor.scores is None or wanted.mentions("Male"):
            return super().eligible(dataset, anchor, wanted)
        try:
            column = find_attribute("Male", dataset.attributes)
        except InputError:
            return super().eligible(dataset, anchor, wanted)
        return np.asarray((dataset.scores[:, column] > 0) == (anchor.scores[column] > 0))

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        return [Step(binary_distance(dataset.scores, _known_scores(anchor, self)), k)]

    def __str__(self) -> str:
        return "binary"


@dataclass(frozen=True)
class Pixels(Nearness):
    """Images are near if ‖x − x'‖ over the pixels of the faces is small.

    Attributes:
      size: Height and width at which faces are compared.
    """

    size: int = 50

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"faces can't be compared at {self.size} pixels; give 1 or more.")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"face"})

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        face = _known_face(anchor, self)
        return [Step(face_distance(dataset, face, flatten, size=self.size), k)]

    def __str__(self) -> str:
        return "pixels" if self == Pixels() else f"pixels:{self.size}"


@dataclass(frozen=True)
class Features(Nearness):
    """Images are near if ‖φ(x) − φ(x')‖ at a layer of the network is small.

    Attributes:
      layer: Name of the layer.
    """

    layer: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"conv[1-5]_[1-4]", self.layer):
            raise InputError(
                f"{self.layer!r} isn't the name of a layer; give a name such as conv5_1."
            )

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"face", "network"})

    def check(self, vgg: VGG) -> None:
        check_layers(vgg.architecture, (self.layer,))

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        face, vgg = _known_face(anchor, self), resources.vgg
        if vgg is None:
            raise InputError(
                f"images can't be selected by {self} without a network; give it as vgg."
            )
        self.check(vgg)

        def embed(faces: Float[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b d"]:
            phi = compute_features(vgg, jnp.asarray(faces), layers=(self.layer,))
            return np.asarray(phi[self.layer]).reshape(len(faces), -1)

        return [Step(face_distance(dataset, face, embed, size=resources.size), k)]

    def __str__(self) -> str:
        return self.layer


@dataclass(frozen=True)
class Landmarks(Nearness):
    """Images are near if a similarity transform takes their facial points close to the anchor's.

    Only the images that are nearest by another nearness are compared, as in the demonstration at
    high resolution in the DFI paper's code.

    Attributes:
      first: Nearness by which the candidates are selected. None stands for the default: scores if
        the anchor's are known, otherwise pixels.
      candidates: Number of candidates for each image that is selected.
    """

    first: Nearness | None = None
    candidates: int = 4

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise InputError(
                f"landmarks can't choose from {self.candidates} candidates per image; "
                f"give 1 or more."
            )

    @property
    def needs(self) -> frozenset[Need]:
        needs: frozenset[Need] = frozenset({"landmarks"})
        if self.first is None:
            return needs | Scores().needs | Pixels().needs
        return needs | self.first.needs

    def admit(self, scores: Float[np.ndarray, "n a"]) -> Admission:
        return super().admit(scores) if self.first is None else self.first.admit(scores)

    def eligible(self, dataset: Dataset, anchor: Anchor, wanted: Wanted) -> Bool[np.ndarray, " n"]:
        if self.first is None:
            return super().eligible(dataset, anchor, wanted)
        return self.first.eligible(dataset, anchor, wanted)

    def check(self, vgg: VGG) -> None:
        if self.first is not None:
            self.first.check(vgg)

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        find_landmarks = resources.find_landmarks
        if find_landmarks is None and dataset.landmarks is not None:
            find_landmarks = dataset.landmarks.__getitem__
        if anchor.landmarks is None or find_landmarks is None:
            owner = "the photo" if anchor.landmarks is None else f"the dataset {dataset.name}"
            raise InputError(
                f"images can't be selected by landmarks because the landmarks of {owner} are "
                f"unknown; select by another nearness."
            )
        first = default_nearness(anchor) if self.first is None else self.first
        steps = first.steps(dataset, anchor, wanted, k=self.candidates * k, resources=resources)
        return [*steps, Step(landmark_distance(find_landmarks, anchor.landmarks), k)]

    def __str__(self) -> str:
        parts = ["landmarks"]
        if self.candidates != Landmarks.candidates:
            parts.append(str(self.candidates))
        if self.first is not None:
            parts.append(str(self.first))
        return ":".join(parts)


def default_nearness(anchor: Anchor) -> Nearness:
    """Returns the default nearness: scores if the anchor's are known, otherwise pixels.

    >>> str(default_nearness(Anchor()))
    'pixels'
    """
    return Pixels() if anchor.scores is None else Scores()


def _known_scores(anchor: Anchor, nearness: Nearness) -> Float[np.ndarray, " a"]:
    if anchor.scores is None:
        raise InputError(
            f"images can't be selected by {nearness} because the scores of the photo are unknown; "
            f"select by pixels or by a layer's features."
        )
    return anchor.scores


def _known_face(anchor: Anchor, nearness: Nearness) -> Float[np.ndarray, "h w 3"]:
    if anchor.face is None:
        raise InputError(
            f"images can't be selected by {nearness} because the photo's face is unknown; give it."
        )
    return anchor.face
