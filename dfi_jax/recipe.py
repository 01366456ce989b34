"""The choices in which implementations of DFI differ, as one frozen dataclass, and the named combinations of them."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from dfi_jax.errors import InputError
from dfi_jax.vgg import DEFAULT_LAYERS

Network = Literal["raw", "normalized"]
Norm = Literal["none", "l2"]
VectorNorm = Literal["none", "unit", "unit_times_phi", "mean_square"]
Scope = Literal["layer", "concat"]
Loss = Literal["sum_squares", "mean_squares", "relative"]
Init = Literal["image", "noise", "previous"]
Bounds = Literal["none", "valid"]
Solver = Literal["lbfgs", "adam"]
Preconditioner = Literal["none", "vgg"]
Step = Literal["match_color", "cancel_residual", "transfer_difference", "mask"]


@dataclass(frozen=True)
class Recipe:
    """How features are normalised, what is minimised, from where, by what, and what is done to the result.

    Hashable, so that jit takes it as a static argument, and written into every result as JSON. φ are the features of
    the network, w the attribute vector, ‖·‖ the Euclidean norm over `norm_scope`.

    Attributes:
      network: `raw` weights, or `normalized` ones (Gatys et al. 2015), which the network given must then have.
      feature_norm: `none`, or `l2`: φ/‖φ‖ wherever features are used (Mahendran and Vedaldi 2015).
      vector_norm: w is moved along as it is (`none`), as w/‖w‖ (`unit`), ‖φ(x)‖·w/‖w‖ (`unit_times_phi`), or
        w/mean(w²) (`mean_square`).
      norm_scope: norms and means are of each `layer` by itself, or of all layers as one long vector (`concat`).
      loss: with d = φ(z) − target: `sum_squares` ½Σd²; `mean_squares` the sum over layers of mean(d²); `relative`
        the sum over layers of ½Σd²/‖φ(x)‖².
      tv_weight: λ, the weight of the total variation R(z) = Σ((Δh)² + (Δw)²)^(β/2) of the image in the network's own
        units (as `Preprocess` leaves it).
      tv_beta: β, 1 or more.
      layers: of the network.
      size: height and width that an image is resized to.
      init: from where z starts: the `image`, `noise` (uniform, ±10 grey levels of 255 around the weights' mean
        colour, the same for all), or the `previous` strength's result.
      noise_seed: of that noise.
      bounds: `valid` keeps every pixel of z in [0, 1]; `none` lets it go and clips the result.
      solver: `lbfgs` or `adam`.
      iterations: evaluations of the objective and its gradient, at most.
      tolerance: a problem is done when ten iterations lower its objective by less than this fraction; 0 never stops.
      memory: pairs that L-BFGS remembers.
      relaxation: what L-BFGS's steps are multiplied by.
      preconditioner: L-BFGS works on pixels (`none`), or on frequencies, colours and places scaled as they matter to a
        VGG (`vgg`, `preconditioner.to_image`).
      learning_rate: of Adam, on images in [0, 1].
      postprocess: steps in order, each once: `match_color` gives every channel the original's mean and deviation;
        `cancel_residual` also reconstructs α = 0 and subtracts its error; `transfer_difference` adds z − x, resized,
        to the photograph at its own size; `mask` keeps the edit inside the mask given.

    Raises:
      InputError: for a field outside of what is said here.
    """

    network: Network = "raw"
    feature_norm: Norm = "none"
    vector_norm: VectorNorm = "unit_times_phi"
    norm_scope: Scope = "layer"
    loss: Loss = "relative"
    tv_weight: float = 0.0
    tv_beta: float = 2.0
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200
    init: Init = "image"
    noise_seed: int = 0
    bounds: Bounds = "valid"
    solver: Solver = "lbfgs"
    iterations: int = 100
    tolerance: float = 0.0
    memory: int = 20
    relaxation: float = 1.3
    preconditioner: Preconditioner = "vgg"
    learning_rate: float = 0.02
    postprocess: tuple[Step, ...] = ("transfer_difference",)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), field.type)
        least = {"tv_weight": 0, "tv_beta": 1, "size": 16, "iterations": 1, "tolerance": 0, "memory": 1,
                 "noise_seed": 0}  # fmt: skip
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise InputError(f"recipe: {name} is {getattr(self, name)}; it should be {bound} or more.")
        for name in ("learning_rate", "relaxation"):
            if getattr(self, name) <= 0:
                raise InputError(f"recipe: {name} is {getattr(self, name)}; it should be more than 0.")
        for name in ("layers", "postprocess"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise InputError(f"recipe: {name} names one of {', '.join(getattr(self, name))} twice.")
        if "transfer_difference" in self.postprocess[:-1]:
            raise InputError("recipe: transfer_difference should be the last step of postprocess.")
        if not self.layers:
            raise InputError("recipe: layers is empty; name one layer at least.")

    def replace(self, **changes: Any) -> "Recipe":
        """This recipe with some fields changed."""
        unknown = set(changes) - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise InputError(f"a recipe has no field {', '.join(sorted(unknown))}; its fields are "
                             f"{', '.join(field.name for field in dataclasses.fields(self))}.")  # fmt: skip
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """The fields as a JSON object."""
        return json.dumps(dataclasses.asdict(self))


def _check_type(name: str, value: Any, expected: Any) -> None:
    if get_origin(expected) is Literal:
        if value not in get_args(expected):
            raise InputError(f"recipe: {name} is {value!r}; choose from {', '.join(get_args(expected))}.")
    elif get_origin(expected) is tuple:
        if not isinstance(value, tuple):
            raise InputError(f"recipe: {name} is {value!r}; it should be a tuple of names.")
        for item in value:
            _check_type(name, item, get_args(expected)[0])
    elif expected is str:
        if not isinstance(value, str):
            raise InputError(f"recipe: {name} has {value!r}; it should be a name.")
    else:
        numbers = (int,) if expected is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers) or not math.isfinite(value):
            raise InputError(f"recipe: {name} is {value!r}; it should be a finite {expected.__name__}.")


RECIPES = {
    "default": Recipe(),
    "chainer-dfi": Recipe(
        loss="mean_squares",
        tv_weight=100 / (3 * 200 * 200),
        init="noise",
        bounds="none",
        iterations=1000,
        memory=5,
        relaxation=1.0,
        preconditioner="none",
        postprocess=("match_color", "cancel_residual", "transfer_difference"),
    ),
}
"""Recipes by name."""


def named_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises InputError where there is none."""
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; choose from {', '.join(RECIPES)}.")
    return RECIPES[name]
