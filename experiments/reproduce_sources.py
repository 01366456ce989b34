"""What do the published systems give on the same faces, beside the default recipe?

    python experiments/reproduce_sources.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/reproduce_sources.py --quick

Each system's recipe (`dfi_jax.RECIPES`) edits the same photos at the strength that the system uses,
with the same 100 neighbours on each side. Photos and judge are those of `judged_edits.py`.

The networks aren't the systems' own. VGG-16 with ImageNet's weights takes the place of VGG-19. If a
system measures pixels in grey levels, as Caffe's networks do, the weights are converted
(`in_grey_levels`), so that features, total variation and first steps have about the system's units.
The network of the paper is normalised on faces of the dataset.

The table has the gain (1 is the distance between typical faces without and with the attribute), its
spread between photos, the share of faces that pass the midpoint, the movement of the other
attributes, the identity distance, the change in grey levels (in the mean, at the border, and beyond
0.3 cycles per pixel in luma and chroma), evaluations of the network, and the median of the seconds
per edit, which include the means of the neighbours. Every edit is kept, so a run that was
interrupted resumes. A sheet for each attribute has one row per photo: the face, then a column per
system. One photo takes 20 minutes on 2 CPU cores.
"""

import dataclasses
import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from counterfactuals import draw
from kept import kept_arrays
from matched_edits import normalize_on

from dfi_jax import (
    RECIPES,
    VGG,
    Dataset,
    Editor,
    Job,
    Placement,
    Preprocess,
    load_dataset,
    load_vgg,
    near,
)
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.photo.image import resize

NEAR = near.parse("scores:all")
"""Nearness of the neighbours, which counts all scores, as in the published systems."""

MEASURES = (
    "gain",
    "spread",
    "reached",
    "others",
    "identity",
    "mean",
    "border",
    "luma",
    "chroma",
    "evaluations",
    "seconds",
)
"""The columns of the table."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A system: the name of its recipe, and what no recipe says.

    Attributes:
      recipe: Name of the recipe.
      alpha: Strength.
      grey_levels: Whether its network takes grey levels of 255.
    """

    recipe: str
    alpha: float
    grey_levels: bool = True


SYSTEMS = (
    System(recipe="default", alpha=1.0, grey_levels=False),
    System(recipe="chainer-dfi", alpha=0.4),
    System(recipe="paper", alpha=0.4),
    System(recipe="paper-torch", alpha=0.4, grey_levels=False),
    System(recipe="dfi-tensorflow", alpha=0.4),
)
"""The systems, with the strengths of their own examples."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      systems: The systems.
      attributes: Attributes that are added.
      photos: Number of photos per attribute.
      normalized_on: Number of images that the paper's network is normalised on.
      changes: Changes to all recipes.
      weights: Name of the network.
      out: Folder for edits and sheets.
    """

    dataset: str
    systems: tuple[System, ...] = SYSTEMS
    attributes: tuple[str, ...] = ("Smiling",)
    photos: int = 1
    normalized_on: int = 200
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/reproduce_sources"


QUICK = Config(
    dataset="synthetic:80:0:64",
    systems=SYSTEMS[:2],
    normalized_on=10,
    changes=SMALL | {"features.size": "32", "finish": "none"},
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits every photo with every system, and returns the rows of the table."""
    dataset = load_dataset(config.dataset)
    groups, out = judged_edits.divide(dataset), Path(config.out)
    judge = fit_judge(dataset, groups.judge)
    chosen = {
        attribute: judged_edits.choose_photos(dataset, groups.photos, attribute, config.photos)
        for attribute in config.attributes
    }
    sheets: dict[str, list[list[np.ndarray]]] = {attribute: [] for attribute in chosen}
    rows: list[dict[str, Any]] = []
    for system in config.systems:
        editor = make_editor(system, dataset, config)
        measured: list[dict[str, float]] = []
        for attribute, photos in chosen.items():
            edits = [
                edit_photo(editor, dataset, row, placement, attribute, system, out)
                for row, placement in photos.items()
            ]
            for edit in edits:
                found = judged_edits.measure(judge, edit.judged, attribute)
                taken = {"evaluations": edit.evaluations, "seconds": edit.seconds}
                measured.append(found | taken)
            sheets[attribute].append([edit.judged.edited for edit in edits])
        # The first edit of a system includes compilation, which the median of several ignores.
        seconds = float(np.median([row["seconds"] for row in measured]))
        means = judged_edits.average(measured)
        rows.append({"system": system.recipe, **means, "seconds": seconds})
    for attribute, columns in sheets.items():
        faces = [place.crop(dataset.read(row)) for row, place in chosen[attribute].items()]
        side = len(faces[0])
        same = [[resize(face, (side, side)) for face in column] for column in columns]
        draw([faces, *same], out / f"{attribute}.png")
    return {"config": dataclasses.asdict(config), "auc": float(np.mean(judge.auc)), "rows": rows}


def make_editor(system: System, dataset: Dataset, config: Config) -> Editor:
    """Returns an editor with a system's recipe, and with its kind of network."""
    recipe = RECIPES[system.recipe].set(config.changes)
    vgg = load_vgg(config.weights)
    if system.grey_levels:
        vgg = in_grey_levels(vgg)
    if recipe.features.network == "normalized":
        size = recipe.features.size
        vgg = normalize_on(vgg, dataset, images=config.normalized_on, size=size)
    return Editor(recipe=recipe, weights=vgg)


def in_grey_levels(vgg: VGG) -> VGG:
    """Returns the network as if it had been trained on BGR images in grey levels.

    It takes 255·bgr − 255·mean instead of (rgb − mean)/std. With s the mean of 255·std, conv1_1's
    kernel is multiplied by s/(255·std) and every bias by s, so that all activations are s times as
    large. The mean stays the same colour, so that the zeros beyond the border do as well.
    """
    mean, std = (255 * np.asarray(each) for each in (vgg.preprocess.mean, vgg.preprocess.std))
    scale = std.mean()
    params = {
        name: {"kernel": layer["kernel"], "bias": scale * layer["bias"]}
        for name, layer in vgg.params.items()
    }
    kernel = params["conv1_1"]["kernel"] * (scale / std)[None, None, :, None]
    params["conv1_1"]["kernel"] = kernel[:, :, ::-1]
    return dataclasses.replace(
        vgg,
        params=params,
        preprocess=Preprocess(
            mean=tuple(mean[::-1].tolist()), std=(1.0, 1.0, 1.0), scale=255.0, bgr=True
        ),
        name=f"{vgg.name} in grey levels",
        sha256=hashlib.sha256(f"{vgg.sha256} in grey levels".encode()).hexdigest(),
    )


class Made(NamedTuple):
    """An edited face.

    Attributes:
      judged: The face before and after.
      evaluations: Number of evaluations of the network.
      seconds: Seconds that the edit took.
    """

    judged: judged_edits.Edited
    evaluations: float
    seconds: float


def edit_photo(
    editor: Editor,
    dataset: Dataset,
    row: int,
    placement: Placement,
    attribute: str,
    system: System,
    out: Path,
) -> Made:
    """Returns the face of an image in the finished photo, and keeps it in a folder to resume from.

    Args:
      editor: The editor of the system.
      dataset: The dataset of the image.
      row: Number of the image.
      placement: Placement of the face in the image.
      attribute: The attribute that is added.
      system: The system.
      out: Folder for the edits.
    """
    photo = dataset.read(row)
    size = editor.resolved_recipe.features.size
    job = Job(
        photo=photo,
        attribute=attribute,
        alphas=(system.alpha,),
        dataset=dataset,
        near=NEAR,
        face=placement,
        name=str(row),
    )

    def make() -> dict[str, np.ndarray]:
        print(f"{system.recipe}: {attribute}, image {row}", file=sys.stderr, flush=True)
        started = time.perf_counter()
        ((_, edit),) = editor.edit_many([job])
        seconds = time.perf_counter() - started
        edited = resize(edit.views()[1], (size, size)).clip(0, 1)
        return {
            "edited": edited,
            "evaluations": edit.iterations[:1],
            "seconds": np.array([seconds]),
        }

    name = f"{row}-{judged_edits.digest_edit(editor, job)}.safetensors"
    kept = kept_arrays(out / "edits" / system.recipe / name, make)
    face = placement.crop(photo, size=size)
    return Made(
        judged_edits.Edited(row, system.alpha, face, kept["edited"]),
        float(kept["evaluations"][0]),
        float(kept["seconds"][0]),
    )


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per system."""
    print(f"| system | {' | '.join(MEASURES)} |\n{'| --- ' * (1 + len(MEASURES))}|")
    for row in record["rows"]:
        known = [row[name] for name in MEASURES]
        values = " | ".join(f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in known)
        print(f"| {row['system']} | {values} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
