"""How VGG's two operations, the 3×3 convolution and the 2×2 pooling, are lowered. Arrays are NHWC, kernels HWIO.

On a CPU, and where `vgg.prepare` asks for it, a convolution between wide layers is Winograd's F(4×4, 3×3): tiles of
6 × 6 pixels, 4 apart, become 36 products of matrices, a quarter of the multiplications. Otherwise it is the vendor's.
Which of them it is, and how precise, is decided once, when a kernel becomes `Filters`, so that jit, vmap and grad see
one function; its gradient is that of the images alone.

References: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
https://arxiv.org/abs/1509.09308, whose matrices B, G and A these are.
"""

from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float

from dfi_jax.errors import InputError

Precision = Literal["highest", "tf32", "bfloat16"]
"""Of a convolution's operands, the image's or gradient's and the kernel's: float32 as they are, or rounded to nearest,
ties to even, to the 10 bits of TF32 after the leading one, or to bfloat16's 7. Their sums are float32 always.

The rounding is explicit on every platform, so that a precision means the same numbers everywhere, up to the order of
sums. The vendor is then free to take the fast way: `lax.Precision.HIGH`, which JAX documents as TF32 on GPUs that have
it, and for `bfloat16`, but on a CPU, operands of that type. That was measured on CPUs alone, where it only costs time;
what a GPU makes of it isn't verified. XLA's sources have no convolution of bfloat16 into float32 on NVIDIA's GPUs and
would compute it as one of float32, so expect no more speed there than from `tf32`.
"""

_BITS: dict[Precision, int] = {"tf32": 10, "bfloat16": 7}

WINOGRAD_WIDTH = 64
"""Channels, in and out, from which Winograd's algorithm is the faster one (VGG-19, 200 × 200, 2 CPU cores)."""

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
)  # of the image, 6 × 6
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32) / 24
"""Of the kernel, 6 × 3."""

_A = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32
)  # of the products, 4 × 6


@struct.dataclass
class Filters:
    """A kernel made ready for convolution with images and for the gradient of that.

    Attributes:
      forward: the kernel, (3, 3, ci, co); or, for Winograd's algorithm, 36 matrices (ci, co).
      backward: the same of the kernel turned by 180° with its channels exchanged: a convolution with it is the
        gradient of a convolution with the kernel.
      precision: what the kernel was rounded to, and images will be.
    """

    forward: Any
    backward: Any
    precision: Precision = struct.field(pytree_node=False, default="highest")


def check_precision(name: str) -> Precision:
    """The name, if there is such a precision; raises InputError otherwise."""
    for precision in get_args(Precision):
        if name == precision:
            return precision
    raise InputError(f"there is no precision {name!r}; choose from {', '.join(get_args(Precision))}.")


def make_filters(
    kernel: Float[Array, "3 3 ci co"], *, winograd: bool = False, precision: Precision = "highest"
) -> Filters:
    """Makes a kernel ready, for the vendor's convolution or, where it is asked for and pays, for Winograd's.

    Winograd's transforms a kernel and images that are rounded already, and so approximates the direct convolution of
    the same precision.
    """
    kernel = _round(kernel, precision)
    turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    if winograd and min(kernel.shape[2:]) >= WINOGRAD_WIDTH:
        return Filters(_transform_kernel(kernel), _transform_kernel(turned), precision)
    return Filters(kernel, turned, precision)


@jax.custom_vjp
def conv3x3(x: Float[Array, "n h w ci"], filters: Filters) -> Float[Array, "n h w co"]:
    """Cross-correlation of x with a 3×3 kernel, stride 1, zeros beyond the border, same height and width.

    Its gradient is that of x alone, which is a convolution too, of the same precision; none of the filters is ever
    computed.
    """
    return _convolve(x, filters.forward, filters.precision)


def _forward(x: Array, filters: Filters) -> tuple[Array, Filters]:
    return _convolve(x, filters.forward, filters.precision), filters


def _backward(filters: Filters, gradient: Array) -> tuple[Array, None]:
    return _convolve(gradient, filters.backward, filters.precision), None


conv3x3.defvjp(_forward, _backward)


def max_pool2x2(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """Maximum over 2×2 windows, stride 2; an odd last row or column is dropped, as VGG's pooling does.

    A maximum over reshaped axes, not `lax.reduce_window`: the gradient of the latter is a scatter, and the whole
    step is 1.1 times slower with it (VGG-16, 200 × 200, 2 CPU cores). Ties share the gradient equally, where PyTorch
    gives all of it to the first; after a ReLU nearly all ties are zeros, whose gradient the ReLU stops.
    """
    return jnp.max(_windows(x), axis=(2, 4))


def average_pool2x2(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """Mean over the same windows."""
    return jnp.mean(_windows(x), axis=(2, 4))


def _windows(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 2 w//2 2 c"]:
    n, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)


def _round(x: Array, precision: Precision) -> Array:
    """A cast there and back wouldn't do: XLA is free to leave it out."""
    return x if precision == "highest" else lax.reduce_precision(x, exponent_bits=8, mantissa_bits=_BITS[precision])


def _convolve(x: Array, kernel: Any, precision: Precision) -> Array:
    x = _round(x, precision)
    if isinstance(kernel, tuple):
        return _winograd(x, kernel)
    if precision == "bfloat16":
        return lax.platform_dependent(x, kernel, cpu=_direct, default=_direct_bfloat16)
    return _direct(x, kernel, precision="highest" if precision == "highest" else "high")


_direct = partial(
    lax.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
)


def _direct_bfloat16(x: Array, kernel: Array) -> Array:
    return _direct(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), preferred_element_type=x.dtype)


def _transform_kernel(kernel: Float[Array, "3 3 ci co"]) -> tuple[Float[Array, "ci co"], ...]:
    """G·g·Gᵀ for every pair of channels."""
    transformed = jnp.einsum("ai,bj,ijco->abco", _G, _G, kernel, precision="highest")
    return tuple(transformed[a, b] for a in range(6) for b in range(6))


def _winograd(x: Float[Array, "n h w ci"], kernel: tuple[Float[Array, "ci co"], ...]) -> Float[Array, "n h w co"]:
    """Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A over tiles d of x.

    The 36 products are separate arrays from beginning to end: XLA runs them beside each other, where one batched
    product of stacked matrices takes 1.2 to 1.8 times as long. The barrier keeps XLA from computing each sum over
    rows anew for every sum over columns: the whole step takes 1.2 times as long without it (VGG-19, 200 × 200, 2 CPU
    cores, jax 0.10.2).
    """
    n, h, w, c = x.shape
    down, across = -(-h // 4), -(-w // 4)
    padded = jnp.pad(x, ((0, 0), (1, 4 * down - h + 1), (1, 4 * across - w + 1), (0, 0)))
    rows = _combine(_B, [padded[:, a : a + 4 * down - 3 : 4] for a in range(6)])
    rows = lax.optimization_barrier(rows)
    tiles = [_combine(_B, [row[:, :, b : b + 4 * across - 3 : 4].reshape(-1, c) for b in range(6)]) for row in rows]
    products = [[jnp.matmul(tiles[a][b], kernel[6 * a + b], precision="highest") for b in range(6)] for a in range(6)]
    columns = [_combine(_A, [products[a][b] for a in range(6)]) for b in range(6)]
    pixels = [_combine(_A, [columns[b][i] for b in range(6)]) for i in range(4)]
    shape = (n, down, across, -1)
    blocks = jnp.stack([jnp.stack([p.reshape(shape) for p in row], axis=3) for row in pixels], axis=2)
    return blocks.reshape(n, 4 * down, 4 * across, -1)[:, :h, :w]


def _combine(matrix: Float[np.ndarray, "i j"], parts: list[Array]) -> list[Array]:
    """Each row of the matrix times the parts; most of its elements are 0 or ±1."""
    sums = []
    for row in matrix:
        terms = [part if factor == 1 else factor * part for factor, part in zip(row, parts, strict=True) if factor]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        sums.append(total)
    return sums
