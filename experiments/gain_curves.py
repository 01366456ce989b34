"""The gain of photos as a function of how far they are moved.

Experiments compare recipes at equal gain (`matched_edits.py`). They try a few moves of each photo,
and interpolate between them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FIRST = 0.3
"""Length of the first move that is tried, relative to the length of the photo's features."""

OVERSHOOT = 1.3
"""Gain that a further move aims at, relative to the gain that is looked for. Gains grow more slowly
than strengths, and a gain between two tried moves can be interpolated."""

FARTHEST = 4.0
"""Largest ratio of a further move to the move before."""

BEYOND = 1.5
"""Largest ratio of a gain to the gain of the longest tried move at which it is extrapolated."""


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
        *,
        photos: int,
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
