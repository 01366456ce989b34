"""Is an optimisation for each photo worth its time, beside a generator that edits at once?

    python experiments/gan.py lfw:DIR [--generator FILE] [--photos N] [--out DIR] [--json]
    python experiments/gan.py --quick

Edits photos of people whom neither method nor the judge has seen, at 64 × 64 pixels, and compares:

- `DFI`: the default recipe, as for any photo of this size. The face is enlarged to the network's
  200 × 200 pixels, and the difference is reduced again and added to the photo. The vector is fitted
  to the enlarged faces of the group `vectors` (`judged_edits.divide`), with the other attributes
  held constant.
- `VAE/GAN`: a face drawn from z + αv, where z is the mean of the photo's code, and v the mean of
  the codes of the same group's faces with the attribute, minus the mean of those without it, as in
  the paper (`vae_gan.py`, trained by `train_vae_gan.py`). At α = 0, the face is drawn again without
  an edit.
- `VAE/GAN, others held`: v is a regression of the codes on the scores, with the same attributes
  held constant as for DFI.
- `VAE/GAN, difference added`: the photo, plus the face drawn from z + αv, minus the face drawn
  from z.

The judge has learnt from faces of the same size, of a third group of people. The first table has
the groups. The second has the measures at every strength. The third compares the ways at a mean
gain of 1, the distance between typical faces without and with the attribute, by interpolation. The
columns are those of `vectors.py`, and *detail*: the root mean square of luma beyond 0.3 cycles per
pixel, over the photo's. The fourth has the seconds of one photo at one strength, without
compilation.

DFI's edits are kept in the folder, where a rerun finds them again, with a picture per attribute.
The dataset may also be a file of small faces that `train_vae_gan.py --faces` wrote. `--quick`
trains a tiny generator on drawn faces.
"""

import dataclasses
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import judged_edits
import numpy as np
import small_faces
import train_vae_gan
from command_line import SMALL, run_experiment
from jaxtyping import Float
from latent_edits import Faces, Generator, mean_difference, regression
from PIL import Image
from safetensors.numpy import load_file
from small_faces import SmallFaces

from dfi_jax import AttributeVector, Dataset, Editor, Job, Recipe, load_vgg
from dfi_jax.data.wanted import find_attribute
from dfi_jax.metrics.change import Face, fine, measure_change
from dfi_jax.metrics.identity import SAME_PERSON, identity_distance
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.photo import faces as detection
from dfi_jax.photo.image import LUMA, to_bytes
from dfi_jax.storage.files import write_tensors
from dfi_jax.vectors.fit import fit

USES = {
    "vectors": "directions of both methods; training the generator",
    "judge": "fitting the judge, at 64 × 64; training the generator",
    "photos": "photos to edit",
}
"""What each group of people is used for."""

MEASURES = (
    "gain",
    "spread",
    "reached",
    "others",
    "identity",
    "same_person",
    "mean",
    "border",
    "detail",
)
"""The columns of the tables."""

SHOWN = 8
"""Number of people in a picture."""

ROUNDS = 5
"""Number of times that an edit is timed. The table has the median."""

Edits = Mapping[float, Faces]
"""Edited faces by strength."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores, or a file of small faces.
      generator: File of the weights of the VAE/GAN, or an empty text to train a tiny one.
      attributes: Attributes that are added.
      photos: Number of photos per attribute.
      alphas: Strengths of DFI.
      latent_alphas: Strengths of the VAE/GAN.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for sums, edits and pictures.
    """

    dataset: str
    generator: str = train_vae_gan.Config.out
    attributes: tuple[str, ...] = ("Smiling", "Eyeglasses", "Mouth Slightly Open")
    photos: int = 40
    alphas: tuple[float, ...] = (0.5, 1.0, 1.5)
    latent_alphas: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0)
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/gan"


QUICK = Config(
    dataset="synthetic:160:0:64",
    generator="",
    attributes=("Smiling",),
    photos=2,
    alphas=(1.0,),
    latent_alphas=(0.0, 1.0),
    changes=SMALL,
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits every photo in every way, and returns the rows of the tables."""
    small, out = small_faces.load(config.dataset), Path(config.out)
    path = Path(config.generator) if config.generator else train_tiny(config.dataset, out)
    generator, dataset = Generator.load(path), as_dataset(small)
    editor = Editor(recipe=Recipe().set(config.changes), weights=load_vgg(config.weights))
    recipe = editor.resolved_recipe
    groups = {name: np.flatnonzero(small.group == name) for name in judged_edits.Groups._fields}
    report("fitting the vectors")
    learning = groups["vectors"].tolist()
    sums = out / f"{len(dataset)}-images-{recipe.features.size}-pixels"
    fitted = fit(editor.vgg, dataset, recipe=recipe, rows=learning, folder=sums)
    report("fitting the judge")
    judge = fit_judge(dataset, groups["judge"].tolist())
    z, scores = generator.encode(read(small, learning)), small.scores[learning]
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        without = judged_edits.people_without(dataset, groups["photos"].tolist(), attribute)
        photos = list(itertools.islice(without, config.photos))
        faces, vector = read(small, photos), fitted.vector(attribute)
        column = find_attribute(attribute, dataset.attributes)
        held = [find_attribute(name, dataset.attributes) for name in vector.provenance.held]
        difference = mean_difference(z, scores[:, column] > 0)
        drawn = draw_all(generator, faces, difference, config.latent_alphas)
        again = generator.edit(faces, difference, 0.0)
        ways: dict[str, Edits] = {
            "DFI": edit_all(editor, small, photos, vector, config.alphas, out / attribute),
            "VAE/GAN": drawn,
            "VAE/GAN, others held": draw_all(
                generator, faces, regression(z, scores, column, held), config.latent_alphas
            ),
            "VAE/GAN, difference added": {
                alpha: np.clip(faces + (edited - again), 0, 1)
                for alpha, edited in drawn.items()
                if alpha > 0
            },
        }
        for way, edits in ways.items():
            report(f"{attribute}: {way}")
            curve = [(a, measure(judge, faces, edited, attribute)) for a, edited in edits.items()]
            found = judged_edits.matched(curve)
            rows.append({"attribute": attribute, "way": way, "curve": curve, "at": found})
        save_picture(out / f"{attribute}.png", faces, ways)
    one = faces[:1]
    return {
        "config": dataclasses.asdict(config),
        "device": jax.devices()[0].device_kind,
        "images": {name: len(images) for name, images in groups.items()},
        "auc": float(np.mean(judge.auc)),
        "aucs": {
            attribute: float(judge.auc[judged_edits.column_of(judge, attribute)])
            for attribute in config.attributes
        },
        "training": summary(json.loads(path.with_suffix(".json").read_text())),
        "seconds": {
            "DFI": time_median(partial(editor.edit, one[0], vector, alphas=(1.0,), face="whole")),
            "VAE/GAN": time_median(partial(generator.edit, one, difference, 1.0)),
        },
        "rows": rows,
    }


def report(text: str) -> None:
    """Prints what the experiment is doing."""
    print(text, file=sys.stderr, flush=True)


def train_tiny(source: str, folder: Path) -> Path:
    """Returns the file of a VAE/GAN that was trained for a few steps."""
    path = folder / "tiny.safetensors"
    train_vae_gan.run(dataclasses.replace(train_vae_gan.QUICK, source=source, out=str(path)))
    return path


def summary(training: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of a training without its rows, apart from the last."""
    return {**training, "rows": training["rows"][-1:]}


def as_dataset(small: SmallFaces) -> Dataset:
    """Returns small faces as a dataset of photos that are whole faces."""
    return Dataset(
        name="small faces",
        names=tuple(small.names.tolist()),
        read=lambda index: read(small, [index])[0],
        attributes=tuple(small.attributes.tolist()),
        scores=small.scores,
        people=small.people,
    )


def read(small: SmallFaces, rows: Sequence[int]) -> Faces:
    """Returns some of the faces in [0, 1]."""
    return small.images[list(rows)].astype(np.float32) / 255


def draw_all(
    generator: Generator,
    faces: Faces,
    direction: Float[np.ndarray, " k"],
    alphas: Sequence[float],
) -> Edits:
    """Returns the faces drawn along a direction at every strength."""
    return {alpha: generator.edit(faces, direction, alpha) for alpha in alphas}


def edit_all(
    editor: Editor,
    small: SmallFaces,
    rows: Sequence[int],
    vector: AttributeVector,
    alphas: Sequence[float],
    folder: Path,
) -> Edits:
    """Returns DFI's edits of some faces, which are kept in a folder to resume from."""
    names = ",".join(f"{alpha:g}" for alpha in alphas)
    paths = {row: folder / f"{row}-{names}.safetensors" for row in rows}
    jobs = [
        Job(photo=face, attribute=vector, alphas=alphas, face="whole", name=str(row))
        for row, face in zip(rows, read(small, rows), strict=True)
        if not paths[row].exists()
    ]
    for job, edit in editor.edit_many(jobs):
        report(f"{folder.name}: edited {job.name}")
        photos = np.stack(edit.pixels).astype(np.float32)
        write_tensors(paths[int(job.name)], {"photos": photos})
    edited = np.stack([load_file(path)["photos"] for path in paths.values()], axis=1)
    return dict(zip(alphas, edited, strict=True))


def measure(judge: Judge, faces: Faces, edited: Faces, attribute: str) -> dict[str, float]:
    """Returns the means over all faces of the measures."""
    positions = zip(judge.positions(faces), judge.positions(edited), strict=True)
    return judged_edits.average(
        [
            judged_edits.measure_movement(judge, *pair, attribute) | compare(face, after)
            for face, after, pair in zip(faces, edited, positions, strict=True)
        ]
    )


def compare(face: Face, edited: Face) -> dict[str, float]:
    """Returns the measures of a face that don't need the judge. Identity is NaN without dlib."""
    change = measure_change(face, edited)
    distance = identity_distance(face, edited) if detection.installed() else float("nan")
    return {
        "identity": distance,
        "same_person": float(distance < SAME_PERSON) if detection.installed() else float("nan"),
        "mean": change.mean,
        "border": change.border,
        "detail": detail(edited) / detail(face),
    }


def detail(face: Face) -> float:
    """Returns the root mean square of luma beyond 0.3 cycles per pixel.

    >>> checks = (np.indices((8, 8)).sum(axis=0) % 2)[..., None] * np.ones(3)
    >>> round(detail(checks), 6)
    0.5
    """
    return float(np.sqrt(np.mean(fine((face @ LUMA)[..., None]) ** 2)))


def save_picture(path: Path, faces: Faces, ways: Mapping[str, Edits]) -> None:
    """Writes some faces below each other, each beside its edits in all ways at all strengths."""
    columns = [faces, *(edited for edits in ways.values() for edited in edits.values())]
    rows = [np.concatenate(row, axis=1) for row in zip(*columns, strict=True)]
    Image.fromarray(to_bytes(np.concatenate(rows[:SHOWN]))).save(path)


def time_median(edit: Callable[[], Any]) -> float:
    """Returns the median seconds of an edit, after one that compiles."""
    edit()
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        edit()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def print_tables(record: dict[str, Any]) -> None:
    """Prints the groups, the measures at every strength and at a gain of 1, and the seconds."""
    print("| group | images | used for |\n| --- | --- | --- |")
    for name, count in record["images"].items():
        print(f"| {name} | {count} | {USES[name]} |")
    print()
    heads = f"| attribute | way | α | {' | '.join(MEASURES)} |\n{'| --- ' * (3 + len(MEASURES))}|"
    print(heads)
    for row in record["rows"]:
        for alpha, means in row["curve"]:
            print_row(row, alpha, means)
    print(f"\nAt a gain of 1, or at the largest strength if the gain is smaller there:\n\n{heads}")
    for row in record["rows"]:
        alpha, means = row["curve"][-1]
        at = row["at"] or {"alpha": alpha, **means}
        print_row(row, at["alpha"], at)
    aucs = ", ".join(f"{auc:.3f} for {attribute}" for attribute, auc in record["aucs"].items())
    print(f"\nThe judge's mean AUC is {record['auc']:.3f} ({aucs}).\n")
    print(f"| way | seconds per photo, {record['device']} |\n| --- | --- |")
    for way, seconds in record["seconds"].items():
        print(f"| {way} | {seconds:.4f} |")
    training = record["training"]
    last = training["rows"][-1]
    print(
        f"\nThe VAE/GAN was trained for {last['step']} steps in {last['seconds']:.0f} s "
        f"({training['device']})."
    )


def print_row(row: Mapping[str, Any], alpha: float, means: Mapping[str, float]) -> None:
    """Prints one row of a table."""
    values = " | ".join(f"{means[name]:.2f}" for name in MEASURES)
    print(f"| {row['attribute']} | {row['way']} | {alpha:.2f} | {values} |")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
