"""Where an attribute lies in a face, so that a removal can replace it (`recipe.removal`)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.recipe.features import Features
from dfi_jax.recipe.removal import Replacement

PEAK = 99.5
"""The percentile of ‖w‖ over positions that counts as its peak."""

REACH = 0.3
"""Share of the way from the median of ‖w‖ to its peak at which a position is replaced entirely.

With 0.3, spectacles, smiles and beards disappear and the rest of the face stays. With 0.6, frames
shine through."""


def locate(w: Features) -> Features:
    """Returns where an attribute lies: m = (‖w‖ − median)/(r·(peak − median)), clipped to [0, 1].

    Args:
      w: The attribute vector, (h, w, c) per layer. ‖·‖ is over the channels of a position, the
        median and the peak over all positions of a layer.

    Returns:
      m, (h, w, 1) per layer. It is 0 if ‖w‖ is the same everywhere.

    >>> w = {"conv1_1": jnp.zeros((20, 20, 2)).at[3, 4].set(1.0).at[0, 0].set(0.15)}
    >>> m = locate(w)["conv1_1"]
    >>> float(m[3, 4, 0]), round(float(m[0, 0, 0]), 2), float(m[9, 9, 0])
    (1.0, 0.5, 0.0)
    """
    return {name: _locate(np.asarray(layer)) for name, layer in w.items()}


def _locate(w: Float[np.ndarray, "h w c"]) -> Float[Array, "h w 1"]:
    length = np.linalg.norm(w, axis=-1, keepdims=True)
    floor, peak = np.median(length), np.percentile(length, PEAK)
    if peak <= floor:
        return jnp.zeros_like(length)
    return jnp.asarray(np.clip((length - floor) / (REACH * (peak - floor)), 0, 1))


def of_attribute(w: Features, average: Features) -> Replacement:
    """Returns the replacement for a vector w that adds an attribute: −w takes it away.

    >>> one = {"conv1_1": jnp.ones((1, 1, 1))}
    >>> of_attribute(one, one).forwards["conv1_1"].tolist()
    [[[0.0]]]
    """
    found = locate(w)
    return Replacement(
        average=average, forwards=jax.tree.map(jnp.zeros_like, found), backwards=found
    )


def opposite(replacement: Replacement) -> Replacement:
    """Returns the replacement for −w.

    >>> none, all_of_it = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
    >>> turned = opposite(Replacement(average=none, forwards=none, backwards=all_of_it))
    >>> turned.forwards["conv1_1"].tolist(), turned.backwards["conv1_1"].tolist()
    ([[[1.0]]], [[[0.0]]])
    """
    return replacement._replace(forwards=replacement.backwards, backwards=replacement.forwards)


def combine(parts: Sequence[tuple[Replacement, float]]) -> Replacement:
    """Returns the replacement for Σ sᵢ·wᵢ: what any of the parts takes away is replaced.

    Args:
      parts: Pairs of the replacement for wᵢ and the strength sᵢ.

    >>> none, all_of_it = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
    >>> added = Replacement(average=none, forwards=none, backwards=all_of_it)
    >>> combine([(added, 1.0), (added, -0.5)]).forwards["conv1_1"].tolist()
    [[[0.5]]]
    """
    turned = [(part if s > 0 else opposite(part), min(1.0, abs(s))) for part, s in parts]

    def largest(*masks: Array) -> Array:
        return jnp.max(jnp.stack(masks), axis=0)

    forwards, backwards = (
        jax.tree.map(
            largest,
            *({name: s * m for name, m in getattr(part, side).items()} for part, s in turned),
        )
        for side in ("forwards", "backwards")
    )
    averages = [part.average for part, _ in turned]
    average = jax.tree.map(lambda *each: sum(each) / len(each), *averages)
    return Replacement(average=average, forwards=forwards, backwards=backwards)
