"""Where an attribute lies in a face, so that a removal can replace it (`recipe.removal`)."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.recipe.features import Features
from dfi_jax.recipe.removal import Replacement

PEAK = 99.5
"""Percentile of ‖w‖ over positions that counts as its peak."""

ABSENCES = ("Young", "No Beard")
"""Attributes of faces that are the absence of something: of wrinkles, or of a beard."""

REACH = 0.3
"""Share of the way from the median of ‖w‖ to its peak at which a position is replaced entirely.

With 0.3, eyeglasses, smiles and beards disappear and the rest of the face stays. With 0.6, frames
shine through."""

WIDEST = 0.3
"""Largest share of a face that is replaced, as a mean of m over positions and layers.

Age and the colour of hair lie everywhere, so the average face would take the place of the whole
person. In LFW, m has a mean of 0.26 for Eyeglasses, 0.27 for Bangs, 0.34 for Young and Black Hair,
and 0.38 for Blond Hair."""


def locate(w: Features) -> Features:
    """Returns where an attribute lies: m = (‖w‖ − median)/(r·(peak − median)), clipped to [0, 1].

    Args:
      w: The attribute vector, (h, w, c) per layer. ‖·‖ is over the channels of a position, the
        median and the peak over all positions of a layer.

    Returns:
      m, (h, w, 1) per layer. It is 0 everywhere if ‖w‖ is the same everywhere, or if the mean of m
      exceeds `WIDEST`.

    >>> w = {"conv1_1": jnp.zeros((20, 20, 2)).at[3:5, 4:6].set(1.0).at[0, 0].set(0.15)}
    >>> m = locate(w)["conv1_1"]
    >>> float(m[3, 4, 0]), round(float(m[0, 0, 0]), 2), float(m[9, 9, 0])
    (1.0, 0.5, 0.0)
    >>> wide = {"conv1_1": jnp.zeros((20, 20, 2)).at[:9].set(1.0)}
    >>> float(locate(wide)["conv1_1"].max())
    0.0
    """
    found = {name: _locate(np.asarray(layer)) for name, layer in w.items()}
    extent = np.mean([float(m.mean()) for m in found.values()])
    return found if extent <= WIDEST else jax.tree.map(jnp.zeros_like, found)


def _locate(w: Float[np.ndarray, "h w c"]) -> Float[Array, "h w 1"]:
    length = np.linalg.norm(w, axis=-1, keepdims=True)
    floor, peak = np.median(length), np.percentile(length, PEAK)
    if peak <= floor:
        return jnp.zeros_like(length)
    return jnp.asarray(np.clip((length - floor) / (REACH * (peak - floor)), 0, 1))


def takes_away(attributes: Sequence[str]) -> bool:
    """Returns whether a vector of attributes takes something away: whether each of them does.

    `~` before an attribute takes it away, unless the attribute is itself the absence of something.
    Attributes that all images share (`+Young`, `-Male`) don't count.

    >>> takes_away(["~Eyeglasses", "+Young"]), takes_away(["~Young"])
    (True, False)
    >>> takes_away(["Smiling", "~Eyeglasses"])
    False
    """
    changed = [text for text in attributes if not text.startswith(("+", "-"))]
    return all((text[:1] == "~") != (text.removeprefix("~") in ABSENCES) for text in changed)


def of_attribute(w: Features, average: Features, attributes: Sequence[str]) -> Replacement:
    """Returns the replacement for the vector of some attributes.

    Args:
      w: The vector, (h, w, c) per layer.
      average: μ, of the same shapes.
      attributes: The attributes, with the signs of `data.wanted.Wanted`.

    >>> one = {"conv1_1": jnp.zeros((20, 20, 1)).at[:2].set(1.0)}
    >>> away = of_attribute(one, one, ["~Eyeglasses"])
    >>> float(away.forwards["conv1_1"].max()), float(away.backwards["conv1_1"].max())
    (1.0, 0.0)
    """
    found = locate(w)
    added = Replacement(average, jax.tree.map(jnp.zeros_like, found), found)
    return added.opposite() if takes_away(attributes) else added


def combine(parts: Sequence[tuple[Replacement, float]]) -> Replacement:
    """Returns the replacement for Σ sᵢ·wᵢ.

    The share of a position that is replaced is the largest of the parts' shares. The average there
    is the mean of theirs, weighted by the shares.

    Args:
      parts: Pairs of the replacement for wᵢ and the strength sᵢ. A part is replaced entirely if its
        strength is 1 or more.

    >>> none, one = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
    >>> added = Replacement(average=none, forwards=none, backwards=one)
    >>> combine([(added, 1.0), (added, -0.5)]).forwards["conv1_1"].tolist()
    [[[0.5]]]
    """
    turned = [
        _scaled(part if s > 0 else part.opposite(), dict.fromkeys(part.average, min(1.0, abs(s))))
        for part, s in parts
    ]

    def largest(*masks: Array) -> Array:
        return jnp.max(jnp.stack(masks), axis=0)

    def weighted(name: str) -> Array:
        # Nothing is replaced where all weights are 0.
        weights = jnp.stack([part.forwards[name] + part.backwards[name] for part in turned]) + 1e-6
        averages = jnp.stack([part.average[name] for part in turned])
        return jnp.sum(weights * averages, axis=0) / jnp.sum(weights, axis=0)

    return Replacement(
        {name: weighted(name) for name in turned[0].average},
        jax.tree.map(largest, *(part.forwards for part in turned)),
        jax.tree.map(largest, *(part.backwards for part in turned)),
    )


def keep_left(part: Replacement, w: Features, left: Features) -> Replacement:
    """Returns the replacement for what is left of a vector: m·min(1, ‖left‖/‖w‖) at each position.

    Args:
      part: The replacement for w.
      w: The vector, (h, w, c) per layer.
      left: What is left of it, of the same shapes.

    >>> none, one = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
    >>> half = {"conv1_1": jnp.full((1, 1, 1), -0.5)}
    >>> float(keep_left(Replacement(one, one, none), one, half).forwards["conv1_1"][0, 0, 0])
    0.5
    """

    def share(before: Array, after: Array) -> Array:
        whole, rest = (jnp.linalg.norm(layer, axis=-1, keepdims=True) for layer in (before, after))
        return jnp.minimum(1, rest / jnp.where(whole > 0, whole, 1))

    return _scaled(part, {name: share(layer, left[name]) for name, layer in w.items()})


def _scaled(part: Replacement, shares: Mapping[str, Array | float]) -> Replacement:
    forwards, backwards = (
        {name: shares[name] * m for name, m in masks.items()}
        for masks in (part.forwards, part.backwards)
    )
    return Replacement(part.average, forwards, backwards)
