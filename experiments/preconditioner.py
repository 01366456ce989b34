"""What is a VGG sensitive to? The power of Hutchinson probes by frequency, colour and contrast.

    python experiments/preconditioner.py lfw:DIR [--json]
    python experiments/preconditioner.py --quick

Prints the table `POWER_SPECTRUM` of `dfi_jax.engine.preconditioner`, and how the energy of probes
at a place depends on the contrast there. A probe is JᵀW^½ξ at a face, with the weights W of the
loss `relative`; each of 100 faces has one. `--quick` takes two drawn faces of 40 × 40 pixels.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from command_line import run_experiment
from jaxtyping import Array, Float

from dfi_jax import VGG, VGGSpectrum, features, load_dataset, load_vgg
from dfi_jax.engine.preconditioner import POWER_SPECTRUM, contrast_scale
from dfi_jax.recipe.features import DEFAULT_LAYERS

FREQUENCIES = POWER_SPECTRUM[:, 0]
"""The frequencies of the table's rows, in cycles per pixel."""

BLOCK = 10
"""Height and width, in pixels, of the places whose energy and contrast are compared."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is probed.

    Attributes:
      dataset: Dataset of the faces.
      faces: Number of faces, spread over the dataset.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the faces, a multiple of `BLOCK`.
    """

    dataset: str
    faces: int = 100
    weights: str = "vgg16"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200


QUICK = Config(dataset="synthetic:4", faces=2, layers=("conv2_1", "conv3_1"), size=40)


def run(config: Config) -> dict[str, Any]:
    """Probes every face, and returns the mean power and the dependence of energy on contrast."""
    dataset = load_dataset(config.dataset)
    vgg = load_vgg(config.weights)
    scaling = VGGSpectrum()
    products = np.zeros((config.size, config.size, 3, 3))
    energy, contrast = [], []
    for i, row in enumerate(np.linspace(0, len(dataset) - 1, config.faces).astype(int)):
        face = jnp.asarray(dataset.face(row, config.size))[None]
        found = np.asarray(probe(vgg, face, jax.random.key(i), layers=config.layers))[0]
        spectrum = np.fft.fft2(found, axes=(0, 1))
        products += np.real(spectrum[..., :, None] * np.conj(spectrum[..., None, :]))
        blocks = block_means(np.sum(found**2, axis=-1))
        energy.append(np.log(blocks / blocks.mean()))
        scale = np.asarray(contrast_scale(face, scaling))[0, ..., 0]
        contrast.append(np.log(block_means(scale)) / scaling.contrast_power)
    power = power_by_frequency(products)
    x, y = np.ravel(contrast), np.ravel(energy)
    return {
        "config": dataclasses.asdict(config),
        "frequencies": FREQUENCIES.tolist(),
        "power": [matrix[np.triu_indices(3)].tolist() for matrix in power / power.max()],
        "contrast_exponent": float(np.polyfit(x, y, 1)[0]),
        "contrast_correlation": float(np.corrcoef(x, y)[0, 1]),
    }


@partial(jax.jit, static_argnames="layers")
def probe(
    vgg: VGG, images: Float[Array, "1 h w 3"], key: Array, *, layers: tuple[str, ...]
) -> Float[Array, "1 h w 3"]:
    """Returns JᵀW^½ξ at an image, with ξ standard normal."""
    phi, pull_back = jax.vjp(partial(features, vgg, layers=layers), images)
    keys = jax.random.split(key, len(phi))
    noise = {
        name: jax.random.normal(key, layer.shape) / jnp.linalg.norm(layer)
        for key, (name, layer) in zip(keys, phi.items(), strict=True)
    }
    return pull_back(noise)[0]


def power_by_frequency(products: Float[np.ndarray, "h w 3 3"]) -> Float[np.ndarray, "f 3 3"]:
    """Returns the mean over the frequencies near each of `FREQUENCIES`.

    The weight falls linearly to 0 at the neighbouring frequencies.
    """
    height, width = products.shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    ends = [-1, *FREQUENCIES, 1]
    rows = []
    for low, middle, high in zip(ends, ends[1:], ends[2:], strict=False):
        weights = np.interp(frequency, [low, middle, high], [0, 1, 0])
        if middle == 0:
            weights = (frequency == 0).astype(float)
        # A small image has no frequency near some of the rows.
        rows.append(np.tensordot(weights, products) / max(weights.sum(), 1e-12))
    return np.array(rows)


def block_means(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "_ _"]:
    """Returns the mean over each block of pixels."""
    height, width = values.shape
    return values.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((1, 3))


def print_tables(record: dict[str, Any]) -> None:
    """Prints the power spectrum as it stands in the code, and the dependence on contrast."""
    for frequency, upper in zip(record["frequencies"], record["power"], strict=True):
        print(f"        [{frequency:.3f}, {', '.join(f'{value:.4f}' for value in upper)}],")
    print(
        f"\nEnergy goes as the squared gradient to the power {record['contrast_exponent']:.2f}. "
        f"The correlation of their logarithms is {record['contrast_correlation']:.2f} over blocks "
        f"of {BLOCK} × {BLOCK} pixels."
    )


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
