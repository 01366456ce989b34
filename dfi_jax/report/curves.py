"""Plots of the objective during reconstruction."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

MOST_LABELS = 12
"""Maximum number of curves that the legend names, because more don't fit below each other."""


def draw_loss_curves(
    history: Sequence[Float[np.ndarray, " _"]] | Float[np.ndarray, "n i"], labels: Sequence[str]
) -> bytes:
    """Plots the objective of each problem by evaluation, and returns the bytes of a PNG file.

    The objective's axis is logarithmic, unless no value is positive. The legend names every curve,
    or every second, third and so on if there are more than 12.

    >>> draw_loss_curves([np.array([4.0, 2.0, 1.0])], ["alpha = 0.4"])[1:4]
    b'PNG'

    Args:
      history: Objective after each evaluation, one row for each problem.
      labels: Label of each problem.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    # The user's own settings may need what isn't installed, such as LaTeX.
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.add_subplot()
        step = -(-len(labels) // MOST_LABELS)
        for i, (curve, label) in enumerate(zip(history, labels, strict=True)):
            axes.plot(np.arange(1, len(curve) + 1), curve, label="" if i % step else label)
        positive = any(np.any(curve > 0) for curve in history)
        axes.set(xlabel="evaluations", ylabel="objective", yscale="log" if positive else "linear")
        axes.grid(visible=True, which="both", alpha=0.3)
        # Curves of several strengths cross the whole plot, one above the other.
        figure.legend(loc="outside right upper")
        file = io.BytesIO()
        figure.savefig(file, dpi=150, format="png")
    return file.getvalue()
