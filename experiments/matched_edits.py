"""Edits of many photos at strengths that a judge finds equally effective.

The experiments on a recipe's choices share this module. Most choices change what a strength means,
so they are compared where the photos gain equally much of the attribute on average. Each photo's
vector is the difference between its neighbours with and without the attribute, as in the published
systems. The neighbours, the photos, and the people whom the judge knows are different people.

Whatever a recipe's stage `vector` does, it multiplies each layer of a vector by a factor. A move is
such a factor for each photo and layer, strength included: features move by move·w.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import judged_edits
import numpy as np
from jaxtyping import Array, Float

from dfi_jax import VGG, Anchor, Dataset, Problem, Recipe, Reconstruction, features, reconstruct
from dfi_jax.data.selection import Selection, select
from dfi_jax.metrics.change import measure_change
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.network.weights.normalization import normalize
from dfi_jax.recipe.features import Features, FeatureStage, square_norms
from dfi_jax.recipe.vector import VectorStage

FIRST = 0.3
"""Length of the first move that is tried, relative to the length of the photo's features."""

OVERSHOOT = 1.3
"""Gain that a further move aims at, relative to the gain that is looked for. Gains grow more slowly
than strengths, and a gain between two tried moves can be interpolated."""

FARTHEST = 4.0
"""Largest ratio of a further move to the move before."""

BEYOND = 1.5
"""Largest ratio of a move to the longest tried one at which a gain is still extrapolated."""

BATCH = 32
"""Number of images whose features are added up at a time."""

Moves = Float[np.ndarray, "p l"]
"""A factor of w for each photo and each layer."""


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Prints how long a part of an experiment took."""
    start = time.perf_counter()
    yield
    print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class Subjects:
    """Photos of different people who lack an attribute.

    Attributes:
      dataset: Dataset of the photos.
      rows: Numbers of the photos in the dataset.
      attribute: The attribute.
      library: Images of other people, from which neighbours are selected.
      judge: Judge, who knows neither the people in the photos nor those in the library.
    """

    dataset: Dataset
    rows: list[int]
    attribute: str
    library: Dataset
    judge: Judge

    @classmethod
    def of(cls, dataset: Dataset, attribute: str, *, photos: int) -> "Subjects":
        """Returns photos from a dataset, drawn at random."""
        groups = judged_edits.divide(dataset)
        rows = judged_edits.people_without(dataset, groups.photos, attribute)
        return cls(
            dataset=dataset,
            rows=list(islice(rows, photos)),
            attribute=attribute,
            library=take(dataset, groups.vectors),
            judge=fit_judge(dataset, groups.judge),
        )

    def faces(self, size: int) -> Float[np.ndarray, "p s s 3"]:
        """Returns the faces in the photos."""
        return np.stack([self.dataset.face(row, size) for row in self.rows])

    def neighbors(self, k: int) -> list[Selection]:
        """Returns the neighbours of each photo, by its scores."""
        anchors = [Anchor(scores=self.dataset.scores[row]) for row in self.rows]
        return [select(self.library, self.attribute, anchor=anchor, k=k) for anchor in anchors]

    def measure(
        self, faces: Float[np.ndarray, "p s s 3"], edited: Float[np.ndarray, "p s s 3"]
    ) -> list[dict[str, float]]:
        """Returns the measures of `judged_edits.measure` for each edit, without dlib's."""
        with ThreadPoolExecutor() as pool:
            changes = list(pool.map(measure_change, faces, edited))
        moved = zip(self._movements(faces, edited), changes, strict=True)
        return [movement | change._asdict() for movement, change in moved]

    def gains(
        self, faces: Float[np.ndarray, "p s s 3"], edited: Float[np.ndarray, "p s s 3"]
    ) -> Float[np.ndarray, " p"]:
        """Returns the gain of each edit."""
        return np.array([movement["gain"] for movement in self._movements(faces, edited)])

    def _movements(
        self, faces: Float[np.ndarray, "p s s 3"], edited: Float[np.ndarray, "p s s 3"]
    ) -> list[dict[str, float]]:
        positions = map(self.judge.positions, (faces, edited))
        return [
            judged_edits.measure_movement(self.judge, before, after, self.attribute)
            for before, after in zip(*positions, strict=True)
        ]


class Photos(NamedTuple):
    """Photos as a network sees them. Every array has the photos as its first axis. A pytree.

    Attributes:
      faces: Faces, RGB in [0, 1].
      phi: φ(x), normalised as the recipe says.
      vectors: w of each photo.
    """

    faces: Float[Array, "p s s 3"]
    phi: Features
    vectors: Features

    @property
    def lengths(self) -> Float[np.ndarray, "p l"]:
        """‖w‖ of each layer."""
        return norms(self.vectors)

    def factors(self, stage: VectorStage) -> Moves:
        """Returns what a stage multiplies each layer of w by."""
        scaled = _scale(self.vectors, self.phi, stage=stage)
        lengths = self.lengths
        return norms(scaled) / np.where(lengths > 0, lengths, 1)

    def relative(self, moves: Moves) -> Float[np.ndarray, " p"]:
        """Returns ‖move·w‖/‖φ(x)‖ of each photo, over all layers."""
        lengths = np.linalg.norm(moves * self.lengths, axis=1)
        return np.asarray(lengths / np.linalg.norm(norms(self.phi), axis=1))

    def problem(self, moves: Moves) -> Problem:
        """Returns the problems of moving each photo's features by move·w."""
        factors = jnp.asarray(moves, jnp.float32)[..., None, None, None]
        target = {
            name: layer + factors[:, i] * self.vectors[name]
            for i, (name, layer) in enumerate(self.phi.items())
        }
        return Problem(self.faces, target, square_norms(self.phi, scope="layer"))

    def first(self, count: int) -> "Photos":
        """Returns the first photos."""
        return Photos(*jax.tree.map(lambda leaf: leaf[:count], tuple(self)))


def see(
    vgg: VGG,
    faces: Float[np.ndarray, "p s s 3"],
    selections: Sequence[Selection],
    stages: Sequence[FeatureStage],
) -> list[Photos]:
    """Returns the photos for each of several stages `features`, which differ in normalisation."""
    raw = [features(vgg, jnp.asarray(face)[None], layers=stages[0].layers) for face in faces]
    phi = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *raw)
    vectors = neighbor_vectors(vgg, selections, stages)
    start = jnp.asarray(faces)
    return [Photos(start, s.normalize(phi), w) for s, w in zip(stages, vectors, strict=True)]


def neighbor_vectors(
    vgg: VGG, selections: Sequence[Selection], stages: Sequence[FeatureStage]
) -> list[Features]:
    """Returns w = mean φ(target) − mean φ(source) of each selection, for each stage.

    The selections share a dataset. The network sees each of its images once, whatever the number of
    selections that contain it.
    """
    dataset = selections[0].dataset
    rows = np.unique(np.concatenate([np.concatenate([s.source, s.target]) for s in selections]))
    shares = np.zeros((len(selections), len(rows) + -len(rows) % BATCH), np.float32)
    for share, selection in zip(shares, selections, strict=True):
        share[np.searchsorted(rows, selection.target)] = 1 / len(selection.target)
        share[np.searchsorted(rows, selection.source)] = -1 / len(selection.source)
    total: list[Features] | None = None
    batches = dataset.batches(rows, size=stages[0].size, batch=BATCH)
    for i, batch in enumerate(batches):
        filled = np.pad(batch, ((0, BATCH - len(batch)), (0, 0), (0, 0), (0, 0)))
        some = shares[:, i * BATCH : (i + 1) * BATCH]
        added = _add_up(vgg, filled, some, stages=tuple(stages))
        total = added if total is None else jax.tree.map(jnp.add, total, added)
    assert total is not None
    return total


def normalized(vgg: VGG, dataset: Dataset, *, images: int, size: int) -> VGG:
    """Returns the network with every filter's mean activation made 1 on images of a dataset."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, images).astype(int))
    found = normalize(vgg, dataset.batches(rows, size=size)).vgg
    # With the raw network's name, it shares the compiled programs of the raw network.
    return replace(vgg, params=found.params)


def edit(vgg: VGG, problem: Problem, *, recipe: Recipe) -> Reconstruction:
    """Returns the edits of a batch of any length."""
    found = reconstruct(vgg, problem, recipe=recipe, every=recipe.solver.iterations)
    return found._replace(images=np.clip(found.images, 0, 1))


class Curves(NamedTuple):
    """The gain of each photo after moves of several lengths.

    Attributes:
      lengths: Lengths of moves, positive.
      gains: Gains after those moves.
    """

    lengths: Float[np.ndarray, "p r"]
    gains: Float[np.ndarray, "p r"]

    @classmethod
    def trace(
        cls,
        gains_after: Callable[[Float[np.ndarray, " p"]], Float[np.ndarray, " p"]],
        photos: int,
        *,
        goal: float,
        rounds: int,
    ) -> "Curves":
        """Returns gains after moves that come near to a gain.

        Args:
          gains_after: Function that moves each photo by a length and returns the gains.
          photos: Number of photos.
          goal: The gain.
          rounds: Number of moves of each photo.
        """
        length = np.full(photos, FIRST)
        found = cls(np.empty((photos, 0)), np.empty((photos, 0)))
        for _ in range(rounds):
            gains = gains_after(length)
            found = found.add(length, gains)
            ahead = OVERSHOOT * goal / np.maximum(gains, 1e-6)
            length = length * np.clip(ahead, 1 / FARTHEST, FARTHEST)
        return found

    def add(self, lengths: Float[np.ndarray, " p"], gains: Float[np.ndarray, " p"]) -> "Curves":
        """Returns the curves with one more point each."""
        return Curves(
            np.column_stack([self.lengths, lengths]), np.column_stack([self.gains, gains])
        )

    def gains_at(self, lengths: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """Returns each photo's gain after a move of a length.

        Gains are interpolated between the points. Beyond the last, they are proportional to it.

        >>> curves = Curves(np.array([[2.0, 4.0]]), np.array([[1.0, 1.5]]))
        >>> [curves.gains_at(np.array([length])).tolist() for length in (1.0, 3.0, 8.0)]
        [[0.5], [1.25], [3.0]]
        """
        found = []
        for length, x, y in zip(lengths, *self._sorted(), strict=True):
            inside = np.interp(length, x, y)
            found.append(y[-1] * length / x[-1] if length > x[-1] else inside)
        return np.array(found)

    def needed(self, goal: float) -> Float[np.ndarray, " p"]:
        """Returns the shortest move after which each photo has a gain, or NaN if none is near.

        >>> curves = Curves(np.array([[2.0, 4.0]]), np.array([[1.0, 1.5]]))
        >>> [curves.needed(goal).tolist() for goal in (1.25, 1.8, 3.0)]
        [[3.0], [4.8], [nan]]
        """
        found = []
        for x, y in zip(*self._sorted(), strict=True):
            above = np.flatnonzero(y >= goal)
            if len(above):
                i = int(above[0])
                share = (goal - y[i - 1]) / (y[i] - y[i - 1])
                found.append(x[i - 1] + share * (x[i] - x[i - 1]))
            else:
                near = y[-1] > 0 and goal <= BEYOND * y[-1]
                found.append(x[-1] * goal / y[-1] if near else np.nan)
        return np.array(found)

    def strength(self, units: Float[np.ndarray, " p"], goal: float) -> float:
        """Returns the strength at which the mean gain of all photos has a value.

        >>> curves = Curves(np.array([[2.0], [2.0]]), np.array([[1.0], [3.0]]))
        >>> round(curves.strength(np.array([1.0, 1.0]), 1.0), 2)  # Gains of 0.5 and 1.5.
        1.0

        Args:
          units: Length of each photo's move at strength 1.
          goal: The mean gain.
        """
        usual = float(np.median(np.max(self.lengths, axis=1) / units))
        strengths = np.geomspace(usual / 100, usual * FARTHEST, 400)
        means = [float(np.mean(self.gains_at(alpha * units))) for alpha in strengths]
        above = np.flatnonzero(np.array(means) >= goal)
        last = max(1, int(above[0])) if len(above) else len(means) - 1
        return float(np.interp(goal, means[last - 1 : last + 1], strengths[last - 1 : last + 1]))

    def _sorted(self) -> tuple[Float[np.ndarray, "p _"], Float[np.ndarray, "p _"]]:
        """Returns the points by increasing length, from the point without a move."""
        order = np.argsort(self.lengths, axis=1)
        zero = np.zeros((len(self.lengths), 1))
        lengths, gains = (np.take_along_axis(points, order, axis=1) for points in self)
        return np.hstack([zero, lengths]), np.hstack([zero, gains])


def take(dataset: Dataset, rows: Sequence[int]) -> Dataset:
    """Returns a dataset with some of the images, in another order."""
    chosen = np.array(rows)
    people, landmarks = (
        None if column is None else column[chosen] for column in (dataset.people, dataset.landmarks)
    )
    return replace(
        dataset,
        names=tuple(dataset.names[row] for row in rows),
        read=lambda index: dataset.read(int(chosen[index])),
        scores=dataset.scores[chosen],
        people=people,
        landmarks=landmarks,
    )


def norms(phi: Features) -> Float[np.ndarray, "p l"]:
    """Returns ‖φ‖ of each photo and layer."""
    squares = square_norms(phi, scope="layer").values()
    return np.sqrt(np.stack([np.asarray(square, np.float64) for square in squares], axis=1))


@partial(jax.jit, static_argnames="stage")
def _scale(w: Features, phi: Features, *, stage: VectorStage) -> Features:
    def scale_one(w: Features, phi: Features) -> Features:
        alone = {name: layer[None] for name, layer in phi.items()}
        return {name: layer[0] for name, layer in stage.scale(w, alone).items()}

    return jax.vmap(scale_one)(w, phi)


@partial(jax.jit, static_argnames="stages")
def _add_up(
    vgg: VGG, images: Array, shares: Array, *, stages: tuple[FeatureStage, ...]
) -> list[Features]:
    phi = features(vgg, images, layers=stages[0].layers)
    # By default, a GPU would multiply with TF32's ten bits of mantissa.
    add_up = partial(jnp.tensordot, shares, axes=1, precision="highest")
    return [
        {name: add_up(layer) for name, layer in stage.normalize(phi).items()} for stage in stages
    ]
