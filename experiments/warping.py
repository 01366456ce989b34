"""Does warping a turned head to the average face put an edit where it belongs?

    python experiments/warping.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/warping.py --quick

Photos of people whom neither the vectors nor the judge have seen (`judged_edits.divide`) are sorted
by how far the head is turned to the side, and each is edited with and without a warp. The table has
one row per angle and way: the gain (1 is the distance between typical faces without and with the
attribute), its spread between photos, the share of faces that pass the midpoint, the movement of
the other attributes, the identity distance, and the change in grey levels. The pictures in the
folder show more than the judge sees, which knows few turned heads.

A rerun finds the edited faces in the folder again. This needs the extra `faces`. `--quick` edits
drawn faces, which all look straight ahead.
"""

import dataclasses
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from jaxtyping import Float

from dfi_jax import Dataset, Editor, Recipe, load_dataset, load_vgg
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.photo import faces
from dfi_jax.photo.warp import Warp
from dfi_jax.vectors.fit import fit

HEAD = np.array(
    [
        (0, 0, 0),
        (0, 330, 65),
        (-225, -170, 135),
        (225, -170, 135),
        (-150, 150, 125),
        (150, 150, 125),
    ]
)
"""Nose tip, chin, outer corners of the eyes and corners of the mouth of a generic head: right, down
and away from the camera. Only the proportions count."""

HEAD_LANDMARKS = (30, 8, 36, 45, 48, 54)
"""The same points among dlib's 68."""

MEASURES = ("gain", "spread", "reached", "others", "identity", "mean", "border")
"""The measures of the tables."""

WARPED = {"plain": "no", "warped": "yes"}
"""What the tables say of each way."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attributes: Attributes that are added.
      alpha: Strength, in multiples of the fitted vector.
      angles: Limits, in degrees, between the groups of photos.
      photos: Number of photos per attribute and group.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for sums, edits and pictures.
    """

    dataset: str
    attributes: tuple[str, ...] = ("Smiling", "Mouth Slightly Open", "Eyeglasses")
    alpha: float = 1.5
    angles: tuple[float, ...] = (0, 10, 20, 30, 45)
    photos: int = 3
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/warping"


QUICK = Config(
    dataset="synthetic:160",
    attributes=("Smiling",),
    angles=(0, 90),
    photos=1,
    changes=SMALL,
    weights="random-vgg16",
)


def yaw(points: Float[np.ndarray, "68 2"]) -> float:
    """Returns how far a head is turned to the side, in degrees; positive towards the right.

    It is the yaw of the rotation R nearest to the affine map from a generic head's points to the
    face's, q ≈ s·R₁₂·p + t, as under weak perspective.

    >>> round(yaw(faces.CANONICAL_LANDMARKS))
    0
    """
    design = np.column_stack([HEAD, np.ones(len(HEAD))])
    found, *_ = np.linalg.lstsq(design, points[list(HEAD_LANDMARKS)], rcond=None)
    u, _, vt = np.linalg.svd(found[:3].T, full_matrices=False)
    right, down = u @ vt
    return float(np.degrees(np.arctan2(-right[2], np.cross(right, down)[2])))


def sort_by_angle(dataset: Dataset, rows: list[int], angles: tuple[float, ...]) -> list[list[int]]:
    """Returns the images between each two limits of how far the head is turned."""
    groups: list[list[int]] = [[] for _ in angles[1:]]
    for row in rows:
        points = faces.nearest(dataset.read(row), dataset.placement(row))
        if points is not None:
            group = int(np.searchsorted(angles, abs(yaw(points)), side="right")) - 1
            if group < len(groups):
                groups[group].append(row)
    return groups


def time_warp(size: int) -> float:
    """Returns the median seconds of a warp and of the way back."""
    face = np.random.default_rng(0).random((size, size, 3), np.float32)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        warp = Warp.between(faces.CANONICAL_LANDMARKS + 1, faces.CANONICAL_LANDMARKS)
        warp.back(warp.average_face(face))
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def run(config: Config) -> dict[str, Any]:
    """Edits every photo with and without a warp, and returns the rows of the table."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    editor = Editor(recipe=Recipe().set(config.changes), weights=vgg)
    groups, out, size = (
        judged_edits.divide(dataset),
        Path(config.out),
        editor.resolved_recipe.features.size,
    )
    sums = out / f"{len(dataset)}-images-{size}-pixels" / "half-0"
    fitted = fit(vgg, dataset, recipe=editor.resolved_recipe, rows=groups.vectors, folder=sums)
    judge = fit_judge(dataset, groups.judge)
    by_angle = sort_by_angle(dataset, groups.photos, config.angles)
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        vector = fitted.vector(attribute)
        for low, high, images in zip(config.angles, config.angles[1:], by_angle, strict=False):
            photos = judged_edits.choose_photos(dataset, images, attribute, config.photos)
            for warp in (False, True):
                way = "warped" if warp else "plain"
                print(f"{attribute}, {low:g}–{high:g}°, {way}", file=sys.stderr, flush=True)
                ((_, means),) = judged_edits.edit_and_measure(
                    editor,
                    dataset,
                    photos,
                    vector,
                    (config.alpha,),
                    out / f"{attribute} {low:g}-{high:g}" / way,
                    judge=judge,
                    attribute=attribute,
                    warp=warp,
                )
                rows.append(
                    {
                        "attribute": attribute,
                        "angle": f"{low:g}–{high:g}°",
                        "photos": len(photos),
                        "way": way,
                        **means,
                    }
                )
    return {"config": dataclasses.asdict(config), "rows": rows, "seconds": time_warp(size)}


def print_tables(record: dict[str, Any]) -> None:
    """Prints the means over the attributes, and each attribute."""
    rows = record["rows"]
    judged_edits.print_head(["angle", "warp", "photos"], MEASURES)
    for angle, way in dict.fromkeys((row["angle"], row["way"]) for row in rows):
        some = [row for row in rows if (row["angle"], row["way"]) == (angle, way)]
        means = {name: float(np.mean([row[name] for row in some])) for name in MEASURES}
        labels = [angle, WARPED[way], sum(row["photos"] for row in some)]
        judged_edits.print_row(labels, means, MEASURES)
    print()
    judged_edits.print_head(["attribute", "angle", "warp"], MEASURES)
    for row in rows:
        labels = [row["attribute"], row["angle"], WARPED[row["way"]]]
        judged_edits.print_row(labels, row, MEASURES)
    print(f"\nA warp and the way back take {record['seconds']:.2f} s.")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
