"""How are the starter vectors made? Eyeglasses and age, over hundreds of faces of LFW.

    python experiments/starter_vectors.py lfw:DIR [--out DIR] [--json]
    python experiments/starter_vectors.py --quick

For each gender, takes the 150 images with the attribute that have the highest scores, or all images
with it if there are fewer. Each is paired with a different image without the attribute, so that the
sum of the pairs' distances in all other attributes is smallest. The vector therefore holds the
attribute and little else. The vectors of both genders are averaged with equal weight.

Writes the vectors as int8 with a scale per channel, and prints how near they are to the vectors in
float32. The vectors in `dfi_jax/assets/vectors` are made from all of LFW. Needs SciPy, which the
extra `convert` installs. `--quick` pairs a few drawn faces, by hair colour instead of gender.
"""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from dfi_jax import VGG, AttributeVector, Dataset, Recipe, Selection, Wanted, load_dataset, load_vgg
from dfi_jax.data.admission import thresholded
from dfi_jax.data.wanted import find_attribute
from dfi_jax.recipe.features import DEFAULT_LAYERS
from dfi_jax.vectors.estimate import attribute_vector

NOTE = (
    "mean of the vectors of men and of women; source images paired with the target's by other "
    "attributes"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the vectors are made from.

    Attributes:
      dataset: Dataset of the faces.
      starters: Names of the vectors, each with what is wanted of the dataset.
      grouping: Attribute that divides the faces into two groups of equal weight.
      pairs: Maximum number of pairs of images in each group.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the faces.
      note: Note in the provenance of the vectors.
      out: Folder for the vectors.
    """

    dataset: str
    starters: tuple[tuple[str, str], ...] = (("eyeglasses", "Eyeglasses"), ("older", "~Young"))
    grouping: str = "Male"
    pairs: int = 150
    weights: str = "vgg16"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200
    note: str = NOTE
    out: str = "out/starter_vectors"


QUICK = Config(
    dataset="synthetic:60",
    grouping="Blond Hair",
    pairs=2,
    weights="random-vgg16",
    layers=("conv1_2", "conv2_1"),
    size=32,
    note="a trial on drawn faces",
)


def run(config: Config) -> dict[str, Any]:
    """Computes and writes the vectors, and returns how near int8 is to float32."""
    vgg, dataset = load_vgg(config.weights), load_dataset(config.dataset)
    recipe = Recipe().set(
        {"features.layers": ",".join(config.layers), "features.size": str(config.size)}
    )
    rows = []
    for name, attribute in config.starters:
        vector = average_groups(vgg, dataset, attribute, config, recipe=recipe)
        path = Path(config.out, f"{name}.safetensors")
        # The package holds these files, and int8 takes a quarter of the space.
        vector.save(path, dtype="int8")
        stored = AttributeVector.load(path).features
        rows.append(
            {
                "starter": name,
                "pairs": vector.provenance.n_target,
                "cosines": [cosine(vector.features[layer], stored[layer]) for layer in stored],
                "bytes": path.stat().st_size,
            }
        )
    return {"config": dataclasses.asdict(config), "rows": rows}


def average_groups(
    vgg: VGG, dataset: Dataset, attribute: str, config: Config, *, recipe: Recipe
) -> AttributeVector:
    """Returns the mean of both groups' vectors."""
    vectors = []
    for sign in "+-":
        wanted = Wanted.of(f"{attribute},{sign}{config.grouping}", dataset.attributes)
        selection = pair_images(dataset, wanted, config)
        vectors.append(attribute_vector(vgg, selection, recipe=recipe))
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *(vector.features for vector in vectors))
    counts = sum(vector.provenance.n_target for vector in vectors)
    provenance = dataclasses.replace(
        vectors[0].provenance,
        attributes=(attribute,),
        k=2 * config.pairs,
        n_source=counts,
        n_target=counts,
        note=config.note,
    )
    return AttributeVector(mean, provenance)


def pair_images(dataset: Dataset, wanted: Wanted, config: Config) -> Selection:
    """Selects the images with the highest scores, and for each a similar image that lacks it."""
    in_source, in_target = wanted.members(thresholded(dataset.scores), dataset.attributes)
    term = wanted.terms[0]
    column = find_attribute(term.name, dataset.attributes)
    scores = dataset.scores[:, column] * (1 if term.on else -1)
    target, candidates = np.flatnonzero(in_target), np.flatnonzero(in_source)
    target = target[np.argsort(-scores[target], kind="stable")][: config.pairs]
    others = np.delete(dataset.scores, column, axis=1)
    distances = np.linalg.norm(others[target][:, None] - others[candidates][None], axis=2)
    _, nearest = linear_sum_assignment(distances)
    return Selection(
        dataset=dataset,
        wanted=wanted,
        k=config.pairs,
        near=None,
        source=candidates[nearest],
        target=target,
    )


def cosine(a: jax.Array, b: jax.Array) -> float:
    """Returns the cosine of the angle between two vectors."""
    return float(jnp.vdot(a, b) / jnp.linalg.norm(a) / jnp.linalg.norm(b))


def print_table(record: dict[str, Any]) -> None:
    """Prints one row per starter vector."""
    layers = record["config"]["layers"]
    cosines = " | ".join(f"cosine of int8 to float32, {layer}" for layer in layers)
    print(f"| starter | images per set | {cosines} | bytes |")
    print("| --- " * (3 + len(layers)) + "|")
    for row in record["rows"]:
        cosines = " | ".join(f"{value:.6f}" for value in row["cosines"])
        print(f"| {row['starter']} | {row['pairs']} | {cosines} | {row['bytes']} |")
    print(f"\nThe vectors are in {record['config']['out']}.")


def main() -> None:
    """Prints the table, or the record as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", help="dataset of the faces, such as lfw:DIR")
    parser.add_argument("--out", default=Config.out, help="folder for the vectors")
    parser.add_argument("--quick", action="store_true", help="try it on a few drawn faces")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    arguments = parser.parse_args()
    if not arguments.dataset and not arguments.quick:
        parser.error("give a dataset, such as lfw:DIR, or --quick")
    config = QUICK if arguments.quick else Config(dataset=arguments.dataset)
    record = run(dataclasses.replace(config, out=arguments.out))
    if arguments.json:
        print(json.dumps(record, indent=2))
    else:
        print_table(record)


if __name__ == "__main__":
    main()
