"""The convolutional part of VGG: images in, named post-ReLU activations out.

Nothing is computed beyond the deepest layer asked for. Images are float32 NHWC, RGB, in [0, 1]. The
`Preprocess` of a network converts them to what its weights were trained on (channel order, range,
mean, standard deviation) before conv1_1.

References:
  Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
  ICLR 2015, https://arxiv.org/abs/1409.1556.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.network.conv import (
    Filters,
    Precision,
    average_pool2x2,
    check_precision,
    conv3x3,
    make_filters,
    max_pool2x2,
)
from dfi_jax.recipe.features import DEFAULT_LAYERS as DEFAULT_LAYERS
from dfi_jax.recipe.features import Features as Features
from dfi_jax.recipe.features import PoolRounding

ARCHITECTURES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""The number of convolutions in each of the five blocks. A pooling separates two blocks."""

WIDTHS = (64, 128, 256, 512, 512)
"""The number of filters of each convolution, by block."""

Pooling = Literal["max", "average"]
"""The pooling between two blocks: `max`, as the networks were trained, or `average`, which Gatys et
al. (2015) prefer for images made from features."""


@dataclass(frozen=True)
class Preprocess:
    """Conversion of images to a network's input: `(scale · rgb − mean) / std`.

    Attributes:
      mean: Mean of each channel, in the network's channel order and in units of `scale`.
      std: Standard deviation of each channel, in the same order and units.
      scale: Largest pixel value, 1 or 255.
      bgr: Whether the network's channel order is BGR.

    >>> preprocess = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> preprocess(jnp.ones((1, 1, 1, 3))).ravel().tolist()
    [2.0, 2.0, 2.0]
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1.0
    bgr: bool = False

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        """Converts RGB images in [0, 1] to the input of conv1_1."""
        if self.bgr:
            images = images[..., ::-1]
        mean, std = (jnp.asarray([[[each]]], images.dtype) for each in (self.mean, self.std))
        return (self.scale * images - mean) / std

    @property
    def mean_rgb(self) -> tuple[float, float, float]:
        """The mean colour as RGB in [0, 1]."""
        r, g, b = (m / self.scale for m in (self.mean[::-1] if self.bgr else self.mean))
        return r, g, b

    @property
    def unit_rgb(self) -> tuple[float, float, float]:
        """One unit of the network's input, as a difference of RGB in [0, 1]."""
        r, g, b = (s / self.scale for s in (self.std[::-1] if self.bgr else self.std))
        return r, g, b


@struct.dataclass(kw_only=True)
class VGG:
    """A network: its parameters, and how images are prepared for it.

    It is a pytree in which only `params` and `filters` hold arrays. `vgg.replace(precision="tf32")`
    returns a copy with another precision.

    Attributes:
      params: Parameters by layer: `{"conv1_1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, …}`.
      architecture: Name of the architecture, a key of `ARCHITECTURES`.
      preprocess: Conversion of images to the input of conv1_1.
      name: Name or file name that `load_vgg` was given.
      sha256: SHA-256 of the file that the parameters came from, or of the parameters themselves if
        they came from no file.
      normalized: Whether every filter is rescaled to a mean activation of 1 (Gatys et al. 2015).
      pooling: Pooling between two blocks.
      precision: Precision of the convolutions' operands.
      filters: Kernels that `prepare` has made ready, by layer, or None. Filters whose precision
        isn't the network's are ignored.

    Raises:
      InputError: If the precision doesn't exist.
    """

    params: Any = struct.field(repr=False)
    architecture: str = struct.field(pytree_node=False)
    preprocess: Preprocess = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False)
    sha256: str = struct.field(pytree_node=False)
    normalized: bool = struct.field(pytree_node=False, default=False)
    pooling: Pooling = struct.field(pytree_node=False, default="max")
    precision: Precision = struct.field(pytree_node=False, default="highest")
    filters: Any = struct.field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_precision(self.precision)

    def identity(self) -> dict[str, Any]:
        """Returns all that the features of an image depend on, in a form that JSON can hold.

        >>> from dfi_jax.network.weights import load_vgg
        >>> identity = load_vgg("random-vgg16").identity()
        >>> identity["architecture"], identity["precision"]
        ('vgg16', 'highest')
        """
        return {
            "sha256": self.sha256,
            "architecture": self.architecture,
            "pooling": self.pooling,
            "normalized": self.normalized,
            "precision": self.precision,
            "preprocess": dataclasses.asdict(self.preprocess),
        }

    @property
    def convolution(self) -> Literal["winograd", "direct"]:
        """How convolutions are computed: `winograd` if `prepare` has transformed their filters."""
        filters = self._usable_filters().values()
        return "winograd" if any(each.winograd for each in filters) else "direct"

    def _usable_filters(self) -> dict[str, Filters]:
        filters: dict[str, Filters] = self.filters or {}
        return {name: each for name, each in filters.items() if each.precision == self.precision}


class Conv3x3(nn.Module):
    """A 3×3 convolution with a bias.

    Attributes:
      width: Number of filters.
      precision: Precision of the operands.
    """

    width: int
    precision: Precision = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, x.shape[-1], self.width))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,))
        if self.has_variable("filters", "filters"):
            filters: Filters = self.get_variable("filters", "filters")
        else:
            filters = make_filters(kernel, precision=self.precision)
        return conv3x3(x, filters) + bias[None, None, None]


class Trunk(nn.Module):
    """The convolutions of a VGG up to the deepest of `layers`.

    Attributes:
      architecture: Name of the architecture, a key of `ARCHITECTURES`.
      layers: Names of the layers whose post-ReLU activations are returned.
      pooling: Pooling between two blocks.
      pool_rounding: How a pooling rounds half of an odd size.
      precision: Precision of the convolutions' operands.
    """

    architecture: str
    layers: tuple[str, ...]
    pooling: Pooling = "max"
    pool_rounding: PoolRounding = "down"
    precision: Precision = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> Features:
        pool = {"max": max_pool2x2, "average": average_pool2x2}[self.pooling]
        found: Features = {}
        for name in trunk_layers(self.architecture, self.layers):
            if name.endswith("_1") and name != "conv1_1":
                x = pool(x, self.pool_rounding)
            x = nn.relu(Conv3x3(WIDTHS[block_number(name)], self.precision, name=name)(x))
            if name in self.layers:
                found[name] = x
        return {name: found[name] for name in self.layers}


def layer_names(architecture: str) -> tuple[str, ...]:
    """Returns the names of all convolutions, shallowest first.

    >>> layer_names("vgg16")[:3]
    ('conv1_1', 'conv1_2', 'conv2_1')
    """
    return tuple(
        f"conv{block}_{i}"
        for block, convolutions in enumerate(ARCHITECTURES[architecture], 1)
        for i in range(1, convolutions + 1)
    )


def block_number(name: str) -> int:
    """Returns the block of a layer, counted from 0: the number of poolings before the layer.

    >>> block_number("conv3_1")
    2
    """
    return int(name[4]) - 1


def check_layers(architecture: str, layers: Sequence[str]) -> None:
    """Checks that `layers` names one or more different convolutions of the architecture.

    Raises:
      InputError: If it doesn't.

    >>> check_layers("vgg19", ["conv3_1", "conv5_4"])
    """
    names = layer_names(architecture)
    if isinstance(layers, str):
        raise InputError(f"the layers are the text {layers!r}; give a list, such as [{layers!r}].")
    if not layers or len(set(layers)) != len(layers):
        raise InputError(f"the layers are {list(layers)}; name one or more layers, each once.")
    for layer in layers:
        if layer not in names:
            raise InputError(
                f"{architecture} has no layer {layer!r}; its layers are {', '.join(names)}."
            )


def trunk_layers(architecture: str, layers: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of all convolutions up to the deepest of `layers`.

    >>> trunk_layers("vgg16", ["conv2_1", "conv1_1"])
    ('conv1_1', 'conv1_2', 'conv2_1')
    """
    names = layer_names(architecture)
    return names[: 1 + max(names.index(layer) for layer in layers)]


def feature_shapes(
    architecture: str,
    layers: Sequence[str],
    size: tuple[int, int],
    *,
    pool_rounding: PoolRounding = "down",
) -> dict[str, tuple[int, int, int]]:
    """Returns the shape (h, w, c) of each layer's activations for images of one size.

    Args:
      architecture: Name of the architecture.
      layers: Names of layers.
      size: (height, width) of the images.
      pool_rounding: How each pooling rounds half of an odd size.

    >>> feature_shapes("vgg16", ["conv5_1"], (200, 200))
    {'conv5_1': (12, 12, 512)}
    >>> feature_shapes("vgg16", ["conv5_1"], (200, 200), pool_rounding="up")
    {'conv5_1': (13, 13, 512)}
    """
    shapes = {}
    for name in layers:
        block = block_number(name)
        # Halving b times and rounding each time is the same as rounding once at the end.
        up = (1 << block) - 1 if pool_rounding == "up" else 0
        height, width = ((side + up) >> block for side in size)
        shapes[name] = (height, width, WIDTHS[block])
    return shapes


def prepare(
    vgg: VGG, *, layers: Sequence[str] = DEFAULT_LAYERS, winograd: bool | None = None
) -> VGG:
    """Returns the network with its kernels made ready for many evaluations of `features`.

    Winograd's algorithm needs transformed kernels, which take 8 times the memory of the kernels.
    Features then differ by about 1e-5 of their norm.

    Args:
      vgg: Network.
      layers: Names of the layers that `features` will be asked for.
      winograd: Whether Winograd's algorithm is used, by default on a CPU only.

    Raises:
      InputError: If the network has no such layer.

    >>> from dfi_jax.network.weights import load_vgg
    >>> prepared = prepare(load_vgg("random-vgg16"), layers=("conv1_1",))
    >>> list(prepared.filters)
    ['conv1_1']
    """
    check_layers(vgg.architecture, layers)
    names = [name for name in trunk_layers(vgg.architecture, layers) if name in vgg.params]
    kernels = {name: vgg.params[name]["kernel"] for name in names}
    if winograd is None:
        winograd = jax.default_backend() == "cpu"
    filters = _prepare(kernels, winograd=winograd, precision=vgg.precision)
    return dataclasses.replace(vgg, filters=filters)


@partial(jax.jit, static_argnames=("winograd", "precision"))
def _prepare(
    kernels: dict[str, Array], *, winograd: bool, precision: Precision
) -> dict[str, Filters]:
    return {
        name: make_filters(kernel, winograd=winograd, precision=precision)
        for name, kernel in kernels.items()
    }


def check_images(vgg: VGG, images: Array) -> Float[Array, "n h w 3"]:
    """Returns images in the type of the network's parameters.

    Raises:
      InputError: If the images aren't floats of the shape (n, h, w, 3).

    >>> from dfi_jax.network.weights import load_vgg
    >>> check_images(load_vgg("random-vgg16"), jnp.zeros((1, 8, 8, 3), jnp.float16)).dtype
    dtype('float32')
    """
    is_float = jnp.issubdtype(images.dtype, jnp.floating)
    if not is_float or images.ndim != 4 or images.shape[3] != 3:
        raise InputError(
            f"the images are {images.dtype} of the shape {images.shape}; give floats in [0, 1] of "
            f"the shape (n, height, width, 3)."
        )
    return images.astype(vgg.params["conv1_1"]["kernel"].dtype)


def features(
    vgg: VGG,
    images: Float[Array | np.ndarray, "n h w 3"],
    *,
    layers: Sequence[str] = DEFAULT_LAYERS,
    pool_rounding: PoolRounding = "down",
) -> dict[str, Float[Array, "n _ _ _"]]:
    """Computes the post-ReLU activations φ(x) of the named layers.

    They have gradients with respect to images, as `jax.grad` and `jax.vjp` compute them, but no
    forward derivatives (`jax.jvp`). The network is a constant: gradients with respect to its
    parameters are 0.

    Args:
      vgg: Network.
      images: RGB images in [0, 1], of any floating type. They are converted to that of the
        network's parameters.
      layers: Names of layers, from `conv1_1` to `conv5_3` (VGG-16) or `conv5_4` (VGG-19).
      pool_rounding: How each pooling rounds half of an odd size: `down`, which drops the last row
        or column, or `up`.

    Returns:
      `{layer: (n, ⌊h/2ᵇ⌋, ⌊w/2ᵇ⌋, c)}`, with b poolings before the layer; with ⌈ ⌉ for `up`.

    Raises:
      InputError: If the network has no such layer, or the images are too small to reach it or
        aren't floats.

    >>> from dfi_jax.network.weights import load_vgg
    >>> phi = features(load_vgg("random-vgg16"), jnp.zeros((1, 20, 20, 3)), layers=["conv1_1"])
    >>> phi["conv1_1"].shape
    (1, 20, 20, 64)
    """
    check_layers(vgg.architecture, layers)
    return _features(vgg, images, layers=tuple(layers), pool_rounding=pool_rounding)


@partial(jax.jit, static_argnames=("layers", "pool_rounding"))
def _features(
    vgg: VGG, images: Array, *, layers: tuple[str, ...], pool_rounding: PoolRounding
) -> dict[str, Float[Array, "n _ _ _"]]:
    images = check_images(vgg, images)
    deepest = max(block_number(layer) for layer in layers)
    smallest = 1 if pool_rounding == "up" else 1 << deepest
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise InputError(
            f"images of {width} × {height} pixels are too small for {', '.join(layers)}; "
            f"give at least {smallest} × {smallest}."
        )
    needed = trunk_layers(vgg.architecture, layers)
    if needed[-1] not in vgg.params:
        raise InputError(
            f"the weights of {vgg.name} end at {list(vgg.params)[-1]}, before {needed[-1]}; "
            "choose shallower layers."
        )
    params = {name: vgg.params[name] for name in needed}
    prepared = vgg._usable_filters()
    filters = {name: {"filters": prepared[name]} for name in needed if name in prepared}
    trunk = Trunk(vgg.architecture, layers, vgg.pooling, pool_rounding, vgg.precision)
    # The kernels have no gradient (`conv3x3`), so the biases have none either.
    variables = lax.stop_gradient({"params": params, "filters": filters})
    return trunk.apply(variables, vgg.preprocess(images))  # type: ignore[return-value]
