"""Drawn people who don't exist: the same person in the same photo, with and without an attribute.

Such pairs, which no dataset of photos has, tell how close an edit comes to the truth. `render` a
person, edit the image, and compare it with `counterfactual`, which differs only in what the
attribute changes.

Coordinates are (x, y) in pixels of the canonical crop (see `photo.placement`), whatever the size of
the image. A face is a height map under one light, with colours painted on it. Every shape is an
implicit function, negative inside, whose edge is one pixel wide at any size, so nothing jumps when
a score or a parameter changes. The proportions are those of an adult's head with eyes 48 pixels
apart; the other numbers were chosen by eye.
"""

from dfi_jax.data.synthetic.dataset import MARGIN, counterfactual, load
from dfi_jax.data.synthetic.drawing import render
from dfi_jax.data.synthetic.person import (
    ATTRIBUTES,
    PLAIN,
    SMALLEST_SIZE,
    STRONGEST_SCORE,
    Identity,
    identity,
    landmarks,
)

__all__ = [
    "ATTRIBUTES",
    "MARGIN",
    "PLAIN",
    "SMALLEST_SIZE",
    "STRONGEST_SCORE",
    "Identity",
    "counterfactual",
    "identity",
    "landmarks",
    "load",
    "render",
]
