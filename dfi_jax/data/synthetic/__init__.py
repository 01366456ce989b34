"""People who don't exist, drawn: the same person, in the same photograph, with an attribute and without it.

No dataset holds that pair, and it answers how near an edit comes to the truth: `render` a person, edit the image, and
compare with `counterfactual`, which differs from it in what the attribute changes and is the same elsewhere.

Coordinates are the canonical crop's (see `faces`), (x, y) in its pixels, whatever the size of the image. A face is a
height map under one light, with colours painted on it. Every shape is an implicit function, negative inside, whose
edge is one pixel wide at any size, so that nothing jumps as a score or a parameter changes. Proportions are those of
an adult's head with eyes 48 pixels apart; the other numbers were set by eye.
"""

from dfi_jax.data.synthetic.dataset import MARGIN, counterfactual, load
from dfi_jax.data.synthetic.drawing import render
from dfi_jax.data.synthetic.person import ATTRIBUTES, PLAIN, SMALLEST, STRONGEST, Identity, identity, landmarks

__all__ = [
    "ATTRIBUTES",
    "MARGIN",
    "PLAIN",
    "SMALLEST",
    "STRONGEST",
    "Identity",
    "counterfactual",
    "identity",
    "landmarks",
    "load",
    "render",
]
