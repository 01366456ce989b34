"""Treatment of a photo's own features where an edit takes an attribute away.

A vector holds the average of many eyeglasses, which is blurred, because no two have the same shape.
Adding it draws plausible eyeglasses. Subtracting it takes the blurred average away from one sharp
frame, which remains, and doesn't say what lies behind.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dfi_jax.recipe.features import Features
from dfi_jax.recipe.stage import Stage


class Replacement(NamedTuple):
    """Features that can take the place of a photo's own, and where. A pytree.

    Attributes:
      average: μ, the mean features of faces, (h, w, c) per layer.
      forwards: m₊, where a positive strength takes an attribute away, from 0 to 1, (h, w, 1) per
        layer.
      backwards: m₋, where a negative strength does.
    """

    average: Features
    forwards: Features
    backwards: Features

    def opposite(self) -> "Replacement":
        """Returns the replacement for −w.

        >>> none, one = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
        >>> Replacement(one, none, one).opposite().forwards["conv1_1"].tolist()
        [[[1.0]]]
        """
        return Replacement(self.average, self.backwards, self.forwards)


@dataclass(frozen=True, kw_only=True)
class Replace(Stage):
    """The average face takes the place of the photo where the attribute was.

    The share of a position that is replaced is ρ·m₊·min(1, α) for a positive strength, and
    ρ·m₋·min(1, −α) for a negative one. Where everything is replaced, only κ of the vector is
    subtracted: the average face is already nearer to a face without the attribute, so the whole
    vector would overshoot.

    Attributes:
      share: ρ, the largest share of a photo's own features that is replaced.
      subtracted: κ. With 1, smiles become pursed lips with grainy skin around them; with 0.25, the
        rims of some eyeglasses remain.
    """

    kind: ClassVar[str] = "replace"
    least: ClassVar = {"share": 0, "subtracted": 0}

    share: float = 1.0
    subtracted: float = 0.5

    def shares(self, alphas: Float[Array, " n"], replacement: Replacement) -> Features:
        """Returns ρ·(m₊·min(1, max(0, α)) + m₋·min(1, max(0, −α))), (n, h, w, 1) per layer.

        Args:
          alphas: α of each image, in units of the recipe's usual strength (`VectorStage`).
          replacement: Features that can take the place of the image's own, and where.

        >>> none, one = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
        >>> away = Replacement(average=one, forwards=none, backwards=one)
        >>> Replace().shares(jnp.array([1.0, -0.5, -2.0]), away)["conv1_1"].ravel().tolist()
        [0.0, 0.5, 1.0]
        """
        forth, back = (jnp.clip(sign * alphas, 0, 1)[:, None, None, None] for sign in (1, -1))
        return {
            name: self.share * (forth * forwards[None] + back * replacement.backwards[name][None])
            for name, forwards in replacement.forwards.items()
        }

    def move(
        self,
        phi: Features,
        vector: Features,
        alphas: Float[Array, " n"],
        replacement: Replacement,
    ) -> Features:
        """Returns s·(μ − φ(x) − (1 − κ)·αw), which is added to the target φ(x) + αw of each image.

        Args:
          phi: φ(x), (n, h, w, c) per layer.
          vector: αw, of the same shapes.
          alphas: α of each image, as for `shares`, which returns s.
          replacement: Features that can take the place of φ(x), and where.

        >>> none, one = {"conv1_1": jnp.zeros((1, 1, 1))}, {"conv1_1": jnp.ones((1, 1, 1))}
        >>> away = Replacement(average=one, forwards=one, backwards=none)
        >>> phi, w = {"conv1_1": jnp.full((2, 1, 1, 1), 5.0)}, {"conv1_1": jnp.ones((2, 1, 1, 1))}
        >>> Replace().move(phi, w, jnp.array([0.5, 2.0]), away)["conv1_1"].ravel().tolist()
        [-2.25, -4.5]
        """
        shares, rest = self.shares(alphas, replacement), 1 - self.subtracted
        return {
            name: shares[name] * (replacement.average[name][None] - layer - rest * vector[name])
            for name, layer in phi.items()
        }
