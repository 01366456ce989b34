"""The VGG trunk: images in, named post-ReLU activations out, nothing computed beyond the deepest layer asked for.

Images are float32 NHWC, RGB, in [0, 1]. What a set of weights was trained on (channel order, range, mean, deviation)
is its `Preprocess` and is applied here, before conv1_1.

Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
https://arxiv.org/abs/1409.1556.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from dfi_jax.conv import Filters, Precision, average_pool2x2, check_precision, conv3x3, make_filters, max_pool2x2
from dfi_jax.errors import InputError

ARCHITECTURES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each of the five blocks; a pooling stands between two blocks."""

WIDTHS = (64, 128, 256, 512, 512)
"""Filters of each convolution in a block."""

DEFAULT_LAYERS = ("conv3_1", "conv4_1", "conv5_1")
"""The layers that the DFI paper moves."""

Pooling = Literal["max", "average"]
"""`max` as the networks were trained, or `average` as Gatys et al. (2015) prefer it for images made from features."""

Features = dict[str, Array]
"""Activations by layer name, each (n, h, w, c), or (h, w, c) for one image or for an attribute vector."""


@dataclass(frozen=True)
class Preprocess:
    """What a network's weights want: `(scale · rgb − mean) / std`, channels reversed first where they are BGR.

    `mean` and `std` are in the network's own channel order and in units of `scale` (1 or 255).
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1.0
    bgr: bool = False

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        """Turns RGB images in [0, 1] into what conv1_1 expects."""
        if self.bgr:
            images = images[..., ::-1]
        return (self.scale * images - jnp.asarray(self.mean)) / jnp.asarray(self.std)

    @property
    def mean_rgb(self) -> tuple[float, float, float]:
        """The mean colour as RGB in [0, 1]."""
        r, g, b = (m / self.scale for m in (self.mean[::-1] if self.bgr else self.mean))
        return r, g, b


@struct.dataclass
class VGG:
    """A network: an architecture's parameters and how its images are prepared. A pytree; only `params` are arrays.

    Attributes:
      params: `{"conv1_1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, …}`.
      architecture: a key of `ARCHITECTURES`.
      preprocess: what the weights were trained on.
      name: what `load_vgg` was asked for.
      sha256: of the file the parameters came from, or of the parameters where there is none.
      normalized: whether the filters are rescaled as by Gatys et al. (2015).
      pooling: what stands between two blocks.
      precision: of the convolutions, as `conv.Precision` says; `vgg.replace(precision="tf32")` is the network at
        another one.
      filters: `{layer: conv.Filters}`, where `prepare` has made them; those of another precision aren't used.

    Raises:
      InputError: for a precision that there isn't.
    """

    params: Any
    architecture: str = struct.field(pytree_node=False)
    preprocess: Preprocess = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False)
    sha256: str = struct.field(pytree_node=False)
    normalized: bool = struct.field(pytree_node=False, default=False)
    pooling: Pooling = struct.field(pytree_node=False, default="max")
    precision: Precision = struct.field(pytree_node=False, default="highest")
    filters: Any = None

    def __post_init__(self) -> None:
        check_precision(self.precision)

    def identity(self) -> dict[str, Any]:
        """All that the features of an image depend on, for JSON."""
        preprocess = dataclasses.asdict(self.preprocess)
        return {"sha256": self.sha256, "architecture": self.architecture, "pooling": self.pooling,
                "normalized": self.normalized, "precision": self.precision, "preprocess": preprocess}  # fmt: skip


class Conv3x3(nn.Module):
    """A 3×3 convolution with a bias."""

    width: int
    precision: Precision = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, x.shape[-1], self.width))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,))
        made = self.has_variable("filters", "filters")
        filters = self.get_variable("filters", "filters") if made else make_filters(kernel, precision=self.precision)
        return conv3x3(x, filters) + bias


class Trunk(nn.Module):
    """The convolutions of a VGG up to the deepest of `layers`; returns the post-ReLU activations of each."""

    architecture: str
    layers: tuple[str, ...]
    pooling: Pooling = "max"
    precision: Precision = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> Features:
        pool = {"max": max_pool2x2, "average": average_pool2x2}[self.pooling]
        found: Features = {}
        for name in trunk_layers(self.architecture, self.layers):
            if name.endswith("_1") and name != "conv1_1":
                x = pool(x)
            x = nn.relu(Conv3x3(WIDTHS[block_of(name)], self.precision, name=name)(x))
            if name in self.layers:
                found[name] = x
        return {name: found[name] for name in self.layers}


def layer_names(architecture: str) -> tuple[str, ...]:
    """Names of all convolutions, `conv1_1` first."""
    return tuple(f"conv{b}_{i}" for b, n in enumerate(ARCHITECTURES[architecture], 1) for i in range(1, n + 1))


def block_of(name: str) -> int:
    """The block of a layer, counted from 0, which is also how many poolings come before it."""
    return int(name[4]) - 1


def check_layers(architecture: str, layers: Sequence[str]) -> None:
    """Raises InputError unless `layers` names one or more different convolutions of the architecture."""
    names = layer_names(architecture)
    if not layers or len(set(layers)) != len(layers):
        raise InputError(f"layers {list(layers)} should name one or more layers, each once.")
    for layer in layers:
        if layer not in names:
            raise InputError(f"{architecture} has no layer {layer!r}; its layers are {', '.join(names)}.")


def trunk_layers(architecture: str, layers: Sequence[str]) -> tuple[str, ...]:
    """Names of all convolutions up to the deepest of `layers`."""
    names = layer_names(architecture)
    return names[: 1 + max(names.index(layer) for layer in layers)]


def feature_shapes(architecture: str, layers: Sequence[str], size: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
    """(h, w, c) of each layer's activations for images of `size` (height, width)."""
    height, width = size
    return {
        name: (height >> block_of(name), width >> block_of(name), WIDTHS[block_of(name)])
        for name in layers
    }  # fmt: skip


def prepare(vgg: VGG, *, layers: tuple[str, ...] = DEFAULT_LAYERS) -> VGG:
    """The network with its kernels made ready, once, for many evaluations of `features` and their gradients.

    On a CPU they are transformed for Winograd's algorithm, which takes 8 times the memory of the kernels; features are
    the same to about 1e-5.
    """
    names = [name for name in trunk_layers(vgg.architecture, layers) if name in vgg.params]
    kernels = {name: vgg.params[name]["kernel"] for name in names}
    made = _prepare(kernels, winograd=jax.default_backend() == "cpu", precision=vgg.precision)
    return dataclasses.replace(vgg, filters=made)


@partial(jax.jit, static_argnames=("winograd", "precision"))
def _prepare(kernels: dict[str, Array], *, winograd: bool, precision: Precision) -> dict[str, Filters]:
    return {name: make_filters(kernel, winograd=winograd, precision=precision) for name, kernel in kernels.items()}


@partial(jax.jit, static_argnames="layers")
def features(
    vgg: VGG, images: Float[Array, "n h w 3"], *, layers: tuple[str, ...] = DEFAULT_LAYERS
) -> dict[str, Float[Array, "n _ _ _"]]:
    """Post-ReLU activations φ(x) of the named layers.

    Args:
      vgg: the network, as `load_vgg` gives it.
      images: RGB in [0, 1].
      layers: any of `conv1_1` … `conv5_4` (`conv5_3` in VGG-16).

    Returns:
      `{layer: (n, ⌊h/2ᵇ⌋, ⌊w/2ᵇ⌋, c)}` with b poolings before the layer.

    Raises:
      InputError: for a layer that the network hasn't, or an image too small to reach the deepest layer.
    """
    check_layers(vgg.architecture, layers)
    smallest = 1 << max(block_of(layer) for layer in layers)
    if min(images.shape[1:3]) < smallest:
        raise InputError(
            f"images of {images.shape[1]} × {images.shape[2]} pixels are too small for {', '.join(layers)}; "
            f"give at least {smallest} × {smallest}."
        )
    needed = trunk_layers(vgg.architecture, layers)
    if needed[-1] not in vgg.params:
        raise InputError(f"{vgg.name}'s weights end at {list(vgg.params)[-1]}; ask for layers up to there.")
    params = {name: vgg.params[name] for name in needed}
    made = {name: made for name, made in (vgg.filters or {}).items() if made.precision == vgg.precision}
    filters = {name: {"filters": made[name]} for name in needed if name in made}
    trunk = Trunk(vgg.architecture, layers, vgg.pooling, vgg.precision)
    return trunk.apply({"params": params, "filters": filters}, vgg.preprocess(images))  # type: ignore[return-value]
