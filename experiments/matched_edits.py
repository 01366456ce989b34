"""Edits of many photos at strengths that a judge finds equally effective.

The experiments on a recipe's choices share this module. Most choices change what a strength means,
so they are compared at strengths at which the photos gain equally much on average. Each photo's
vector is the difference between its neighbours with and without the attribute, as in the published
systems. The neighbours, the photos, and the people whom the judge knows are different people.

Whatever a recipe's stage `vector` does, it multiplies each layer of a vector by a factor. A move is
such a factor for each photo and layer, strength included: features move by move·w.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import judged_edits
import numpy as np
from gain_curves import Curves
from jaxtyping import Array, Float
from neighbor_vectors import neighbor_vectors

from dfi_jax import (
    VGG,
    Anchor,
    Dataset,
    Problem,
    Recipe,
    Reconstruction,
    Unshrunk,
    features,
    load_vgg,
    reconstruct,
)
from dfi_jax.data.selection import Selection, select
from dfi_jax.engine.reconstruction import prepare_for
from dfi_jax.metrics.change import measure_change
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.network.weights.normalization import normalize
from dfi_jax.recipe.features import Features, FeatureStage, square_norms
from dfi_jax.recipe.vector import VectorStage

Moves = Float[np.ndarray, "p l"]
"""A factor of w for each photo and each layer, with the layers in alphabetical order."""


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
            name: self.phi[name] + factors[:, i] * self.vectors[name]
            for i, name in enumerate(sorted(self.phi))
        }
        return Problem(self.faces, target, square_norms(self.phi, scope="layer"))

    def first(self, count: int) -> "Photos":
        """Returns the first photos."""
        return Photos(*jax.tree.map(lambda leaf: leaf[:count], tuple(self)))

    def only(self, layers: Sequence[str]) -> "Photos":
        """Returns the photos with some of the layers."""
        phi, vectors = ({name: each[name] for name in layers} for each in (self.phi, self.vectors))
        return Photos(self.faces, phi, vectors)


def see(
    vgg: VGG,
    faces: Float[np.ndarray, "p s s 3"],
    selections: Sequence[Selection],
    stages: Sequence[FeatureStage],
) -> list[Photos]:
    """Returns photos as each of several stages sees them, with vectors that aren't shrunk.

    Args:
      vgg: Network.
      faces: Faces in the photos, RGB in [0, 1].
      selections: Neighbours of each photo.
      stages: Stages `features` of recipes that differ in the normalisation alone.
    """
    start, phi = jnp.asarray(faces), describe(vgg, faces, stages[0])
    vectors = neighbor_vectors(vgg, selections, stages, shrinkage=Unshrunk())
    return [Photos(start, s.normalize(phi), w) for s, w in zip(stages, vectors, strict=True)]


def describe(vgg: VGG, faces: Float[np.ndarray, "p s s 3"], stage: FeatureStage) -> Features:
    """Returns φ(x) of photos, not yet normalised.

    One at a time, any number of photos shares a compiled program.
    """
    layers, rounding = stage.layers, stage.pool_rounding
    each = [
        features(vgg, jnp.asarray(face)[None], layers=layers, pool_rounding=rounding)
        for face in faces
    ]
    return dict(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each))


def load_networks(weights: str, dataset: Dataset, *, images: int, size: int) -> dict[str, VGG]:
    """Returns a network with raw weights, and normalised on images of a dataset."""
    raw = load_vgg(weights)
    with phase("normalised network"):
        changed = normalize_on(raw, dataset, images=images, size=size)
    # With the raw network's name, it shares the compiled programs of the raw network.
    return {"raw": raw, "normalized": replace(raw, params=changed.params)}


def normalize_on(vgg: VGG, dataset: Dataset, *, images: int, size: int) -> VGG:
    """Returns a network normalised on images that are spread evenly over a dataset."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, images).astype(int))
    return normalize(vgg, dataset.batches(rows, size=size)).vgg


def fast(vgg: VGG, *, recipe: Recipe) -> VGG:
    """Returns a network for many edits, with TF32's precision."""
    return prepare_for(replace(vgg, precision="tf32", filters=None), recipe=recipe)


@dataclass(frozen=True, eq=False, kw_only=True)
class Editing:
    """Edits of photos with a network and a recipe.

    Attributes:
      vgg: Network.
      photos: The photos.
      subjects: The same photos, and who judges them.
      recipe: Objective, start and solver. The stage `vector` has no effect, so recipes that differ
        in it alone share a compiled program.
    """

    vgg: VGG
    photos: Photos
    subjects: Subjects
    recipe: Recipe

    def edit(self, moves: Moves) -> Float[np.ndarray, "p s s 3"]:
        """Returns the faces after some moves."""
        return edit(self.vgg, self.photos.problem(moves), recipe=self.recipe).images

    def trace(self, factors: Moves, *, goal: float, rounds: int) -> Curves:
        """Returns gains after relative lengths of moves along a vector that come near to a gain."""
        faces, units = np.asarray(self.photos.faces), self.photos.relative(factors)

        def gains_after(lengths: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
            return self.subjects.gains(faces, self.edit(factors * (lengths / units)[:, None]))

        return Curves.trace(gains_after, photos=len(faces), goal=goal, rounds=rounds)

    def match(
        self, factors: Moves, curves: Curves, *, goal: float
    ) -> tuple[dict[str, Any], Float[np.ndarray, "p s s 3"]]:
        """Returns the measures at the strength whose mean gain has a value, and the edited faces.

        The measures are those of `judged_edits.average`, and

        - `alpha`: the strength
        - `alphas`: the strength at which each photo itself has the gain, or NaN
        - `unreached`: number of photos without such a strength
        - `varies`: standard deviation of these strengths divided by their mean
        - `photos`: the measures of each photo
        """
        faces, units = np.asarray(self.photos.faces), self.photos.relative(factors)
        alpha = curves.strength(units, goal)
        edited = self.edit(alpha * factors)
        measured = self.subjects.measure(faces, edited)
        known = curves.add(alpha * units, np.array([row["gain"] for row in measured]))
        each = known.needed(goal) / units
        row = {
            "alpha": alpha,
            "alphas": each.tolist(),
            "unreached": int(np.isnan(each).sum()),
            "varies": variation(each),
            "photos": measured,
        }
        return row | judged_edits.average(measured), edited


def edit(vgg: VGG, problem: Problem, *, recipe: Recipe) -> Reconstruction:
    """Returns the edits of a batch of any length."""
    found = reconstruct(vgg, problem, recipe=recipe, every=recipe.solver.iterations)
    return found._replace(images=np.clip(found.images, 0, 1))


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
    """Returns ‖φ‖ of each photo and layer, with the layers in alphabetical order."""
    squares = square_norms(phi, scope="layer")
    columns = [np.asarray(squares[name], np.float64) for name in sorted(squares)]
    return np.sqrt(np.stack(columns, axis=1))


def variation(values: Float[np.ndarray, " n"]) -> float:
    """Returns the standard deviation of the known values divided by their mean.

    >>> variation(np.array([1.0, 3.0, np.nan]))
    0.5
    """
    known = values[np.isfinite(values)]
    return float(known.std() / known.mean()) if len(known) > 1 else float("nan")


@partial(jax.jit, static_argnames="stage")
def _scale(w: Features, phi: Features, *, stage: VectorStage) -> Features:
    def scale_one(w: Features, phi: Features) -> Features:
        alone = {name: layer[None] for name, layer in phi.items()}
        return {name: layer[0] for name, layer in stage.scale(w, alone).items()}

    return jax.vmap(scale_one)(w, phi)
