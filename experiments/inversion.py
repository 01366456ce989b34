"""What does each layer of VGG keep of a face? The image that has its features, found from noise.

    python experiments/inversion.py [--iterations N] [--lambdas L,…] [--out DIR] [--json]
    python experiments/inversion.py --quick

At strength 0, a reconstruction looks for the image that has the face's own features. If it starts
from noise and compares a single layer, all that it finds comes from that layer: this is feature
inversion (Mahendran and Vedaldi 2015), and the content half of neural style transfer (Gatys et al.
2015). The objective is ½‖φ(z) − φ(x)‖²/‖φ(x)‖² + λ·R(z), where φ is the layer and R the total
variation in the network's units.

Prints, for each layer and each λ, the relative residual ‖φ(z) − φ(x)‖/‖φ(x)‖ of the layer, and the
PSNR of z in decibels. The sheet in the folder shows the images, with one row per λ. The folder also
keeps each image, so rerunning the command resumes it.

The face is that of scikit-image's astronaut (the extra `demo`). `--quick` inverts two layers at
32 × 32 pixels.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import skimage.data
from command_line import run_experiment
from demo import POINTS
from jaxtyping import Array, Float
from kept import digest, kept_arrays

from dfi_jax import Photo, Placement, Recipe, features, load_vgg, make_problem, reconstruct
from dfi_jax.network.vgg import VGG
from dfi_jax.report.sheet import contact_sheet

SHEET_SIZE = (927, 516)
"""Largest width and height of the sheet, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is inverted, and how.

    Attributes:
      layers: Names of layers, each of which is inverted by itself.
      lambdas: Values of λ.
      iterations: Number of evaluations.
      size: Height and width of the face.
      out: Folder for the sheet and the images.
    """

    layers: tuple[str, ...] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    lambdas: tuple[float, ...] = (0.0, 1e-6)
    iterations: int = 200
    size: int = 200
    out: str = "out/inversion"


QUICK = Config(layers=("conv1_1", "conv2_1"), lambdas=(1e-6,), iterations=5, size=32)

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Raised characters of numbers."""


def run(config: Config) -> dict[str, Any]:
    """Inverts every layer with every λ, writes the sheet, and returns the rows of the table."""
    vgg = load_vgg("vgg16")
    photo = Photo.of(skimage.data.astronaut()).pixels
    face = jnp.asarray(Placement.from_landmarks(POINTS).crop(photo, size=config.size))[None]
    rows, images, labels = [], [], []
    for weight in config.lambdas:
        images.append(np.asarray(face[0]))
        labels.append(f"x; λ = {weight:g}")
        for layer in config.layers:
            print(f"λ = {weight:g}: {layer}", file=sys.stderr, flush=True)
            z = resume(vgg, face, layer, weight, config)
            images.append(np.asarray(z[0]))
            labels.append(layer)
            rows.append({"layer": layer, "weight": weight, **compare(vgg, face, z, layer)})
    sheet = contact_sheet(images, labels, columns=1 + len(config.layers))
    sheet.thumbnail(SHEET_SIZE)
    path = Path(config.out, "inversion.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=90)
    return {"config": dataclasses.asdict(config), "rows": rows}


def resume(
    vgg: VGG, face: Float[Array, "1 s s 3"], layer: str, weight: float, config: Config
) -> Float[Array, "1 s s 3"]:
    """Returns `invert`'s image from a file, or else makes it and writes the file."""
    folder = Path(config.out, digest(config.size, config.iterations))
    path = folder / f"{layer} {weight:g}.safetensors"
    kept = kept_arrays(path, lambda: {"z": np.asarray(invert(vgg, face, layer, weight, config))})
    return jnp.asarray(kept["z"])


def invert(
    vgg: VGG, face: Float[Array, "1 s s 3"], layer: str, weight: float, config: Config
) -> Float[Array, "1 s s 3"]:
    """Returns the image that has a face's features in one layer, found from noise."""
    recipe = Recipe().set(
        {
            "features.layers": layer,
            "features.size": str(config.size),
            "objective.total_variation": "total_variation",
            "objective.total_variation.weight": str(weight),
            "start": "noise",
            "solver.iterations": str(config.iterations),
        }
    )
    nothing = {layer: jnp.zeros_like(features(vgg, face, layers=(layer,))[layer][0])}
    problem = make_problem(vgg, face, nothing, [0.0], recipe=recipe)
    return jnp.asarray(reconstruct(vgg, problem, recipe=recipe).images)


def compare(
    vgg: VGG, face: Float[Array, "1 s s 3"], z: Float[Array, "1 s s 3"], layer: str
) -> dict[str, float]:
    """Returns how far the features of an image and its pixels are from those of the face."""
    phi, found = (features(vgg, images, layers=(layer,))[layer] for images in (face, z))
    return {
        "residual": float(jnp.linalg.norm(found - phi) / jnp.linalg.norm(phi)),
        "psnr": float(-10 * jnp.log10(jnp.mean(jnp.square(z - face)))),
    }


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per layer, with every λ."""
    config = record["config"]
    rows = {(row["layer"], row["weight"]): row for row in record["rows"]}
    heads = [f"{name}, λ = {show(w)}" for name in ("residual", "PSNR") for w in config["lambdas"]]
    print(f"| layer | {' | '.join(heads)} |\n{'| --- ' * (1 + len(heads))}|")
    for layer in config["layers"]:
        found = [rows[layer, weight] for weight in config["lambdas"]]
        cells = [f"{row['residual']:.3f}" for row in found] + [
            f"{row['psnr']:.1f}" for row in found
        ]
        print(f"| {layer} | {' | '.join(cells)} |")


def show(weight: float) -> str:
    """Returns a weight as 0 or as a power of ten, such as 10⁻⁶ or 2.5·10⁻⁵."""
    if weight == 0:
        return "0"
    factor, exponent = f"{weight:e}".split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if float(factor) == 1 else f"{float(factor):g}·{power}"


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
