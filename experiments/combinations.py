"""Combinations of normalisations, vectors and losses that aren't the same edit twice."""

from collections.abc import Sequence

from dfi_jax import (
    L2,
    Gain,
    MeanSquare,
    MeanSquares,
    Relative,
    SumSquares,
    Unit,
    UnitTimesPhi,
)
from dfi_jax.recipe.features import Scope
from dfi_jax.recipe.objective import Loss
from dfi_jax.recipe.vector import VectorStage

NETWORKS = ("raw", "normalized")

FEATURES: dict[str, L2 | None] = {
    "φ": None,
    "φ/‖φ‖ by layer": L2(scope="layer"),
    "φ/‖φ‖ over all": L2(scope="concat"),
}

VECTORS: dict[str, VectorStage] = {
    "w": Gain(factor=1.0),
    "w/‖w‖ by layer": Unit(scope="layer"),
    "w/‖w‖ over all": Unit(scope="concat"),
    "‖φ‖·w/‖w‖ by layer": UnitTimesPhi(scope="layer"),
    "‖φ‖·w/‖w‖ over all": UnitTimesPhi(scope="concat"),
    "w/mean(w²) by layer": MeanSquare(scope="layer"),
    "w/mean(w²) over all": MeanSquare(scope="concat"),
}

LOSSES: dict[str, Loss] = {
    "sum": SumSquares(),
    "mean": MeanSquares(),
    "relative": Relative(),
}

CHOICES = {"network": NETWORKS, "features": FEATURES, "vector": VECTORS, "loss": LOSSES}


def differing_losses(features: str, names: Sequence[str]) -> list[str]:
    """Returns the names of the losses that differ for a normalisation of features."""
    # If ‖φ(x)‖ is 1 in each layer, the relative loss is the sum.
    same = FEATURES[features] == L2(scope="layer") and "sum" in names
    return [name for name in names if not (same and name == "relative")]


def differing_vectors(features: str, names: Sequence[str]) -> list[str]:
    """Returns the names of the vectors that differ for a normalisation of features."""
    normalization = FEATURES[features]
    if normalization is None:
        return list(names)
    # If ‖φ(x)‖ is the same for every photo, ‖φ(x)‖·w/‖w‖ is w/‖w‖ at another strength.
    constant: tuple[Scope, ...] = ("layer", "concat")
    if normalization.scope == "concat":
        constant = ("concat",)
    dropped = [UnitTimesPhi(scope=scope) for scope in constant]
    return [name for name in names if VECTORS[name] not in dropped]
