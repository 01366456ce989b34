"""The unknown of a problem: an image scaled so that L-BFGS has less to learn.

The Hessian of a distance of features is about JᵀWJ, where J is the Jacobian of the features and W
holds the weights of the loss. A Hutchinson probe JᵀW^½ξ, with ξ standard normal, has that matrix
as its covariance. The power of probes by frequency and colour, and their energy by place,
therefore say where the Hessian is large. Both were measured for VGG-16 on faces
(experiments/preconditioner.py), and are constants for all images and attributes:

- What matters least is grey at frequencies far below 0.1 cycles per pixel, and colour above.
- Features are more sensitive where an image is flat than where it is full of contrast.

The scaling costs no evaluation of the network, and is the same for a problem in a batch as for the
problem alone. `recipe.VGGSpectrum` has the numbers that can be changed.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.recipe import VGGSpectrum

POWER_SPECTRUM = np.array(
    [
        # f     rr     rg      rb     gg     gb     bb
        [0.000, 0.0120, -0.0116, -0.0009, 0.0287, -0.0129, 0.0153],
        [0.005, 0.0227, -0.0205, -0.0002, 0.0491, -0.0189, 0.0212],
        [0.010, 0.0479, -0.0365, 0.0003, 0.0846, -0.0312, 0.0385],
        [0.015, 0.0877, -0.0722, 0.0027, 0.1633, -0.0539, 0.0674],
        [0.020, 0.1538, -0.1077, -0.0023, 0.2700, -0.0807, 0.1158],
        [0.030, 0.2380, -0.1390, -0.0067, 0.4086, -0.1108, 0.1800],
        [0.040, 0.3480, -0.1249, -0.0164, 0.5871, -0.1009, 0.2417],
        [0.060, 0.4281, -0.0317, -0.0312, 0.7047, -0.0330, 0.2704],
        [0.080, 0.4717, 0.0909, -0.0263, 0.7790, 0.0537, 0.2592],
        [0.100, 0.5041, 0.2363, -0.0078, 0.8850, 0.1414, 0.2442],
        [0.125, 0.5334, 0.3769, 0.0107, 1.0000, 0.2201, 0.2315],
        [0.150, 0.4842, 0.4617, 0.0349, 0.9958, 0.2674, 0.1943],
        [0.200, 0.3622, 0.4347, 0.0612, 0.8268, 0.2390, 0.1322],
        [0.250, 0.2563, 0.3538, 0.0731, 0.6266, 0.1871, 0.0854],
        [0.300, 0.2014, 0.2866, 0.0725, 0.4885, 0.1558, 0.0674],
        [0.350, 0.1574, 0.2290, 0.0711, 0.3769, 0.1329, 0.0569],
        [0.400, 0.1019, 0.1539, 0.0605, 0.2446, 0.0990, 0.0439],
        [0.500, 0.0561, 0.0848, 0.0406, 0.1307, 0.0617, 0.0313],
        [0.600, 0.0149, 0.0198, 0.0143, 0.0268, 0.0189, 0.0141],
    ]
)
"""H(f) at frequencies f in cycles per pixel, a symmetric matrix between red, green and blue.

It is the mean of F(p)F(p)* over probes p of VGG-16 on 100 faces of LFW and over all frequencies of
a radius, divided by its largest element.
"""


@cache
def spectrum(size: tuple[int, int], scaling: VGGSpectrum) -> Float[np.ndarray, "h f 3 3"]:
    """Returns S(f) = (H(f) + `base_penalty`·I + `fine_penalty`·f²·C)^−½, a matrix of colours.

    C = G + `chroma_penalty`·(I − G), where all elements of G are ⅓: G projects a colour onto grey.
    S is symmetric and has mean square 1. If the colours are scaled alike, H is the mean of its
    diagonal, and C is I.

    Args:
      size: Height and width of the images, whose real 2-D FFT has the frequencies f. The lowest
        frequency counts as half a wave per image.
      scaling: The numbers of the scaling.

    >>> matrices = spectrum((8, 8), VGGSpectrum())  # 8 × 5 frequencies of 3 colours
    >>> round(float(np.sum(matrices**2)) / (8 * 5 * 3), 3)
    1.0
    """
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency = np.maximum(frequency, 0.5 / max(size))
    upper = np.stack(
        [np.interp(frequency, POWER_SPECTRUM[:, 0], column) for column in POWER_SPECTRUM[:, 1:].T]
    )
    if not scaling.color:
        grey = np.mean(upper[[0, 3, 5]], axis=0)
        upper = np.stack([grey, 0 * grey, 0 * grey, grey, 0 * grey, grey])
    matrices = np.moveaxis(upper[[0, 1, 2, 1, 3, 4, 2, 4, 5]], 0, -1).reshape(
        *frequency.shape, 3, 3
    )
    grey = np.full((3, 3), 1 / 3)
    chroma = scaling.chroma_penalty if scaling.color else 1.0
    colors = grey + chroma * (np.eye(3) - grey)
    fine = scaling.fine_penalty * frequency[..., None, None] ** 2 * colors
    values, vectors = np.linalg.eigh(matrices + scaling.base_penalty * np.eye(3) + fine)
    scale = np.einsum("...ik,...k,...jk->...ij", vectors, values**-0.5, vectors)
    return (scale / np.sqrt(np.mean(1 / values))).astype(np.float32)


def contrast_scale(
    images: Float[Array, "n h w 3"], scaling: VGGSpectrum
) -> Float[Array, "n h w 1"]:
    """Returns p = blur(|∇x|²)^`contrast_power`, with mean square 1, for each image.

    |∇x|² is summed over colours, blurred with a Gaussian of standard deviation `contrast_blur`,
    and at least `contrast_floor` times its mean over the image.

    >>> contrast_scale(jnp.full((1, 2, 2, 3), 0.5), VGGSpectrum()).ravel().round(3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    size = (images.shape[1], images.shape[2])
    rows = jnp.diff(images, axis=1, append=images[:, -1:])
    columns = jnp.diff(images, axis=2, append=images[:, :, -1:])
    contrast = jnp.sum(jnp.square(rows) + jnp.square(columns), axis=3)
    mean = jnp.mean(contrast, axis=(1, 2), keepdims=True)
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    gaussian = np.exp(-2 * (np.pi * scaling.contrast_blur * frequency) ** 2)
    spread = jnp.fft.rfft2(contrast)
    blurred = jnp.fft.irfft2(spread * gaussian.astype(spread.dtype)[None], s=size)
    # 1e-12 gives an image of one colour, which has no contrast anywhere, the same scale everywhere.
    floor = scaling.contrast_floor * mean + 1e-12
    scale = jnp.maximum(blurred, floor) ** scaling.contrast_power
    norm = jnp.sqrt(jnp.mean(jnp.square(scale), axis=(1, 2), keepdims=True))
    # With a power of 2, the squares of an image of one colour are beyond float32.
    known = (norm > 0) & jnp.isfinite(norm)
    return jnp.where(known, scale / norm, 1)[..., None]


def to_image(
    unknown: Float[Array, "n h w 3"],
    start: Float[Array, "n h w 3"],
    contrast: Float[Array, "n h w 1"],
    scaling: VGGSpectrum,
) -> Float[Array, "n h w 3"]:
    """Returns z = start + p·F⁻¹(S·F(q)), the image that the unknown q stands for.

    Args:
      unknown: q.
      start: The image that q = 0 stands for.
      contrast: p, the `contrast_scale` of the start.
      scaling: The numbers of the scaling.

    >>> start = jnp.full((1, 2, 2, 3), 0.5)
    >>> image = to_image(jnp.zeros_like(start), start, jnp.ones((1, 2, 2, 1)), VGGSpectrum())
    >>> bool((image == start).all())
    True
    """
    size = (start.shape[1], start.shape[2])
    frequencies = jnp.fft.rfft2(unknown, axes=(1, 2))
    matrices = spectrum(size, scaling).astype(frequencies.dtype)
    scaled = jnp.sum(matrices[None] * frequencies[..., None, :], axis=-1)
    return start + contrast * jnp.fft.irfft2(scaled, s=size, axes=(1, 2))
