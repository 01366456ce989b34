"""Does warping a turned head to the average face put an edit where it belongs?

    python experiments/warping.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/warping.py --quick

Photos of people whom neither the vectors nor the judge have seen (`judged_edits.divide`) are sorted
by how far the head is turned to the side. Each is edited without a warp, with a warp, and with a
warp and a vector of faces that were warped, too. The tables have one row per angle and way, and one
per attribute and way: the gain (1 is the distance between typical faces without and with the
attribute), its spread between photos, the share of faces that pass the midpoint, the movement of
the other attributes, the identity distance, and the change in grey levels. The pictures in the
folder show more than the judge sees, which knows few turned heads.

A last table has the energy of the signal in the vectors of warped faces, ‖w‖² − Σs² before
shrinkage, relative to the vectors of the same faces without a warp.

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
from dfi_jax.vectors.fitted import FittedDataset

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

WAYS = {"plain": (False, False), "warped": (True, False), "both": (True, True)}
"""Whether the photo is warped, and whether the faces in the vector are, for each way."""


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
    """Edits every photo in every way, and returns the rows of the tables."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    editor = Editor(recipe=Recipe().set(config.changes), weights=vgg)
    groups, out, recipe = judged_edits.divide(dataset), Path(config.out), editor.resolved_recipe
    sums = out / f"{len(dataset)}-images-{recipe.features.size}-pixels"
    plain, warped = (
        fit(vgg, faces, recipe=recipe, rows=groups.vectors, folder=sums / name)
        for name, faces in (
            ("half-0", dataset),
            ("half-0-warped", dataclasses.replace(dataset, warped=True)),
        )
    )
    judge = fit_judge(dataset, groups.judge)
    by_angle = sort_by_angle(dataset, groups.photos, config.angles)
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        vectors = {False: plain.vector(attribute), True: warped.vector(attribute)}
        for low, high, images in zip(config.angles, config.angles[1:], by_angle, strict=False):
            photos = judged_edits.choose_photos(dataset, images, attribute, config.photos)
            for way, (photo_warped, faces_warped) in WAYS.items():
                print(f"{attribute}, {low:g}–{high:g}°, {way}", file=sys.stderr, flush=True)
                ((_, means),) = judged_edits.edit_and_measure(
                    editor,
                    dataset,
                    photos,
                    vectors[faces_warped],
                    (config.alpha,),
                    out / f"{attribute} {low:g}-{high:g}" / way,
                    judge=judge,
                    attribute=attribute,
                    warp=photo_warped,
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
    return {
        "config": dataclasses.asdict(config),
        "rows": rows,
        "signal": {name: compare_signals(plain, warped, name) for name in config.attributes},
        "seconds": time_warp(recipe.features.size),
    }


def compare_signals(
    plain: FittedDataset, warped: FittedDataset, attribute: str
) -> dict[str, float]:
    """Returns the energy of a vector's signal with warped faces over that without, by layer."""
    before, after = (
        np.square(fitted.vector(attribute).provenance.signal) for fitted in (plain, warped)
    )
    # A drawn face may have no signal at all.
    ratios = np.divide(after, before, out=np.full_like(after, np.nan), where=before > 0)
    return dict(zip(plain.origin.layers, ratios.tolist(), strict=True))


def print_tables(record: dict[str, Any]) -> None:
    """Prints the means over the attributes, the means over the angles, and the signals."""
    rows = record["rows"]
    heads = ["warped photo", "warped faces in the vector"]
    for column in ("angle", "attribute"):
        judged_edits.print_head([column, *heads, "photos"], MEASURES)
        for value, way in dict.fromkeys((row[column], row["way"]) for row in rows):
            some = [row for row in rows if (row[column], row["way"]) == (value, way)]
            means = {name: float(np.mean([row[name] for row in some])) for name in MEASURES}
            answers = ["yes" if warped else "no" for warped in WAYS[way]]
            labels = [value, *answers, sum(row["photos"] for row in some)]
            judged_edits.print_row(labels, means, MEASURES)
        print()
    layers = record["signal"][rows[0]["attribute"]]
    print(f"| vector | {' | '.join(layers)} |\n{'| --- ' * (1 + len(layers))}|")
    for attribute, ratios in record["signal"].items():
        print(f"| `{attribute}` | {' | '.join(f'{ratio:.2f}' for ratio in ratios.values())} |")
    print(f"\nA warp and the way back take {record['seconds']:.2f} s.")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
