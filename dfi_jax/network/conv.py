"""How VGG's 3×3 convolution and 2×2 pooling are computed. Arrays are NHWC, kernels HWIO.

Two algorithms compute the convolution. Winograd's F(4×4, 3×3) cuts the image into tiles of 6 × 6
pixels, 4 apart, and turns the convolution into 36 matrix products with a quarter of the
multiplications; `vgg.prepare` chooses it for wide layers on a CPU. All other convolutions are
computed directly, by the vendor's library. The algorithm and the precision are decided once, when
`make_filters` turns a kernel into `Filters`, so jit, vmap and grad all see the same function. The
gradient is taken with respect to images only.

References:
  Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
  https://arxiv.org/abs/1509.09308 (the matrices B, G and A).
"""

import operator
from functools import partial, reduce
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import PoolRounding

Precision = Literal["highest", "tf32", "bfloat16"]
"""Precision of convolution operands: images or gradients, and kernels.

`highest` keeps float32; `tf32` and `bfloat16` round to 10 and 7 mantissa bits, to nearest, ties to
even. Accumulation is always float32.

Operands are rounded explicitly on every platform, so a precision gives the same numbers everywhere,
up to the order of summation. The rounded numbers then permit a faster implementation: `tf32` asks
for `lax.Precision.HIGH`, which JAX documents as TF32 on GPUs that have it, and `bfloat16` passes
bfloat16 operands except on a CPU. On a CPU, rounding just costs time. On an H200, a value and
gradient takes 1.12 milliseconds per face at `highest` and 0.21 at `tf32` (VGG-16, 64 faces of
200 × 200, jax 0.11.2). In XLA's sources, NVIDIA GPUs have no convolution from bfloat16 to float32
and fall back to float32, so `bfloat16` is unlikely to be faster there than `tf32`; it hasn't been
measured.
"""

_MANTISSA_BITS: dict[Precision, int] = {"tf32": 10, "bfloat16": 7}

WINOGRAD_WIDTH = 64
"""The smallest number of input and output channels for which Winograd's algorithm is faster
(VGG-19, 200 × 200 pixels, 2 CPU cores)."""

# Bᵀ, 6 × 6, transforms the image.
_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)

# G, 6 × 3, transforms the kernel.
_G = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32
) / np.float32(24)

# Aᵀ, 4 × 6, transforms the products.
_A = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float32,
)


@struct.dataclass
class Filters:
    """A kernel made ready for convolutions with images and for their gradient.

    Attributes:
      forward: Kernel, (3, 3, ci, co); for Winograd's algorithm, 36 matrices (ci, co).
      backward: The kernel rotated by 180° with its channels exchanged, in the same form.
        Convolving with it is the gradient of convolving with the kernel.
      precision: Precision that the kernel was rounded to; images will be rounded to it, too.
    """

    forward: Any
    backward: Any
    precision: Precision = struct.field(pytree_node=False, default="highest")

    @property
    def winograd(self) -> bool:
        """Whether the kernel is transformed for Winograd's algorithm."""
        return isinstance(self.forward, tuple)


def check_precision(name: str) -> Precision:
    """Returns the precision of that name.

    Raises:
      InputError: If no precision has that name.

    >>> check_precision("tf32")
    'tf32'
    """
    for precision in get_args(Precision):
        if name == precision:
            return precision
    raise InputError(
        f"the precision {name!r} doesn't exist; choose from {', '.join(get_args(Precision))}."
    )


def make_filters(
    kernel: Float[Array, "3 3 ci co"], *, winograd: bool = False, precision: Precision = "highest"
) -> Filters:
    """Makes a kernel ready for `conv3x3`.

    Args:
      kernel: Kernel, HWIO.
      winograd: Whether to transform the kernel for Winograd's algorithm if it is wide enough for
        that to be faster. The algorithm transforms operands that are already rounded, so it
        approximates the direct convolution of the same precision.
      precision: Precision of the operands.

    >>> make_filters(jnp.ones((3, 3, 3, 64)), winograd=True).winograd  # 3 channels are too few
    False
    """
    kernel = _round(kernel, precision)
    rotated = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    if winograd and min(kernel.shape[2:]) >= WINOGRAD_WIDTH:
        return Filters(_transform_kernel(kernel), _transform_kernel(rotated), precision)
    return Filters(kernel, rotated, precision)


@jax.custom_vjp
def conv3x3(x: Float[Array, "n h w ci"], filters: Filters) -> Float[Array, "n h w co"]:
    """Cross-correlates x with a 3×3 kernel: stride 1, zero padding, same height and width.

    The gradient with respect to x is a convolution of the same precision. The gradient with respect
    to the filters is never computed.

    >>> conv3x3(jnp.ones((1, 3, 3, 1)), make_filters(jnp.ones((3, 3, 1, 1))))[0, ..., 0].tolist()
    [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
    """
    return _convolve(x, filters.forward, filters.precision)


def _forward(x: Array, filters: Filters) -> tuple[Array, Filters]:
    return _convolve(x, filters.forward, filters.precision), filters


def _backward(filters: Filters, gradient: Array) -> tuple[Array, None]:
    return _convolve(gradient, filters.backward, filters.precision), None


conv3x3.defvjp(_forward, _backward)


def max_pool2x2(
    x: Float[Array, "n h w c"], rounding: PoolRounding = "down"
) -> Float[Array, "n _ _ c"]:
    """Computes the maximum over 2×2 windows with stride 2.

    An odd last row or column is dropped if sizes are rounded `down`, as in torchvision's networks.
    If they are rounded `up`, as in Caffe's and Chainer's, it has windows of its own, which are cut
    at the border.

    The maximum is taken over reshaped axes rather than with `lax.reduce_window`, whose gradient is
    a scatter that makes an optimisation step take 1.1 times as long (VGG-16, 200 × 200 pixels,
    2 CPU cores). Ties share the gradient equally, whereas PyTorch gives all of it to the first.
    After a ReLU, nearly all ties are zeros, and the ReLU stops their gradient.

    >>> max_pool2x2(jnp.arange(15.0).reshape(1, 3, 5, 1))[0, ..., 0].tolist()
    [[6.0, 8.0]]
    >>> max_pool2x2(jnp.arange(15.0).reshape(1, 3, 5, 1), "up")[0, ..., 0].tolist()
    [[6.0, 8.0, 9.0], [11.0, 13.0, 14.0]]
    """
    return jnp.max(_windows(x, rounding), axis=(2, 4))


def average_pool2x2(
    x: Float[Array, "n h w c"], rounding: PoolRounding = "down"
) -> Float[Array, "n _ _ c"]:
    """Computes the mean over the same windows as `max_pool2x2`.

    >>> average_pool2x2(jnp.arange(15.0).reshape(1, 3, 5, 1))[0, ..., 0].tolist()
    [[3.0, 5.0]]
    """
    return jnp.mean(_windows(x, rounding), axis=(2, 4))


def _windows(x: Float[Array, "n h w c"], rounding: PoolRounding) -> Float[Array, "n _ 2 _ 2 c"]:
    if rounding == "up":
        # A window that is cut at the border has its own values twice, which changes neither their
        # maximum, nor their mean, nor the gradient of either.
        odd = [(0, size % 2) for size in x.shape[1:3]]
        x = jnp.pad(x, ((0, 0), *odd, (0, 0)), mode="edge")
    n, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)


def _round(x: Array, precision: Precision) -> Array:
    if precision == "highest":
        return x
    # XLA may remove a cast to a narrower type and back, but not this.
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=_MANTISSA_BITS[precision])


def _convolve(x: Array, kernel: Any, precision: Precision) -> Array:
    x = _round(x, precision)
    if isinstance(kernel, tuple):
        return _winograd(x, kernel)
    if precision == "bfloat16":
        return lax.platform_dependent(x, kernel, cpu=_direct, default=_direct_bfloat16)
    return _direct(x, kernel, precision="highest" if precision == "highest" else "high")


_direct = partial(
    lax.conv_general_dilated,
    window_strides=(1, 1),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
)


def _direct_bfloat16(x: Array, kernel: Array) -> Array:
    return _direct(
        x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), preferred_element_type=x.dtype
    )


def _transform_kernel(kernel: Float[Array, "3 3 ci co"]) -> tuple[Float[Array, "ci co"], ...]:
    """Returns G·g·Gᵀ for every pair of channels."""
    transformed = jnp.einsum("ai,bj,ijco->abco", _G, _G, kernel, precision="highest")
    return tuple(transformed[a, b] for a in range(6) for b in range(6))


def _winograd(
    x: Float[Array, "n h w ci"], kernel: tuple[Float[Array, "ci co"], ...]
) -> Float[Array, "n h w co"]:
    """Returns Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A over tiles d of x."""
    n, h, w, c = x.shape
    down, across = -(-h // 4), -(-w // 4)
    padded = jnp.pad(x, ((0, 0), (1, 4 * down - h + 1), (1, 4 * across - w + 1), (0, 0)))
    rows = _combine(_B, [padded[:, a : a + 4 * down - 3 : 4] for a in range(6)])
    # Without the barrier, XLA recomputes each sum over rows for every sum over columns, and an
    # optimisation step takes 1.2 times as long (VGG-19, 200 × 200 pixels, 2 CPU cores, jax 0.10.2).
    rows = lax.optimization_barrier(rows)
    tiles = [
        _combine(_B, [row[:, :, b : b + 4 * across - 3 : 4].reshape(-1, c) for b in range(6)])
        for row in rows
    ]
    # The 36 products stay separate arrays because XLA runs them in parallel; one batched product of
    # stacked matrices takes 1.2 to 1.8 times as long.
    products = [
        [jnp.matmul(tiles[a][b], kernel[6 * a + b], precision="highest") for b in range(6)]
        for a in range(6)
    ]
    columns = [_combine(_A, [products[a][b] for a in range(6)]) for b in range(6)]
    pixels = [_combine(_A, [columns[b][i] for b in range(6)]) for i in range(4)]
    width = kernel[0].shape[1]
    shape = (n, down, across, width)
    blocks = jnp.stack(
        [jnp.stack([p.reshape(shape) for p in row], axis=3) for row in pixels], axis=2
    )
    return blocks.reshape(n, 4 * down, 4 * across, width)[:, :h, :w]


def _combine(matrix: Float[np.ndarray, "i j"], parts: list[Array]) -> list[Array]:
    """Returns the matrix times the parts, skipping zeros and multiplications by 1."""

    def combine(row: Float[np.ndarray, " j"]) -> Array:
        pairs = zip(row, parts, strict=True)
        terms = (part if factor == 1 else factor * part for factor, part in pairs if factor)
        return reduce(operator.add, terms)

    return [combine(row) for row in matrix]
