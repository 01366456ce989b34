"""What a lower precision of the convolutions does to features and to an edit.

    python experiments/precision.py LFW_DIR

Errors are relative to the features at `highest` of eight faces of LFW. The edit is of the first of them, with the
starter vector for eyeglasses, α = 0.4, 60 iterations; its difference is from the edit at `highest`, in grey levels of
255. The row "another order" is `highest` too, with the sums of Winograd's algorithm: what is there without any lower
precision.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from dfi_jax import attribute
from dfi_jax.data import lfw
from dfi_jax.edit import edit_face
from dfi_jax.recipe import RECIPES
from dfi_jax.vgg import VGG, features, prepare
from dfi_jax.weights import load_vgg

FACES = 8
SIZE = 200


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    dataset = lfw.load(parser.parse_args().lfw)
    rows = np.linspace(0, len(dataset) - 1, FACES).astype(int)
    faces = np.stack([dataset.face(int(row), SIZE) for row in rows])
    recipe = RECIPES["default"].replace(iterations=60)
    vector = attribute.starter("eyeglasses")

    def edited(network: VGG) -> np.ndarray:
        return 255 * edit_face(network, faces[0], vector, alphas=(0.4,), recipe=recipe).faces[0]

    vgg = load_vgg("vgg16")
    phi, face = features(vgg, jnp.asarray(faces)), edited(vgg)
    print(f"the edit changes {np.abs(face - 255 * faces[0]).mean():.2f} grey levels in the mean\n")
    print(f"| precision | {' | '.join(phi)} | edit: largest, mean difference | PSNR, dB |")
    print("| --- " * (3 + len(phi)) + "|")
    networks = {"highest, another order": prepare(vgg)}
    networks |= {precision: vgg.replace(precision=precision) for precision in ("tf32", "bfloat16")}
    for name, network in networks.items():
        found = features(network, jnp.asarray(faces))
        errors = [jnp.linalg.norm(found[layer] - phi[layer]) / jnp.linalg.norm(phi[layer]) for layer in phi]
        difference = np.abs(edited(network) - face)
        psnr = 20 * np.log10(255 / np.sqrt(np.mean(difference**2)))
        print(f"| {name} | {' | '.join(f'{error:.1e}' for error in errors)} | {difference.max():.2f}, "
              f"{difference.mean():.3f} | {psnr:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
