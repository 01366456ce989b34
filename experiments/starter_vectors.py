"""The vectors that come with the package: spectacles and age, over hundreds of faces of LFW.

    python experiments/starter_vectors.py LFW_DIR    (needs SciPy, which the extra `convert` brings)

For each gender, the 150 images with the attribute that have the highest scores (all, where there are fewer) are each
paired with the image without it that is nearest in all other attributes, so that the vector holds the attribute and
little else; the vectors of the two genders are averaged with equal weight. Faces are cropped as LFW's alignment has
them. Stored as int8 with a scale a channel; the table says how near that is to the float vector.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from dfi_jax import attribute
from dfi_jax.vectors.attribute_vector import AttributeVector, Provenance
from dfi_jax.data import lfw, select
from dfi_jax.data.dataset import Dataset
from dfi_jax.recipe import RECIPES
from dfi_jax.network.vgg import VGG
from dfi_jax.network.weights import load_vgg

STARTERS = {"eyeglasses": "Eyeglasses", "older": "~Young"}
A_SIDE = 150
"""Images with the attribute, and as many without, of each gender: 300 a side in all."""


def pairs(dataset: Dataset, wanted: str, gender: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows without and with the attribute, of one gender, the n-th of one like the n-th of the other."""
    of_gender, _ = select.having(dataset.scores, dataset.attributes, [gender])
    has, lacks = select.having(dataset.scores, dataset.attributes, [wanted])
    column = select.find_attribute(wanted.removeprefix("~"), dataset.attributes)
    score = dataset.scores[:, column] * (-1 if wanted.startswith("~") else 1)
    target = np.flatnonzero(has & of_gender)
    target = target[np.argsort(-score[target], kind="stable")][:A_SIDE]
    candidates = np.flatnonzero(lacks & of_gender)
    others = np.delete(dataset.scores, column, axis=1)
    distance = np.linalg.norm(others[target][:, None] - others[candidates][None], axis=2)
    _, chosen = linear_sum_assignment(distance)
    return candidates[chosen], target


def faces(dataset: Dataset, rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The faces of some rows, ten at a time."""
    for i in range(0, len(rows), 10):
        yield np.stack([dataset.face(row, size) for row in rows[i : i + 10]])


def compute(vgg: VGG, dataset: Dataset, wanted: str) -> AttributeVector:
    """The mean of the two genders' vectors."""
    recipe = RECIPES["default"]
    vectors, sizes = [], []
    for gender in ("Male", "~Male"):
        source, target = pairs(dataset, wanted, gender)
        provenance = Provenance(
            dataset="lfw",
            attributes=(wanted,),
            k=2 * A_SIDE,
            n_source=len(source),
            n_target=len(target),
            network=vgg.name,
            weights_sha256=vgg.sha256,
            layers=recipe.layers,
            size=recipe.size,
            crop=dataset.crop,
            note="mean of the vectors of men and of women; source images paired with the target's by other attributes",
        )
        batches = (faces(dataset, rows, recipe.size) for rows in (source, target))
        vectors.append(attribute.compute(vgg, *batches, provenance))
        sizes.append(len(target))
        print(f"{wanted}, {gender}: {len(source)} without, {len(target)} with")
    mean = jax.tree.map(lambda *ws: sum(ws) / len(ws), *(vector.features for vector in vectors))
    return AttributeVector(mean, dataclasses.replace(provenance, n_source=sum(sizes), n_target=sum(sizes)))


def main() -> None:
    """Computes, stores, and says how near what is stored comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    parser.add_argument("--out", type=Path, default=attribute.STARTERS, help="the folder for the vectors")
    arguments = parser.parse_args()
    vgg = load_vgg("vgg16")
    dataset = lfw.load(arguments.lfw)
    for name, wanted in STARTERS.items():
        vector = compute(vgg, dataset, wanted)
        path = arguments.out / f"{name}.safetensors"
        attribute.save(path, vector, dtype="int8")
        stored = attribute.load(path)
        for layer, w in vector.features.items():
            q = stored.features[layer]
            cosine = jnp.vdot(w, q) / jnp.linalg.norm(w) / jnp.linalg.norm(q)
            print(f"{name} {layer}: cosine of int8 to float32 {cosine:.6f}")
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
