"""What does a lower precision of the convolutions do to features and to an edit?

    python experiments/precision.py lfw:DIR [--json]
    python experiments/precision.py --quick

Prints, for each precision, the relative error of the features and the difference of an edit, in
grey levels, both compared with `highest`. All convolutions are computed directly, except in
the row `highest, another order`, which is computed by Winograd's algorithm at `highest`: its
differences come from another order of sums, not from lower precision.

Features are compared for eight faces. The first face is edited by the default recipe with the
starter vector for eyeglasses at α = 1. `--quick` takes drawn faces of 32 × 32 pixels.
"""

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any, Final, Literal

import jax.numpy as jnp
import numpy as np
from command_line import run_experiment
from jaxtyping import Float

from dfi_jax import (
    VGG,
    AttributeVector,
    Dataset,
    Editor,
    Recipe,
    features,
    load_dataset,
    load_vgg,
    near,
    prepare,
    starter,
)
from dfi_jax.network.conv import Precision
from dfi_jax.recipe.features import DEFAULT_LAYERS

REORDERED: Final = "highest, another order"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset of the faces.
      variants: Precisions that are compared with `highest`, or `REORDERED`.
      faces: Number of faces, spread over the dataset.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the faces.
      iterations: Number of iterations of the edit.
      k: Number of images per set that the attribute vector is computed from, or 0 for the starter
        vector.
    """

    dataset: str
    variants: tuple[Precision | Literal["highest, another order"], ...] = (
        REORDERED,
        "tf32",
        "bfloat16",
    )
    faces: int = 8
    weights: str = "vgg16"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200
    iterations: int = Recipe().solver.iterations
    k: int = 0


QUICK = Config(
    dataset="synthetic:40",
    variants=(REORDERED, "tf32"),
    faces=2,
    weights="random-vgg16",
    layers=("conv1_2",),
    size=32,
    iterations=5,
    k=2,
)


def run(config: Config) -> dict[str, Any]:
    """Compares every precision with `highest`, in features and in an edit."""
    dataset = load_dataset(config.dataset)
    rows = np.linspace(0, len(dataset) - 1, config.faces).astype(int)
    faces = np.stack([dataset.face(row, config.size) for row in rows])
    recipe = Recipe().set(
        {
            "features.layers": ",".join(config.layers),
            "features.size": str(config.size),
            "solver.iterations": str(config.iterations),
        }
    )
    exact = load_vgg(config.weights)
    vector = find_vector(exact, dataset, faces[0], config, recipe=recipe)
    direct = prepare(exact, layers=config.layers, winograd=False)
    phi = features(direct, jnp.asarray(faces), layers=config.layers)
    edited = edit(direct, faces[0], vector, recipe=recipe)
    found = []
    for name in config.variants:
        print(name, file=sys.stderr, flush=True)
        vgg = exact if name == REORDERED else load_vgg(config.weights, precision=name)
        # An editor would use Winograd's algorithm on a CPU, whatever the precision.
        network = prepare(vgg, layers=config.layers, winograd=name == REORDERED)
        psi = features(network, jnp.asarray(faces), layers=config.layers)
        difference = np.abs(edit(network, faces[0], vector, recipe=recipe) - edited)
        found.append(
            {
                "variant": name,
                "feature_errors": [
                    float(jnp.linalg.norm(psi[layer] - phi[layer]) / jnp.linalg.norm(phi[layer]))
                    for layer in config.layers
                ],
                "largest": float(difference.max()),
                "mean": float(difference.mean()),
                "psnr": float(20 * np.log10(255 / np.sqrt(np.mean(difference**2)))),
            }
        )
    change = float(np.abs(edited - 255 * faces[0]).mean())
    return {"config": dataclasses.asdict(config), "change": change, "rows": found}


def find_vector(
    vgg: VGG,
    dataset: Dataset,
    face: Float[np.ndarray, "h w 3"],
    config: Config,
    *,
    recipe: Recipe,
) -> AttributeVector:
    """Returns the starter vector for eyeglasses, or a vector computed from the dataset."""
    if not config.k:
        return starter("eyeglasses")
    editor = Editor(recipe=recipe, weights=vgg, cache=None)
    return editor.vector(
        "Eyeglasses", dataset=dataset, photo=face, face="whole", near=near.pixels, k=config.k
    )


def edit(
    vgg: VGG, face: Float[np.ndarray, "h w 3"], vector: AttributeVector, *, recipe: Recipe
) -> Float[np.ndarray, "h w 3"]:
    """Returns the edited face at α = 1, in grey levels of 255."""
    editor = Editor(recipe=recipe, weights=vgg, cache=None)
    return 255 * editor.edit(face, vector, face="whole", alphas=(1.0,)).faces[0]


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per precision."""
    layers = record["config"]["layers"]
    print(f"The edit changes the face by {record['change']:.2f} grey levels on average.\n")
    print(f"| precision | {' | '.join(layers)} | edit: largest, mean difference | PSNR, dB |")
    print("| --- " * (3 + len(layers)) + "|")
    for row in record["rows"]:
        errors = " | ".join(f"{error:.1e}" for error in row["feature_errors"])
        differences = f"{row['largest']:.2f}, {row['mean']:.3f}"
        print(f"| {row['variant']} | {errors} | {differences} | {row['psnr']:.1f} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
