"""How sampling noise is taken out of an attribute vector before it is used.

w is the attribute vector, and s the standard error of each of its activations. Shrinkage acts where
a vector is computed; a vector from a file stays as it is.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from dfi_jax.recipe.features import Features
from dfi_jax.recipe.stage import Stage

NEIGHBORHOOD = 3
"""Height and width, in positions, of the neighbourhood that `Wiener` can average over."""


@dataclass(frozen=True, kw_only=True)
class ShrinkageStage(Stage):
    """The removal of noise from an attribute vector."""

    @abstractmethod
    def shrink(self, w: Features, variance: Features) -> Features:
        """Returns the shrunk vector, (h, w, c) per layer.

        Args:
          w: The attribute vector, (h, w, c) per layer.
          variance: s², of the same shapes.
        """


@dataclass(frozen=True, kw_only=True)
class Unshrunk(ShrinkageStage):
    """w as it is, noise included, as in all published systems."""

    kind: ClassVar[str] = "unshrunk"

    def shrink(self, w: Features, variance: Features) -> Features:
        """Returns w.

        >>> Unshrunk().shrink({"conv1_1": jnp.ones((1, 1, 1))}, {})["conv1_1"].tolist()
        [[[1.0]]]
        """
        return w


@dataclass(frozen=True, kw_only=True)
class Wiener(ShrinkageStage):
    """w·max(0, 1 − c·⟨s²⟩/⟨w²⟩), where ⟨·⟩ averages over activations.

    A part of w that is no larger than its noise becomes zero, and a part that is far larger stays
    as it is. With averages over single activations this is the positive-part James–Stein estimator
    of a normal mean; with wider averages it is an empirical Wiener filter.

    Attributes:
      over: Activations that ⟨·⟩ averages: one `activation` by itself, the `neighborhood` of 3 × 3
        positions in its channel, or its whole `channel`.
      strength: c. ⟨w²⟩ contains ⟨s²⟩ once, so that 1 removes the noise on average. The default has
        the smallest error on halves of LFW (docs/vectors.md).
      focus: c of a second factor of the same form, whose averages are over all channels of the
        neighbourhood. It is near 0 if no channel shows the attribute there, as in a background.

    References:
      James and Stein, "Estimation with Quadratic Loss", Proc. Fourth Berkeley Symposium, 1961.
    """

    kind: ClassVar[str] = "wiener"
    least: ClassVar = {"strength": 0, "focus": 0}

    over: Literal["activation", "neighborhood", "channel"] = "neighborhood"
    strength: float = 1.5
    focus: float = 0.0

    def shrink(self, w: Features, variance: Features) -> Features:
        """Returns w·max(0, 1 − c·⟨s²⟩/⟨w²⟩), times the second factor if `focus` isn't 0.

        >>> w, variance = {"conv1_1": jnp.full((1, 1, 1), 2.0)}, {"conv1_1": jnp.ones((1, 1, 1))}
        >>> Wiener(over="activation").shrink(w, variance)["conv1_1"].tolist()
        [[[1.25]]]
        """
        return {name: self._shrink_layer(layer, variance[name]) for name, layer in w.items()}

    def _shrink_layer(
        self, w: Float[Array, "h w c"], variance: Float[Array, "h w c"]
    ) -> Float[Array, "h w c"]:
        squares, variance = jnp.square(w), jnp.asarray(variance)
        kept = _kept(self._average(squares), self._average(variance), self.strength)
        power, noise = (_blur(jnp.mean(a, axis=-1, keepdims=True)) for a in (squares, variance))
        return w * kept * _kept(power, noise, self.focus)

    def _average(self, squares: Float[Array, "h w c"]) -> Float[Array, "_ _ c"]:
        if self.over == "activation":
            return squares
        if self.over == "channel":
            return jnp.mean(squares, axis=(0, 1), keepdims=True)
        return _blur(squares)


def _kept(power: Array, noise: Array, strength: float) -> Array:
    """Returns max(0, 1 − strength·noise/power), or 0 if there is no power."""
    kept = jnp.maximum(1 - strength * noise / jnp.where(power > 0, power, 1), 0)
    return jnp.where(power > 0, kept, 0)


def _blur(layer: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    """Returns the mean over the neighbourhood of each position."""
    window = (NEIGHBORHOOD, NEIGHBORHOOD, 1)
    total, count = (
        lax.reduce_window(values, 0.0, lax.add, window, (1, 1, 1), "SAME")
        for values in (layer, jnp.ones_like(layer[..., :1]))
    )
    return total / count  # At the border, the neighbourhood has fewer positions.
