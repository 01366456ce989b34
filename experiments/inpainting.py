"""Can deep features fill a hole? The inpainting of the DFI paper, on any set of images.

    python experiments/inpainting.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/inpainting.py FOLDER      # every image below a folder, such as UT-Zappos50K
    python experiments/inpainting.py letters     # letters of the fonts of `letters.py`
    python experiments/inpainting.py lfw:DIR,letters
    python experiments/inpainting.py --quick

A grey square hides the middle of a photo. The neighbours are the images that look most alike with
the same square over them, by their distance in VGG's pool5. The attribute vector is "without
the square", the mean features of the neighbours as they are minus those of the neighbours behind
the square, and the photo behind the square is the image that is edited. The solver starts from that
image, as in the paper, or from the mean of the neighbours' pixels. Outside the hole the photo stays
as it is.

The table compares this, inside the hole, with the mean of the neighbours' pixels and with two ways
to fill it that use no other image: the biharmonic interpolation of scikit-image, and Telea's fast
marching of OpenCV (both in the extra `demo`). It has PSNR in decibels, SSIM, and LPIPS, each with
its standard deviation between photos. The folder gets a sheet: the hole, each way to fill it, and
the photo. It also keeps what each photo was filled with, so rerunning the command resumes it.
`--quick` fills one drawn face with a small network.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from command_line import SMALL, run_experiment
from counterfactuals import average, draw, psnr, show
from jaxtyping import Array, Float, Int
from kept import digest, kept_arrays
from letters import FAMILIES, make_dataset
from skimage.metrics import structural_similarity
from skimage.restoration import inpaint_biharmonic

from dfi_jax import VGG, Dataset, Recipe, features, load_dataset, load_vgg, make_problem
from dfi_jax import reconstruct as solve
from dfi_jax.data.dataset import BATCH
from dfi_jax.data.folders import images_in
from dfi_jax.metrics.change import lpips
from dfi_jax.network.conv import max_pool2x2
from dfi_jax.network.means import feature_moments
from dfi_jax.photo.image import to_bytes
from dfi_jax.photo.photo import read

Face = Float[np.ndarray, "s s 3"]

GREY = 0.5
"""Colour of the square."""

LETTERS, LETTER_SIZE = "letters", 64
"""What stands for drawn letters in place of a dataset, and their height and width in pixels."""

RADIUS = 3
"""Telea's neighbourhood of a pixel, in pixels, as in OpenCV's tutorial."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is filled, and how.

    Attributes:
      dataset: Datasets, folders with images, or `letters`, separated by commas.
      photos: Number of photos of each.
      candidates: Maximum number of images among which neighbours are looked for.
      k: Number of neighbours. The paper has 100.
      hole: Side of the square, as a fraction of the image's. The paper hides 100 of 200 pixels.
      alphas: Strengths, on vectors as they are. The paper has 2.8.
      nearness: Name of the layer that is pooled and compared.
      changes: Changes to the recipe.
      weights: Name of the network.
      out: Folder for the sheets, and for what photos are filled with.
    """

    dataset: str
    photos: int = 8
    candidates: int = 1000
    k: int = 100
    hole: float = 0.5
    alphas: tuple[float, ...] = (1.0, 2.0, 2.8)
    nearness: str = "conv5_3"
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/inpainting"


QUICK = Config(
    dataset="synthetic:40",
    photos=1,
    k=10,
    alphas=(1.0, 2.8),
    nearness="conv2_1",
    changes=SMALL,
    weights="random-vgg16",
)

STARTS = ("from the hole", "from the mean")
"""What the solver starts from inside the hole: the square, or the mean of the neighbours."""

PAPER = {
    "vector": "gain",
    "vector.factor": "1",
    "removal": "none",
    "solver.iterations": "100",
    "solver.preconditioner.base_penalty": "0",
    "solver.preconditioner.fine_penalty": "3",
    "solver.preconditioner.chroma_penalty": "1",
}
"""The paper's vector, as it is, times a strength. The solver may change broad patterns and colours:
the penalties of the default recipe keep the grey of the square."""


def run(config: Config) -> dict[str, Any]:
    """Fills the hole of every photo in every way, and returns the rows of the tables."""
    vgg = load_vgg(config.weights)
    datasets = list(map(open_images, config.dataset.split(",")))
    return {
        "config": dataclasses.asdict(config),
        "images": {dataset.name: len(dataset) for dataset in datasets},
        "rows": [row for dataset in datasets for row in fill_all(vgg, dataset, config)],
    }


def fill_all(vgg: VGG, dataset: Dataset, config: Config) -> list[dict[str, Any]]:
    """Fills the hole of every photo of a dataset, writes the sheet, and returns the rows."""
    recipe = Recipe().set({**PAPER, **config.changes})
    if dataset.name == LETTERS:
        recipe = recipe.set({"features.size": str(LETTER_SIZE)})
    size = recipe.features.size
    rows = np.random.default_rng(0).permutation(len(dataset))[: config.photos + config.candidates]
    hidden = hole(size, config.hole)

    @cache
    def near() -> Float[np.ndarray, "r f"]:
        return describe(vgg, dataset, rows, hidden, layer=config.nearness, size=size)

    def fill_photo(i: int, photo: Face) -> dict[str, Face]:
        print(f"{dataset.name}: photo {i + 1} of {config.photos}", file=sys.stderr, flush=True)
        others = neighbors(dataset, rows, near(), i, first=config.photos, k=config.k)
        return fill(vgg, dataset, photo, others, hidden, config.alphas, recipe=recipe)

    same = dataclasses.asdict(dataclasses.replace(config, dataset="", out=""))
    folder = Path(config.out, f"{dataset.name}-{digest(same, dataset.catalog_sha256)}")
    measured: dict[str, list[dict[str, float]]] = {}
    sheet: list[list[Face]] = []
    for i in range(config.photos):
        photo = dataset.face(rows[i], size)
        kept = kept_arrays(folder / f"{i + 1}.safetensors", partial(fill_photo, i, photo))
        filled = {"hole": cover(photo, hidden)} | {way: kept[way] for way in ways(config.alphas)}
        for way, image in filled.items():
            measured.setdefault(way, []).append(compare(photo, image, hidden))
        sheet.append([*filled.values(), photo])
    columns = [list(column) for column in zip(*sheet, strict=True)]
    draw(columns, Path(config.out, f"{dataset.name}.png"))
    return [
        {"images": dataset.name, "way": way, **average(each), "photos": each}
        for way, each in measured.items()
    ]


def ways(alphas: Sequence[float]) -> list[str]:
    """Returns the names of the ways to fill a hole, in the order of the table.

    >>> ways([2.0])
    ['biharmonic', 'Telea', 'mean of the neighbours', 'from the hole, 2', 'from the mean, 2']
    """
    starts = [f"{start}, {alpha:g}" for start in STARTS for alpha in alphas]
    return ["biharmonic", "Telea", "mean of the neighbours", *starts]


def open_images(spec: str) -> Dataset:
    """Returns a dataset, all images below a folder, whole, without attributes, or letters."""
    if spec == LETTERS:
        return make_dataset({name: each.letters for name, each in FAMILIES.items()}, LETTER_SIZE)
    if not Path(spec).is_dir():
        return load_dataset(spec)
    paths = images_in(Path(spec))
    return Dataset(
        name=Path(spec).name,
        names=tuple(str(path.relative_to(spec)) for path in paths),
        read=lambda index: read(paths[index]),
        attributes=(),
        scores=np.zeros((len(paths), 0), np.float32),
        folder=Path(spec),
    )


def hole(size: int, share: float) -> np.ndarray:
    """Returns which pixels the square in the middle hides."""
    side = round(size * share)
    first = (size - side) // 2
    hidden = np.zeros((size, size), bool)
    hidden[first : first + side, first : first + side] = True
    return hidden


def cover(images: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Returns images with the square over them."""
    return np.where(hidden[..., None], np.float32(GREY), images)


def describe(
    vgg: VGG,
    dataset: Dataset,
    rows: Int[np.ndarray, " r"],
    hidden: np.ndarray,
    *,
    layer: str,
    size: int,
) -> Float[np.ndarray, "r f"]:
    """Returns the pooled features of every image behind the square, divided by their norm."""
    found = []
    for batch in dataset.batches(rows, size=size):
        filled = np.concatenate([batch, np.zeros((BATCH - len(batch), size, size, 3), np.float32)])
        pooled = pool(vgg, jnp.asarray(cover(filled, hidden)), layer=layer)
        found.append(np.asarray(pooled)[: len(batch)])
    return np.concatenate(found)


@partial(jax.jit, static_argnames="layer")
def pool(vgg: VGG, images: Float[Array, "n h w 3"], *, layer: str) -> Float[Array, "n f"]:
    """Returns a layer's features after 2 × 2 pooling, as vectors of norm 1."""
    pooled = max_pool2x2(features(vgg, images, layers=(layer,))[layer])
    flat = pooled.reshape(len(images), -1)
    return flat / jnp.linalg.norm(flat, axis=1, keepdims=True)


def neighbors(
    dataset: Dataset,
    rows: Int[np.ndarray, " r"],
    near: Float[np.ndarray, "r f"],
    i: int,
    *,
    first: int,
    k: int,
) -> Int[np.ndarray, " k"]:
    """Returns the k images nearest to the i-th, of other people, and none that is edited."""
    distances = np.square(near[first:] - near[i]).sum(axis=1)
    candidates = rows[first:]
    if dataset.people is not None:
        distances[dataset.people[candidates] == dataset.people[rows[i]]] = np.inf
    return candidates[np.argsort(distances, kind="stable")[:k]]


def fill(
    vgg: VGG,
    dataset: Dataset,
    photo: Face,
    others: Int[np.ndarray, " k"],
    hidden: np.ndarray,
    alphas: Sequence[float],
    *,
    recipe: Recipe,
) -> dict[str, Face]:
    """Returns the photo with its hole filled in each way."""
    stage = recipe.features
    whole = list(dataset.batches(others, size=stage.size))
    moments = [
        feature_moments(
            vgg,
            images,
            layers=stage.layers,
            pool_rounding=stage.pool_rounding,
            normalization=stage.normalization,
        )
        for images in (whole, [cover(batch, hidden) for batch in whole])
    ]
    vector = jax.tree.map(jnp.subtract, moments[0].mean, moments[1].mean)
    covered, mean = cover(photo, hidden), np.concatenate(whole).mean(axis=0)
    found = {
        "biharmonic": inpaint_biharmonic(covered, hidden, channel_axis=-1),
        "Telea": telea(covered, hidden),
        "mean of the neighbours": mean,
    }
    for name, inside in zip(STARTS, (covered, mean), strict=True):
        start = np.where(hidden[..., None], inside, photo)
        starts = np.repeat(start[None], len(alphas), axis=0)
        problem = make_problem(vgg, covered[None], vector, alphas, recipe=recipe, start=starts)
        images = solve(vgg, problem, recipe=recipe).images
        found |= {f"{name}, {a:g}": image for a, image in zip(alphas, images, strict=True)}
    return {
        way: np.where(hidden[..., None], np.clip(image, 0, 1), photo).astype(np.float32)
        for way, image in found.items()
    }


def telea(covered: Face, hidden: np.ndarray) -> Face:
    """Returns a photo filled from the border inwards (Telea 2004), in 8 bits as OpenCV has it."""
    mask = hidden.astype(np.uint8)
    filled = cv2.inpaint(to_bytes(covered), mask, RADIUS, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.float32) / 255


def compare(photo: Face, filled: Face, hidden: np.ndarray) -> dict[str, float]:
    """Returns how far the filled square is from the photo's."""
    side = round(np.sqrt(hidden.sum()))
    truth, found = (image[hidden].reshape(side, side, 3) for image in (photo, filled))
    return {
        "psnr": psnr(float(np.square(found - truth).mean())),
        "ssim": float(structural_similarity(truth, found, channel_axis=-1, data_range=1)),
        "lpips": lpips(truth, found),
    }


def print_tables(record: dict[str, Any]) -> None:
    """Prints a table for each dataset, with one row per way."""
    for name in record["images"]:
        print(f"\n{name}\n\n| filled by | PSNR | SSIM | LPIPS |\n| --- | --- | --- | --- |")
        for row in record["rows"]:
            if row["images"] == name:
                each = {m: [photo[m] for photo in row["photos"]] for m in ("psnr", "ssim", "lpips")}
                print(f"| {row['way']} | {' | '.join(map(show, each.values()))} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
