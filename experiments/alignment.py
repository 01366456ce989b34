"""What alignment is worth: where eyes and mouths lie in the crop, how sharp the mean face is, an edit that needs it.

    python experiments/alignment.py LFW_DIR [--out DIR]    (needs the extras `faces` and `demo`)

LFW's photographs, as they are and each turned, scaled and shifted at random as a camera might have, are brought to the
canonical crop by both of dlib's models, and the 68 points are found anew in each crop. The error of a face is the mean
distance of its eye and mouth corners to where they are on average in LFW's own crop, in % of the distance between the
eyes. Sharpness of the mean face is the standard deviation of its Laplacian at 100 × 100, below which a mean of JPEG
images shows their blocks, over that of LFW's own crop.
"""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
import skimage.data
from PIL import Image

from dfi_jax import attribute, faces, image, report
from dfi_jax.data import lfw
from dfi_jax.editor import edit_face
from dfi_jax.recipe import RECIPES
from dfi_jax.network.weights import load_vgg

IMAGES = 300
TURN, ZOOM, SHIFT = 12.0, 0.12, 12.0
"""Standard deviations: degrees, relative size, pixels of the crop."""

CORNERS = (36, 39, 42, 45, 48, 54)
"""Eye and mouth corners among the 68 points."""

SIZE = faces.CANONICAL_SIZE


def camera(rng: np.random.Generator) -> np.ndarray:
    """A random similarity transform about the middle of LFW's photographs, 2 × 3."""
    angle, zoom = np.radians(rng.normal(0, TURN)), np.exp(rng.normal(0, ZOOM))
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (lfw.SIDE - 1) / 2)
    return np.column_stack([linear, middle - linear @ middle + rng.normal(0, SHIFT, 2)])


def photographed(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The photograph as it would be had the camera been held so; its edge is repeated."""
    whole = faces.box_placement((0, 0, lfw.SIDE, lfw.SIDE))
    return faces.crop(picture, matrix @ np.vstack([whole, [0, 0, 1]]), size=lfw.SIDE)


def corners(face: np.ndarray) -> np.ndarray | None:
    """Eye and mouth corners in a crop, where a face is found in it."""
    found = faces.detect(face, landmarks=68)
    return found[0].points[list(CORNERS)] if found else None


def sharpness(mean: np.ndarray) -> float:
    """The standard deviation of the Laplacian of the grey image."""
    grey = image.resize(mean, (100, 100)).mean(axis=-1)
    laplacian = grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.std())


def aligned(picture: np.ndarray, landmarks: Literal[5, 68]) -> np.ndarray | None:
    """The canonical crop of the face nearest to the middle."""
    found = faces.detect(picture, landmarks=landmarks)
    if not found:
        return None
    middle = np.array(picture.shape[1::-1]) / 2
    face = min(found, key=lambda face: float(np.linalg.norm(face.points.mean(axis=0) - middle)))
    return faces.crop(picture, face.place)


def main() -> None:
    """Measures, and shows an edit with and without alignment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    parser.add_argument("--out", type=Path, default=Path("out/alignment"), help="the folder for the pictures")
    arguments = parser.parse_args()
    dataset = lfw.load(arguments.lfw)
    rng = np.random.default_rng(0)
    ways = ("LFW's own", "LFW's, 5 points", "LFW's, 68 points", "turned", "turned, 5 points", "turned, 68 points")
    crops: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    for row in np.linspace(0, len(dataset) - 1, IMAGES).astype(int):
        picture = dataset.read(int(row))
        turned = photographed(picture, camera(rng))
        taken = [
            face
            for source in (picture, turned)
            for face in (
                image.resize(image.crop(source, lfw.CROP), (SIZE, SIZE)),
                aligned(source, 5),
                aligned(source, 68),
            )
        ]
        if all(face is not None for face in taken):
            for faces_taken, face in zip(crops.values(), taken, strict=True):
                faces_taken.append(face)
    points = {name: [corners(face) for face in taken] for name, taken in crops.items()}
    both = [i for i in range(len(crops["LFW's own"])) if all(found[i] is not None for found in points.values())]
    template = np.mean([points["LFW's own"][i] for i in both], axis=0)
    eyes = np.linalg.norm(template[:2].mean(axis=0) - template[2:4].mean(axis=0))
    print(f"{len(both)} of {IMAGES} photographs in which the face is found every time")
    print(
        "| crop | error, % of the eyes' distance: mean (median, 95 %) | sharpness of the mean face |\n"
        + "| --- " * 3
        + "|"
    )
    first = None
    for name, taken in crops.items():
        errors = [np.linalg.norm(points[name][i] - template, axis=1).mean() / eyes * 100 for i in both]
        sharp = sharpness(np.mean([taken[i] for i in both], axis=0))
        first = first or sharp
        print(f"| {name} | {np.mean(errors):.1f} ({np.median(errors):.1f}, {np.percentile(errors, 95):.1f}) "
              f"| {sharp / first:.2f} |")  # fmt: skip
    means = [np.mean([taken[i] for i in both], axis=0) for taken in crops.values()]
    image.write(arguments.out / "means.png", report.contact_sheet(means, list(crops)))
    show(arguments.out)


def show(out: Path) -> None:
    """Spectacles for the astronaut, tilted, in a square around the face and in the canonical crop."""
    astronaut = np.asarray(Image.fromarray(skimage.data.astronaut()).rotate(14, Image.Resampling.BICUBIC), np.float32)
    photograph = astronaut[:420, 60:480] / 255
    (face, *_) = faces.detect(photograph)
    x0, y0, x1, y1 = face.box
    margin = round(0.4 * (x1 - x0))
    square = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
    views, labels = [], []
    for name, place in (("a square", square), ("aligned", face.place)):
        edited = edit_face(load_vgg("vgg16"), photograph, attribute.starter("eyeglasses"), alphas=(0.4,),
                           recipe=RECIPES["default"], place=place)  # fmt: skip
        views += [image.resize(view, (300, 300)) for view in edited.views()]
        labels += [name, f"{name}, with spectacles"]
    image.write(out / "astronaut.png", report.contact_sheet(views, labels))
    print(f"the pictures are in {out}")


if __name__ == "__main__":
    main()
