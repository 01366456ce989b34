"""What is alignment worth? Where eyes and mouths lie in the crop, and an edit that needs it.

    python experiments/alignment.py lfw:DIR [--out DIR] [--json]
    python experiments/alignment.py --quick

Both of dlib's models bring the dataset's photos to the canonical crop: each photo as it is, and
turned, scaled and shifted at random, as by a hand-held camera. The 68 points are then detected
again in each crop. Prints, for each kind of crop, the error of a face: the mean distance of its eye
and mouth corners from their mean positions in the dataset's own crop, in % of the distance between
the eyes. The table also has the sharpness of the mean face: the standard deviation of its
Laplacian, relative to the dataset's own crop. It is computed at 100 × 100 pixels, because a mean of
larger JPEG images shows their blocks.

Writes the mean faces, and the astronaut edited in a square around the face and in the canonical
crop. Needs the extras `faces` and `demo`. `--quick` takes a few drawn faces.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import skimage.data
from command_line import run_experiment
from jaxtyping import Float
from PIL import Image

from dfi_jax import Editor, Placement, Recipe, load_dataset
from dfi_jax.photo import faces
from dfi_jax.photo.image import resize
from dfi_jax.report.sheet import contact_sheet

CORNERS = [36, 39, 42, 45, 48, 54]
"""Eye and mouth corners among the 68 points."""

REFERENCE = "the dataset's own"
"""The name of the crops that the others are compared with."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      dataset: Dataset of the faces.
      photos: Number of photos, spread over the dataset.
      turn: Standard deviation of the camera's angle, in degrees.
      zoom: Standard deviation of the logarithm of the camera's scale.
      shift: Standard deviation of the camera's shift, in pixels of the photo.
      iterations: Number of iterations of the edit.
      out: Folder for the pictures.
    """

    dataset: str
    photos: int = 300
    turn: float = 12.0
    zoom: float = 0.12
    shift: float = 12.0
    iterations: int = 30
    out: str = "out/alignment"


QUICK = Config(dataset="synthetic:3", photos=3, iterations=1)


def run(config: Config) -> dict[str, Any]:
    """Crops every photo in every way, writes the pictures, and returns the errors."""
    dataset = load_dataset(config.dataset)
    rng = np.random.default_rng(0)
    crops: dict[str, list[np.ndarray]] = {}
    corners: dict[str, list[np.ndarray]] = {}
    for row in np.linspace(0, len(dataset) - 1, config.photos).astype(int):
        photo = dataset.read(int(row))
        found = crop_photo(photo, dataset.placement(row, pixels=photo), config, rng)
        points = {name: detect_corners(crop) for name, crop in found.items()}
        if all(each is not None for each in points.values()):
            for name, crop in found.items():
                crops.setdefault(name, []).append(np.asarray(crop))
                corners.setdefault(name, []).append(np.asarray(points[name]))
    template = np.mean(corners[REFERENCE], axis=0)
    eyes = np.linalg.norm(template[:2].mean(axis=0) - template[2:4].mean(axis=0))
    means = {name: np.mean(each, axis=0) for name, each in crops.items()}
    rows = []
    for name, each in corners.items():
        distances = np.linalg.norm(np.array(each) - template, axis=2)
        errors = 100 * distances.mean(axis=1) / eyes
        rows.append(
            {
                "crop": name,
                "mean": float(errors.mean()),
                "median": float(np.median(errors)),
                "percentile_95": float(np.percentile(errors, 95)),
                "sharpness": sharpness(means[name]) / sharpness(means[REFERENCE]),
            }
        )
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    contact_sheet(list(means.values()), list(means)).save(out / "means.png")
    edit_astronaut(config).save(out / "astronaut.png")
    return {"config": dataclasses.asdict(config), "photos": len(crops[REFERENCE]), "rows": rows}


def crop_photo(
    photo: Float[np.ndarray, "s s 3"],
    own: Placement,
    config: Config,
    rng: np.random.Generator,
) -> dict[str, Float[np.ndarray, "h w 3"] | None]:
    """Returns every kind of crop of a photo, with None for a crop whose face isn't detected."""
    turned = retake(photo, config, rng)
    return {
        REFERENCE: own.crop(photo),
        "own, 5 points": align(photo, 5),
        "own, 68 points": align(photo, 68),
        "turned": own.crop(turned),
        "turned, 5 points": align(turned, 5),
        "turned, 68 points": align(turned, 68),
    }


def retake(
    photo: Float[np.ndarray, "s s 3"], config: Config, rng: np.random.Generator
) -> Float[np.ndarray, "s s 3"]:
    """Returns the photo as a camera held at random would have taken it; its edge is repeated."""
    side = len(photo)
    angle, zoom = np.radians(rng.normal(0, config.turn)), np.exp(rng.normal(0, config.zoom))
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (side - 1) / 2)
    shift = middle - linear @ middle + rng.normal(0, config.shift, 2)
    whole = np.array(Placement.whole((side, side)).matrix)
    matrix = np.column_stack([linear @ whole[:, :2], linear @ whole[:, 2] + shift])
    (a, b, c), (d, e, f) = matrix.tolist()
    return Placement(((a, b, c), (d, e, f))).crop(photo, size=side)


def align(
    photo: Float[np.ndarray, "h w 3"], points: Literal[5, 68]
) -> Float[np.ndarray, "h w 3"] | None:
    """Returns the canonical crop of the face nearest to the middle, or None if none is detected."""
    found = faces.detect(photo, points=points)
    if not found:
        return None
    middle = np.array(photo.shape[1::-1]) / 2
    distances = [float(np.linalg.norm(face.points.mean(axis=0) - middle)) for face in found]
    return found[int(np.argmin(distances))].placement.crop(photo)


def detect_corners(crop: Float[np.ndarray, "h w 3"] | None) -> Float[np.ndarray, "6 2"] | None:
    """Returns the eye and mouth corners in a crop, or None if no face is detected in it."""
    found = [] if crop is None else faces.detect(crop, points=68)
    return found[0].points[CORNERS] if found else None


def sharpness(mean: Float[np.ndarray, "h w 3"]) -> float:
    """Returns the standard deviation of the Laplacian of the grey image."""
    grey = resize(mean, (100, 100)).mean(axis=-1)
    around = grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1]
    return float((around - 4 * grey[1:-1, 1:-1]).std())


def edit_astronaut(config: Config) -> Image.Image:
    """Returns edits of the tilted astronaut with eyeglasses, in a square and aligned."""
    tilted = Image.fromarray(skimage.data.astronaut()).rotate(14, Image.Resampling.BICUBIC)
    photo = np.asarray(tilted)[:420, 60:480]
    face = faces.detect(photo.astype(np.float32) / 255)[0]
    x0, y0, x1, y1 = face.box
    margin = round(0.4 * (x1 - x0))
    square = Placement.from_box((x0 - margin, y0 - margin, x1 + margin, y1 + margin))
    editor = Editor(recipe=Recipe().set({"solver.iterations": str(config.iterations)}))
    views, labels = [], []
    for name, placement in {"a square": square, "aligned": face.placement}.items():
        edit = editor.edit(photo, "eyeglasses", face=placement)
        views += [resize(view, (300, 300)) for view in edit.views()]
        labels += [name, f"{name}, with eyeglasses"]
    return contact_sheet(views, labels)


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per kind of crop."""
    photos, out = record["config"]["photos"], record["config"]["out"]
    print(f"The face is detected every time in {record['photos']} of {photos} photos.\n")
    error = "error, % of the eyes' distance: mean (median, 95 %)"
    print(f"| crop | {error} | sharpness of the mean face |")
    print("| --- " * 3 + "|")
    for row in record["rows"]:
        errors = f"{row['mean']:.1f} ({row['median']:.1f}, {row['percentile_95']:.1f})"
        print(f"| {row['crop']} | {errors} | {row['sharpness']:.2f} |")
    print(f"\nThe pictures are in {out}.")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
