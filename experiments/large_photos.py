"""Large faces: does an edit at 400 pixels, from the result at 200, give sharper edges?

    python experiments/large_photos.py lfw:DIR [--subjects SUBJECTS] [--sizes SIZES] [--json]
    python experiments/large_photos.py --quick

A vector of each attribute is fitted at each size, to the same images: as many with eyeglasses as
without, of people whom the judge doesn't know. Each photo is then edited at each size by itself,
and at the first two sizes, three and so on, each from the result at the size before (`finer` in
Python).

Subjects are files or names, each with the attribute that is added, as in
`me.jpg=Eyeglasses,hopper=Smiling`. The names are `hopper` (matplotlib's photo) and `astronaut`
(scikit-image's, from the extra `demo`).

The first table has a row per edit. *Gain*, *others* and *identity* are measured in crops of 200
pixels (`judged_edits.measure`), everything else in the crop at the photo's own resolution: the
change in grey levels, in the mean and at the border; the change beyond 0.3 cycles per pixel, in
grey and in colour; the steepness of the change, which is the slope that a thousandth of the pixels
exceed, in grey levels per pixel; and its detail, which is the share of its energy at waves shorter
than a fiftieth of the crop. The second table has the share of noise in the energy of each vector,
per layer, before it is shrunk. A sheet for each photo and attribute has the results side by side.
Sums and edits that exist aren't computed again, so rerunning the command resumes it.

This needs the extra `faces`. `--quick` edits a drawn face.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import judged_edits
import numpy as np
from command_line import run_experiment
from whole_photos import Pixels, find_photo

from dfi_jax import (
    AttributeVector,
    Dataset,
    Editor,
    InputError,
    Placement,
    Recipe,
    load_dataset,
    load_vgg,
)
from dfi_jax.metrics.change import measure_change
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.photo.choice import locate
from dfi_jax.photo.image import LUMA
from dfi_jax.photo.photo import Photo, read, write
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import replacing
from dfi_jax.vectors.fit import fit

STEEPEST = 99.9
"""Percentile of the slopes that is the steepness. The edges of rims cover a hundredth of a crop."""

DETAIL = 50
"""Waves per crop beyond which a change counts as detail. 200 pixels hold up to 100."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is edited, and how.

    Attributes:
      dataset: Dataset with scores.
      subjects: Files or names of photos, each with the attribute that is added.
      sizes: Heights and widths of the crop, the smallest first.
      balanced: Attribute that half of the images have that vectors are fitted to.
      images: Number of images with this attribute, and number without it.
      fitted: Attributes that are fitted. A vector holds all but its own constant.
      alpha: Strength of the edits.
      iterations: Number of evaluations at each size.
      changes: Changes to the recipe.
      weights: Name of the network.
      out: Folder for sums, edits and sheets.
    """

    dataset: str
    subjects: str = "hopper=Smiling"
    sizes: tuple[int, ...] = (200, 400)
    balanced: str = "Eyeglasses"
    images: int = 200
    fitted: tuple[str, ...] = (
        "Eyeglasses",
        "Smiling",
        "Mouth Slightly Open",
        "Male",
        "Young",
        "No Beard",
        "Wearing Hat",
        "Bangs",
    )
    alpha: float = 2.0
    iterations: int = 30
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/large_photos"


QUICK = Config(
    dataset="synthetic:120:0:64",
    subjects="drawn=Smiling",
    sizes=(32, 48),
    balanced="Smiling",
    images=15,
    fitted=("Smiling", "Eyeglasses", "Young"),
    iterations=3,
    changes={"features.layers": "conv1_2,conv2_1"},
    weights="random-vgg16",
)


class Subject(NamedTuple):
    """A photo, and what is added to it.

    Attributes:
      name: File or name of the photo.
      attribute: Attribute of the dataset.
    """

    name: str
    attribute: str

    @classmethod
    def parse(cls, text: str) -> "Subject":
        """Returns the subject that a text describes.

        >>> Subject.parse("me.jpg=Smiling")
        Subject(name='me.jpg', attribute='Smiling')
        """
        name, equals, attribute = text.rpartition("=")
        if not equals:
            raise InputError(f"the subject is {text!r}; give PHOTO=ATTRIBUTE.")
        return cls(name, attribute)


def run(config: Config) -> dict[str, Any]:
    """Fits the vectors, edits every photo, and returns the rows of both tables."""
    dataset, out = load_dataset(config.dataset), Path(config.out)
    groups = judged_edits.divide(dataset)
    judge = fit_judge(dataset, groups.judge)
    editors = [make_editor(size, config) for size in config.sizes]
    rows = choose_images(dataset, [*groups.vectors, *groups.photos], config)
    subjects = [Subject.parse(text) for text in config.subjects.split(",")]
    names = sorted({subject.attribute for subject in subjects})
    vectors = [fit_vectors(dataset, rows, names, editor, config) for editor in editors]
    positions = list(range(len(config.sizes)))
    ways = [[i] for i in positions] + [positions[: i + 1] for i in positions[1:]]
    edits: list[dict[str, Any]] = []
    for name, attribute in subjects:
        path = find_photo(name, dataset, None, out)
        photo = read(path)
        placement = locate(Photo.of(photo))
        print(f"{path.stem}: {attribute}", file=sys.stderr, flush=True)
        pictures = {}
        for way in ways:
            chosen = [vectors[i][attribute] for i in way]
            edited = resume(editors[way[0]], photo, placement, chosen, config)
            sizes = ", ".join(str(config.sizes[i]) for i in way)
            about = {"photo": path.stem, "attribute": attribute, "sizes": sizes}
            measured = measure(judge, photo, edited, placement, attribute)
            edits.append({**about, "side": placement.side, **measured})
            pictures[sizes] = edited
        draw_sheet(out / f"{path.stem}-{attribute}.png", photo, pictures, placement)
    return {
        "config": dataclasses.asdict(config),
        "edits": edits,
        "vectors": [
            {"attribute": name, "size": size, "noise": shares_of_noise(vector)}
            for size, found in zip(config.sizes, vectors, strict=True)
            for name, vector in found.items()
        ],
    }


def make_editor(size: int, config: Config) -> Editor:
    """Returns an editor whose crops have a size."""
    changes = {"features.size": str(size), "solver.iterations": str(config.iterations)}
    return Editor(recipe=Recipe().set({**changes, **config.changes}), weights=config.weights)


def choose_images(dataset: Dataset, candidates: Sequence[int], config: Config) -> list[int]:
    """Returns as many images with the balanced attribute as without it, drawn at random."""
    rows = np.random.default_rng(0).permutation(candidates)
    on = judged_edits.has(dataset, rows, config.balanced)
    return sorted([*rows[on][: config.images].tolist(), *rows[~on][: config.images].tolist()])


def fit_vectors(
    dataset: Dataset, rows: list[int], names: list[str], editor: Editor, config: Config
) -> dict[str, AttributeVector]:
    """Returns the vectors of some attributes at the editor's size."""
    columns = [dataset.attributes.index(name) for name in config.fitted]
    some = dataclasses.replace(dataset, attributes=config.fitted, scores=dataset.scores[:, columns])
    recipe = editor.resolved_recipe
    folder = Path(config.out, f"{len(rows)}-images-{recipe.features.size}-pixels")
    fitted = fit(load_vgg(config.weights), some, recipe=recipe, rows=rows, folder=folder)
    return {name: fitted.vector(name) for name in names}


def resume(
    editor: Editor,
    photo: Pixels,
    placement: Placement,
    vectors: Sequence[AttributeVector],
    config: Config,
) -> Pixels:
    """Returns an edit from its file, or makes it and writes the file.

    Args:
      editor: The editor of the first size.
      photo: The photo.
      placement: The face in it.
      vectors: The vector at each size of the edit.
      config: The strength, and the folder.
    """
    made = [vector.provenance.to_dict() for vector in vectors]
    depends = repr((editor.resolved_recipe, config.alpha, made)).encode() + photo.tobytes()
    path = Path(config.out, "edits", f"{hashlib.sha256(depends).hexdigest()[:16]}.png")
    if not path.exists():
        first, *finer = vectors
        edit = editor.edit(photo, first, alphas=[config.alpha], face=placement, finer=finer)
        write(path, edit.pixels[0])
    return read(path)


def measure(
    judge: Judge, photo: Pixels, edited: Pixels, placement: Placement, attribute: str
) -> dict[str, float]:
    """Returns what an edit is worth, as the columns of the first table."""
    small = [placement.crop(each) for each in (photo, edited)]
    found = judged_edits.measure(judge, judged_edits.Edited(0, 1.0, *small), attribute)
    large = [placement.crop(each, size=None) for each in (photo, edited)]
    return {
        **{name: found[name] for name in ("gain", "others", "identity")},
        **measure_change(*large)._asdict(),
        "steepness": steepness(*large),
        "detail": detail(*large),
    }


def steepness(before: Pixels, after: Pixels) -> float:
    """Returns the slope of the change of luma that a thousandth of the pixels exceed.

    >>> step = np.zeros((10, 10, 3), np.float32)
    >>> step[:, 5:] = 10 / 255  # Half of the step lies on each side of a pixel.
    >>> round(steepness(0 * step, step), 3)
    5.0
    """
    rows, columns = np.gradient(255 * ((after - before) @ LUMA))
    return float(np.percentile(np.hypot(rows, columns), STEEPEST))


def detail(before: Pixels, after: Pixels) -> float:
    """Returns the share of waves shorter than 1/`DETAIL` of the crop in the change of luma.

    >>> wave = np.cos(2 * np.pi * np.arange(200) / 200 * np.array([[[60]], [[40]], [[40]]]))
    >>> rows = np.repeat(wave.sum(axis=0)[..., None], 3, axis=-1) * np.ones((200, 1, 1))
    >>> round(detail(0 * rows, rows), 3)  # One wave of 60 per crop, and two of 40.
    0.2
    """
    change = (after - before) @ LUMA
    rows, columns = (np.fft.fftfreq(side) * side for side in change.shape)
    energy = np.square(np.abs(np.fft.fft2(change)))
    return float(energy[np.hypot(rows[:, None], columns) > DETAIL].sum() / energy.sum())


def shares_of_noise(vector: AttributeVector) -> dict[str, float]:
    """Returns the share of noise in the energy of a vector by layer, before it was shrunk."""
    made = vector.provenance
    layers = zip(made.layers, made.noise, made.length, strict=True)
    return {layer: (noise / length) ** 2 for layer, noise, length in layers}


def draw_sheet(
    path: Path, photo: Pixels, pictures: Mapping[str, Pixels], placement: Placement
) -> None:
    """Writes the crop of a photo and of its edits, at the photo's own resolution."""
    crops = [placement.crop(each, size=None) for each in (photo, *pictures.values())]
    with replacing(path) as temporary:
        sheet = contact_sheet(crops, ["original", *pictures], columns=len(crops))
        sheet.save(temporary, format="PNG")


def print_tables(record: dict[str, Any]) -> None:
    """Prints a row per edit, and a row per vector."""
    measures = ("gain", "others", "identity", "mean", "border", "luma", "chroma", "steepness")
    print(f"| photo | crop | attribute | sizes | {' | '.join(measures)} | detail |")
    print("| --- " * (5 + len(measures)) + "|")
    for row in record["edits"]:
        values = [f"{row[name]:.2f}" for name in measures]
        about = [row["photo"], f"{row['side']:.0f}", row["attribute"], row["sizes"]]
        print(f"| {' | '.join([*about, *values])} | {100 * row['detail']:.1f} % |")
    layers = list(record["vectors"][0]["noise"])
    print(f"\n| attribute | size | {' | '.join(layers)} |")
    print("| --- " * (2 + len(layers)) + "|")
    for row in record["vectors"]:
        shares = [f"{100 * row['noise'][layer]:.0f} %" for layer in layers]
        print(f"| {' | '.join([row['attribute'], str(row['size']), *shares])} |")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
