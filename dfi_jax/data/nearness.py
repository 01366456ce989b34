"""The kinds of nearness, which `near` offers to users.

A nearness computes how far the images of a dataset are from the anchor, the photo that is edited.
"""

import abc
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfi_jax.data.admission import CONFIDENT_SHARE
from dfi_jax.data.anchor import Anchor
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.distances import (
    Distance,
    FindLandmarks,
    binary_distance,
    face_distance,
    flag_distance,
    flatten,
    landmark_distance,
    score_distance,
    two_scale_distance,
)
from dfi_jax.data.wanted import Wanted
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG, check_layers
from dfi_jax.network.vgg import features as compute_features

Need = Literal["scores", "face", "landmarks", "landmarks68", "network"]
"""Something that a nearness needs: a field of the `Anchor` (its landmarks are 5 or 68 points), or a
network."""

LARGEST_SIZE = 2000
"""Largest height and width at which the pixels of faces are compared. No dataset's are larger."""

FACE_ATTRIBUTES = """
    5 o' Clock Shadow, Arched Eyebrows, Asian, Baby, Bags Under Eyes, Bald, Bangs, Big Lips,
    Big Nose, Black, Black Hair, Blond Hair, Brown Eyes, Brown Hair, Bushy Eyebrows, Child,
    Eyeglasses, Eyes Open, Frowning, Fully Visible Forehead, Goatee, Gray Hair, Heavy Makeup,
    Indian, Male, Middle Aged, Mouth Closed, Mouth Slightly Open, Mouth Wide Open, Mustache,
    Narrow Eyes, No Beard, No Eyewear, Obstructed Forehead, Pale Skin, Partially Visible Forehead,
    Pointy Nose, Receding Hairline, Senior, Shiny Skin, Sideburns, Smiling, Straight Hair,
    Strong Nose-Mouth Lines, Sunglasses, Teeth Not Visible, Wavy Hair, Wearing Lipstick, White,
    Young
"""
"""The 50 attributes of LFW and CelebA that the DFI paper's demonstration at high resolution
compares, because they are about the face."""


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
        known = _known_scores(anchor, self)
        differing = {term.name for term in wanted.terms if not term.shared}
        columns = [i for i, name in enumerate(dataset.attributes) if name not in differing]
        counted = None if self.count_wanted or not columns else columns
        return [Step(score_distance(dataset.scores, known, columns=counted), k)]

    def __str__(self) -> str:
        return "scores:all" if self.count_wanted else "scores"


@dataclass(frozen=True)
class Binary(Nearness):
    """Images are near if they have the same attributes confidently.

    The distance is the number of attributes that only one of the two images has (Hamming), wanted
    attributes included.

    Attributes:
      share: Share of an attribute's positive scores that count as confident, the highest. With 1,
        the sign of a score decides, as in dfi-tensorflow's discrete search.
    """

    share: float = CONFIDENT_SHARE

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(
                f"the confident share of the scores is {self.share}; give a number above 0, and at "
                f"most 1."
            )

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"scores"})

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        known = _known_scores(anchor, self)
        return [Step(binary_distance(dataset.scores, known, share=self.share), k)]

    def __str__(self) -> str:
        return "binary" if self == Binary() else f"binary:{self.share}"


@dataclass(frozen=True)
class Flags(Nearness):
    """Images are near if Σ|s − b'| is small, with the anchor's scores s and an image's flags b'.

    A flag is 1 if the image's score is 0 or more, otherwise 0. Only `FACE_ATTRIBUTES` count, wanted
    attributes included, as in the demonstration at high resolution in the DFI paper's code. If a
    dataset has none of them, all its attributes count.
    """

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"scores"})

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        scores, known = dataset.scores, _known_scores(anchor, self)
        compared = {_letters(name) for name in FACE_ATTRIBUTES.split(",")}
        names = dataset.attributes
        if columns := [i for i, name in enumerate(names) if _letters(name) in compared]:
            scores, known = scores[:, columns], known[columns]
        return [Step(flag_distance(scores, known), k)]

    def __str__(self) -> str:
        return "flags"


@dataclass(frozen=True)
class Pixels(Nearness):
    """Images are near if ‖x − x'‖ over the pixels of the faces is small.

    Attributes:
      size: Height and width at which faces are compared.
    """

    size: int = 50

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST_SIZE:
            raise InputError(
                f"faces can't be compared at {self.size} pixels; give 1 to {LARGEST_SIZE}."
            )

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
    """Images are near if a transform takes their facial points close to the anchor's.

    Only the images that are nearest by another nearness are compared, as in the demonstration at
    high resolution in the DFI paper's code. With 5 points, the transform is a similarity, and the
    distance is relative. With 68, it has two scales, and the distance is in the photo's pixels, as
    in that code.

    Attributes:
      first: Nearness by which the candidates are selected. None stands for the default: scores if
        the anchor's are known, otherwise pixels.
      candidates: Number of candidates for each image that is selected.
      points: Number of facial points. 68 are always detected, which needs the extra `faces`.
    """

    first: Nearness | None = None
    candidates: int = 4
    points: Literal[5, 68] = 5

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise InputError(
                f"landmarks can't choose from {self.candidates} candidates per image; "
                f"give 1 or more."
            )

    @property
    def needs(self) -> frozenset[Need]:
        needs: frozenset[Need] = frozenset({"landmarks" if self.points == 5 else "landmarks68"})
        if self.first is None:
            return needs | Scores().needs | Pixels().needs
        return needs | self.first.needs

    def check(self, vgg: VGG) -> None:
        if self.first is not None:
            self.first.check(vgg)

    def steps(
        self, dataset: Dataset, anchor: Anchor, wanted: Wanted, *, k: int, resources: Resources
    ) -> list[Step]:
        find_landmarks = resources.find_landmarks
        if find_landmarks is None and dataset.landmarks is not None and self.points == 5:
            find_landmarks = dataset.landmarks.__getitem__
        if anchor.landmarks is None or find_landmarks is None:
            owner = "the photo" if anchor.landmarks is None else f"the dataset {dataset.name}"
            raise InputError(
                f"images can't be selected by landmarks because the landmarks of {owner} are "
                f"unknown; select by another nearness."
            )
        first = default_nearness(anchor) if self.first is None else self.first
        steps = first.steps(dataset, anchor, wanted, k=self.candidates * k, resources=resources)
        distance = landmark_distance if self.points == 5 else two_scale_distance
        return [*steps, Step(distance(find_landmarks, anchor.landmarks), k)]

    def __str__(self) -> str:
        parts = ["landmarks" if self.points == 5 else "landmarks68"]
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


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


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
