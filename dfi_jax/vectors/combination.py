"""Attribute vectors made from others: sums, and vectors that leave other attributes alone."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dfi_jax.errors import InputError
from dfi_jax.recipe import Unshrunk
from dfi_jax.recipe.features import Features
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.provenance import ALIKE, Provenance
from dfi_jax.vectors.replacement import combine as combine_replacements
from dfi_jax.vectors.replacement import keep_left

UNKNOWN = {
    "crop": None,
    "images": "",
    "near": "",
    "rule": "",
    "where": "",
    "held": (),
    "penalty": None,
    "shrinkage": Unshrunk(),
}
"""Values that fields of a sum's provenance have if its vectors differ in them."""


def combine(vectors: Sequence[tuple[AttributeVector, float]]) -> AttributeVector:
    """Returns Σ sᵢ·wᵢ: several attributes, each with its own strength, as one vector.

    The provenance of the sum has what all vectors agree in, and its note names the rest.

    Args:
      vectors: Pairs of a vector wᵢ and its strength sᵢ; all vectors have the same network, layers,
        size and normalisation.

    Raises:
      InputError: If there is no vector, if a strength isn't finite, or if the vectors were made
        with different networks, layers, sizes or normalisations.

    >>> from dfi_jax import starter
    >>> combine([(starter("eyeglasses"), 1.0), (starter("older"), 0.5)]).provenance.attributes
    ('1 × Eyeglasses', '0.5 × ~Young')
    """
    if not vectors:
        raise InputError("there is no attribute vector to combine; give at least one.")
    for _, strength in vectors:
        if not np.isfinite(strength):
            raise InputError(f"a strength is {strength}; give a finite number.")
    _check_alike([vector for vector, _ in vectors])
    # In a process that uses float64, strengths of NumPy's would make the sum float64.
    vectors = [(vector, float(strength)) for vector, strength in vectors]
    total: Features = jax.tree.map(jnp.zeros_like, vectors[0][0].features)
    for vector, strength in vectors:
        total = {name: total[name] + strength * vector.features[name] for name in total}
    made_from = [vector.provenance for vector, _ in vectors]
    first = made_from[0]
    differing: dict[str, Any] = {
        name: value
        for name, value in UNKNOWN.items()
        if any(getattr(made, name) != getattr(first, name) for made in made_from)
    }
    provenance = dataclasses.replace(
        first,
        **differing,
        dataset=", ".join(dict.fromkeys(made.dataset for made in made_from)),
        attributes=tuple(f"{strength:g} × {_listed(v.provenance)}" for v, strength in vectors),
        k=max((made.k for made in made_from if made.k is not None), default=None),
        n_source=sum(made.n_source for made in made_from),
        n_target=sum(made.n_target for made in made_from),
        warped=any(made.warped for made in made_from),
        length=(),
        noise=(),
        calibration=(),
        kept=tuple(name for name in first.kept if all(name in made.kept for made in made_from)),
        note="sum of vectors" + (f" that differ in {', '.join(differing)}" if differing else ""),
    )
    replacements = [(v.replacement, s) for v, s in vectors if v.replacement is not None]
    return AttributeVector(
        total, provenance, combine_replacements(replacements) if replacements else None
    )


def project_out(vector: AttributeVector, kept: Sequence[AttributeVector]) -> AttributeVector:
    """Returns w − V(VᵀV)⁻¹Vᵀw: the part of a vector that is orthogonal to other vectors.

    An edit with it leaves the attributes of the other vectors alone, as far as they are directions
    in the space of features. Here, all layers together are one long vector, and the columns of V
    are the other vectors. A part of w that several of them share is taken out once. At positions at
    which less is left of w, a removal replaces less.

    Args:
      vector: The vector w.
      kept: Vectors of the attributes that should stay as they are.

    Raises:
      InputError: If the vectors were made with different networks or different features, or
        nothing is left of the vector.

    >>> from dfi_jax import starter
    >>> older, glasses = starter("older"), starter("eyeglasses")
    >>> left = project_out(older, [glasses]).features
    >>> shared = sum(float(jnp.vdot(left[name], glasses.features[name])) for name in left)
    >>> abs(shared) < 1e-3 * sum(float(jnp.sum(layer**2)) for layer in left.values())
    True
    """
    if not kept:
        return vector
    _check_alike([vector, *kept])
    flat, unravel = ravel_pytree(vector.features)
    w, others = np.asarray(flat), np.stack([ravel_pytree(other.features)[0] for other in kept])
    gram = (others @ others.T).astype(np.float64)
    shares = np.linalg.pinv(gram, hermitian=True) @ (others @ w)
    left = w - shares.astype(np.float32) @ others
    if np.linalg.norm(left) < 1e-3 * np.linalg.norm(w):
        raise InputError(
            f"nothing is left of the vector {_listed(vector.provenance)} without its part along "
            f"{', '.join(_listed(other.provenance) for other in kept)}; keep other attributes."
        )
    attributes = [name for other in kept for name in other.provenance.attributes]
    features = unravel(jnp.asarray(left))
    return AttributeVector(
        features,
        dataclasses.replace(
            vector.provenance,
            kept=(*vector.provenance.kept, *attributes),
            calibration=(),
        ),
        vector.replacement and keep_left(vector.replacement, vector.features, features),
    )


def _check_alike(vectors: Sequence[AttributeVector]) -> None:
    """Raises InputError unless all vectors have the same network, layers, size and so on."""
    first = vectors[0].provenance
    for vector in vectors:
        made = vector.provenance
        for name in ALIKE:
            if getattr(made, name) != getattr(first, name):
                raise InputError(
                    f"the attribute vectors {_listed(first)} and {_listed(made)} were made with "
                    f"different {name}; combine vectors that were made alike."
                )


def _listed(provenance: Provenance) -> str:
    return ",".join(provenance.attributes)
