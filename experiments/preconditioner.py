"""What `dfi_jax.preconditioner` knows of VGG: the power of Hutchinson probes by frequency and colour, and by contrast.

    python experiments/preconditioner.py LFW_DIR

Prints the table `POWER`, and how the energy of probes at a place depends on the contrast there. A probe is JᵀW^½ξ of a
face, with the weights W of the loss `relative`; each of 100 faces has one.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dfi_jax import preconditioner
from dfi_jax.data import lfw
from dfi_jax.vgg import VGG, features
from dfi_jax.weights import load_vgg

FACES = 100
SIZE = 200
FREQUENCIES = preconditioner.POWER[:, 0]


@jax.jit
def probe(vgg: VGG, image: jax.Array, key: jax.Array) -> jax.Array:
    """JᵀW^½ξ at an image."""
    phi, pull_back = jax.vjp(partial(features, vgg), image)
    keys = jax.random.split(key, len(phi))
    noise = {
        name: jax.random.normal(key, layer.shape) / jnp.linalg.norm(layer)
        for key, (name, layer) in zip(keys, phi.items(), strict=True)
    }
    return pull_back(noise)[0]


def power_by_frequency(products: np.ndarray) -> np.ndarray:
    """(f, 3, 3): the mean over frequencies near each of `FREQUENCIES`, weighted by a triangle to its neighbours."""
    found = np.fft.fftfreq(SIZE)
    frequency = np.hypot(found[:, None], found[None])
    ends = [-1, *FREQUENCIES, 1]
    rows = []
    for low, middle, high in zip(ends, ends[1:], ends[2:], strict=False):
        weights = np.interp(frequency, [low, middle, high], [0, 1, 0]) if middle else (frequency == 0).astype(float)
        rows.append(np.tensordot(weights, products) / weights.sum())
    return np.array(rows)


def main() -> None:
    """Prints the table and the dependence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    dataset = lfw.load(parser.parse_args().lfw)
    vgg = load_vgg("vgg16")
    products, energy, contrast = np.zeros((SIZE, SIZE, 3, 3)), [], []
    for i, row in enumerate(np.linspace(0, len(dataset) - 1, FACES).astype(int)):
        image = jnp.asarray(dataset.face(int(row), SIZE))[None]
        found = np.asarray(probe(vgg, image, jax.random.key(i)))[0]
        spectrum = np.fft.fft2(found, axes=(0, 1))
        products += np.real(spectrum[..., :, None] * np.conj(spectrum[..., None, :]))
        blocks = (found**2).sum(-1).reshape(20, 10, 20, 10).mean((1, 3))
        energy.append(np.log(blocks / blocks.mean()))
        at = np.asarray(preconditioner.places(image))[0, ..., 0].reshape(20, 10, 20, 10).mean((1, 3))
        contrast.append(np.log(at) / preconditioner.CONTRAST_POWER)
    power = power_by_frequency(products)
    for frequency, matrix in zip(FREQUENCIES, power / power.max(), strict=True):
        upper = ", ".join(f"{value:.4f}" for value in matrix[np.triu_indices(3)])
        print(f"        [{frequency:.3f}, {upper}],")
    x, y = np.ravel(contrast), np.ravel(energy)
    print(f"\nenergy ∝ (squared gradient)^{np.polyfit(x, y, 1)[0]:.2f}, correlation of their logarithms "
          f"{np.corrcoef(x, y)[0, 1]:.2f} over blocks of 10 × 10 pixels")  # fmt: skip


if __name__ == "__main__":
    main()
