"""The whole photo at its own size: the DFI authors' second demonstration.

    python experiments/high_resolution.py lfw:DIR [--subjects NAMES] [--published NAMES]
                                          [--out DIR] [--json]
    python experiments/high_resolution.py --quick

As in the authors' demo2.py, a photo is made older or younger, or gets facial hair. The network sees
the whole photo, of any shape, at its own size up to 1000 × 1000. The images with and without the
attribute have the gender and the smile that probes find in the photo. Of the 4·k nearest by scores,
the k are used whose 68 points come nearest to the photo's after a rotation, a scale for each
direction, and a shift. This map also warps them onto the photo, and grey fills what an image
doesn't cover.

Subjects are files or names, separated by commas. The names are `astronaut` (scikit-image's photo,
from the extra `demo`), `hopper` (matplotlib's), and `man`: a man of the dataset without a beard,
whom the judge doesn't know. Their photos are written to the output folder. `man=older+younger`
makes only these edits of a subject. If `NAME-mask.png` lies beside a photo NAME.jpg or NAME.png,
the photo changes only where the mask is white.

Each edit is made in four ways, and in a fifth for the subjects that `--published` names:

- `starter`: `dfi_jax.edit` with a vector of the package, on the square crop of 200 × 200.
- `crop`: the same with the mean difference of the images that the next ways warp.
- `whole`: the demonstration, with the stages of the default recipe, but unshrunk vectors.
- `shrunk`: the same with the default shrinkage.
- `published`: the demonstration, with the stages of `paper-torch`, vectors as they are, strength
  3.5, and a fifth of the authors' 500 iterations. It takes about as long as the other four.

The first table has, for the face's crop, the gain (1 is the distance between typical faces without
and with the attribute), the movement of other attributes, the identity distance, and the change in
grey levels: in the mean, at the border, and beyond 0.3 cycles per pixel in colour. *Outside* is the
mean change outside the crop. The second table has the photos, what probes find in them, and the
factor by which the images were enlarged. The third has the number of images that may be chosen,
without and with the attribute, and in what the chosen ones differ: the attributes that were asked
for, and the other that differs most, in standard deviations of the scores. A sheet for each edit
has the photo, the results, and the differences, four times as strong. Results that exist aren't
computed again, so rerunning the command resumes it.

This needs the extra `faces`, whose model of 68 points isn't licensed for commercial use. `--quick`
edits a drawn face.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import judged_edits
import numpy as np
from command_line import run_experiment
from safetensors.numpy import load_file
from warped_sets import compare_sets, edit_whole, fit_sets
from whole_photos import Pixels, Subject, find_man, find_photo

from dfi_jax import (
    RECIPES,
    Anchor,
    Cache,
    Dataset,
    Editor,
    InputError,
    Recipe,
    Selection,
    Wiener,
    load_dataset,
    select,
)
from dfi_jax.data import landmarks
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.photo.finish import apply_mask
from dfi_jax.photo.photo import write
from dfi_jax.photo.placement import CANONICAL_SIZE
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import replacing, write_tensors


class Kind(NamedTuple):
    """A kind of edit.

    Attributes:
      wanted: Attributes that differ between the sets. The first is judged.
      starter: Name of a vector of the package.
    """

    wanted: str
    starter: str


KINDS = {
    "older": Kind("~Young", "older"),
    "younger": Kind("Young", "~older"),
    "facial hair": Kind("~No Beard,Mustache", "beard"),
}
"""The edits of the demonstration, as LFW's attributes."""

RULE = "paper-high-resolution,smallest=10,k={k},share={share},like_photo={like_photo}"
"""The rule of the demonstration, which asks for 100 images in each set at least."""

PUBLISHED = {"vector": "gain", "vector.factor": "1"}
"""What the demonstration has instead of the vector of `paper-torch`: w as it is."""

STRENGTH, PUBLISHED_STRENGTH = 1.0, 3.5
"""Strengths. The default recipe multiplies w by 4, and `PUBLISHED` by 1."""

AMPLIFIED = 4
"""Factor of the differences on a sheet."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is edited, and how.

    Attributes:
      dataset: Dataset with scores.
      subjects: Files or names of photos, separated by commas, as `parse_subject` reads them.
      kinds: Names of kinds of edits.
      ways: Ways to make each edit.
      published: Subjects, separated by commas, for which `published` is one more way.
      k: Maximum number of images per set. The authors take 100 of many thousands.
      share: Share of the images on either side that are admitted. The authors' 0.7 would leave 26
        older smiling women of LFW's 3000 images.
      like_photo: Attributes in which the images equal the photo.
      iterations: Number of evaluations of the ways with the default recipe.
      published_iterations: Number of iterations of the way `published`.
      changes: Changes to all recipes.
      weights: Name of the network.
      out: Folder for photos, results and sheets.
    """

    dataset: str
    subjects: str = "astronaut"
    kinds: tuple[str, ...] = tuple(KINDS)
    ways: tuple[str, ...] = ("starter", "crop", "whole", "shrunk")
    published: str = ""
    k: int = 30
    share: float = 1.0
    like_photo: tuple[str, ...] = ("Male", "Smiling")
    iterations: int = 30
    published_iterations: int = 100
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/high_resolution"


QUICK = Config(
    dataset="synthetic:60",
    subjects="drawn",
    kinds=("older",),
    ways=("crop", "whole"),
    k=2,
    like_photo=("Smiling",),
    iterations=3,
    changes={"features.layers": "conv1_2,conv2_1", "features.size": "64"},
    weights="random-vgg16",
)


class Result(NamedTuple):
    """An edited photo.

    Attributes:
      pixels: The photo, before its mask is applied.
      facts: Number of images and, for warped images, the mean factor by which they were enlarged.
    """

    pixels: Pixels
    facts: dict[str, float]


def run(config: Config) -> dict[str, Any]:
    """Edits every photo, writes the sheets, and returns the rows of all tables."""
    dataset, out = load_dataset(config.dataset), Path(config.out)
    groups = judged_edits.divide(dataset)
    unjudged = [*groups.vectors, *groups.photos]
    judge, known = fit_judge(dataset, groups.judge), only(dataset, unjudged)
    # A starter stays as it is. Of 30 + 30 images, the default shrinkage leaves hardly a vector.
    changes = {"shrinkage": "unshrunk", "solver.iterations": str(config.iterations)}
    editor = Editor(recipe=Recipe().set({**changes, **config.changes}), weights=config.weights)
    photos: list[dict[str, Any]] = []
    sets: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    for text in config.subjects.split(","):
        name, kinds = parse_subject(text, config.kinds)
        man = find_man(dataset, groups.photos) if name == "man" else None
        images = only(dataset, unjudged, leave_out=man)
        subject = Subject.open(find_photo(name, dataset, man, out))
        published = name in config.published.split(",")
        ways = (*config.ways, "published") if published else config.ways
        scores, probes = editor.scores(subject.pixels, dataset=known, face=subject.placement)
        anchor = Anchor(scores=scores, landmarks=subject.points)
        found = dict(zip(probes.attributes, scores.tolist(), strict=True))
        photos.append(describe(subject, {each: found[each] for each in config.like_photo}))
        for kind in kinds:
            print(f"{subject.name}: {kind}", file=sys.stderr, flush=True)
            about = {"photo": subject.name, "edit": kind}
            try:
                selection = choose(images, anchor, kind, editor.cache, config)
            except InputError as error:
                refused.append({**about, "reason": str(error)})
                continue
            sets.append({**about, **compare_sets(selection, anchor)})
            pictures = {}
            for way in ways:
                result = resume(editor, subject, selection, kind, way, config)
                picture = finish(subject, result.pixels)
                measured = measure(judge, subject, picture, KINDS[kind].wanted)
                rows.append({**about, "way": way, **result.facts, **measured})
                pictures[way] = picture
                write(out / subject.name / f"{kind}-{way}.png", picture)
            draw_sheet(out / subject.name / f"{kind}.png", subject, pictures)
    return {
        "config": dataclasses.asdict(config),
        "photos": photos,
        "sets": sets,
        "rows": rows,
        "refused": refused,
    }


def parse_subject(text: str, kinds: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Returns a subject and its kinds of edits: those after `=`, otherwise all.

    >>> parse_subject("man=facial hair+older", ("older", "younger"))
    ('man', ('facial hair', 'older'))
    >>> parse_subject("a=b.jpg", ("older", "younger"))
    ('a=b.jpg', ('older', 'younger'))
    """
    name, _, chosen = text.rpartition("=")
    some = tuple(chosen.split("+"))
    return (name, some) if set(some) <= set(KINDS) else (text, kinds)


def only(dataset: Dataset, rows: list[int], *, leave_out: int | None = None) -> Dataset:
    """Returns some of a dataset's images, without those of the person in `leave_out`."""
    if leave_out is not None and dataset.people is not None:
        rows = [row for row in rows if dataset.people[row] != dataset.people[leave_out]]
    return dataclasses.replace(
        dataset,
        names=tuple(dataset.names[row] for row in rows),
        read=lambda index: dataset.read(rows[index]),
        scores=dataset.scores[rows],
        people=None if dataset.people is None else dataset.people[rows],
        landmarks=None if dataset.landmarks is None else dataset.landmarks[rows],
    )


def describe(subject: Subject, scores: dict[str, float]) -> dict[str, Any]:
    """Returns a photo's size and the width of its crop, with the scores that probes find."""
    return {
        "photo": subject.name,
        "size": list(subject.pixels.shape[1::-1]),
        "crop": subject.placement.side,
        "scores": scores,
        "mask": subject.mask is not None,
    }


def choose(
    images: Dataset, anchor: Anchor, kind: str, cache: Cache | None, config: Config
) -> Selection:
    """Returns the images of an edit, those first whose points fit the photo's best."""
    like_photo = "+".join(config.like_photo)
    return select(
        images,
        KINDS[kind].wanted,
        anchor=anchor,
        rule=RULE.format(k=config.k, share=config.share, like_photo=like_photo),
        find_landmarks=partial(landmarks.detect, images, points=68, cache=cache),
    )


def resume(
    editor: Editor, subject: Subject, selection: Selection, kind: str, way: str, config: Config
) -> Result:
    """Returns an edit from its file, or makes it and writes the file."""
    same = dataclasses.replace(config, subjects="", kinds=(), ways=(), published="", out="")
    digest = hashlib.sha256(repr(same).encode() + subject.pixels.tobytes()).hexdigest()[:8]
    path = Path(config.out, subject.name, f"{kind}-{way}-{digest}.safetensors")
    if not path.exists():
        result = make_edit(editor, subject, selection, kind, way, config)
        facts = {name: np.array([value], np.float32) for name, value in result.facts.items()}
        write_tensors(path, {"pixels": result.pixels, **facts})
    tensors = load_file(path)
    pixels = tensors.pop("pixels")
    return Result(pixels, {name: float(value[0]) for name, value in tensors.items()})


def make_edit(
    editor: Editor, subject: Subject, selection: Selection, kind: str, way: str, config: Config
) -> Result:
    """Makes an edit in one of the ways."""
    if way in ("starter", "crop"):
        vector = editor.vector(KINDS[kind].starter if way == "starter" else selection)
        edit = editor.edit(subject.pixels, vector, face=subject.placement)
        count = vector.provenance.n_source + vector.provenance.n_target
        return Result(edit.pixels[0].astype(np.float32), {"images": count})
    sets = fit_sets(selection, subject, cache=editor.cache)
    recipe, alpha = editor.resolved_recipe, STRENGTH
    if way == "shrunk":
        recipe = recipe.replace(shrinkage=Wiener())
    elif way == "published":
        iterations = {"solver.iterations": str(config.published_iterations)}
        recipe = RECIPES["paper-torch"].set({**PUBLISHED, **iterations, **config.changes})
        alpha = PUBLISHED_STRENGTH
    maps = np.concatenate([each for _, each in sets])
    return Result(
        edit_whole(editor.vgg, subject.pixels, selection.dataset, sets, recipe, alpha),
        {"images": len(maps), "enlarged": np.sqrt(np.linalg.det(maps[:, :, :2])).mean()},
    )


def finish(subject: Subject, edited: Pixels) -> Pixels:
    """Returns an edit where the subject's mask is white, and the photo elsewhere."""
    if subject.mask is None:
        return edited
    return apply_mask(edited, subject.pixels, subject.mask)


def measure(judge: Judge, subject: Subject, edited: Pixels, wanted: str) -> dict[str, float]:
    """Returns what `judged_edits.measure` finds in the crop, and the mean change outside."""
    crops = [subject.placement.crop(each) for each in (subject.pixels, edited)]
    attribute = wanted.split(",")[0]
    found = judged_edits.measure(judge, judged_edits.Edited(0, 1.0, *crops), attribute)
    return {**found, "outside": change_outside(subject, edited)}


def change_outside(subject: Subject, edited: Pixels) -> float:
    """Returns the mean change outside the crop, in grey levels of 255."""
    everywhere = np.ones((CANONICAL_SIZE, CANONICAL_SIZE, 3), np.float32)
    inside = subject.placement.paste(np.zeros_like(edited), everywhere, feather=0.0)
    return float(255 * np.abs(edited - subject.pixels)[inside == 0].mean())


def draw_sheet(path: Path, subject: Subject, pictures: Mapping[str, Pixels]) -> None:
    """Writes the photo and its edits, and below them the mask and the differences."""
    differences = [0.5 + AMPLIFIED * (each - subject.pixels) for each in pictures.values()]
    mask = np.ones_like(subject.pixels) if subject.mask is None else subject.mask
    images = [subject.pixels, *pictures.values(), mask, *differences]
    corner = "no mask" if subject.mask is None else "mask"
    labels = ["original", *pictures, corner, *(f"{AMPLIFIED} × difference" for _ in pictures)]
    with replacing(path) as temporary:
        sheet = contact_sheet(images, labels, columns=1 + len(pictures))
        sheet.save(temporary, format="PNG")


def print_tables(record: dict[str, Any]) -> None:
    """Prints the tables of edits, photos and sets, and what couldn't be edited."""
    measures = ("gain", "others", "identity", "mean", "border", "chroma", "outside")
    print(f"| photo | edit | way | images | {' | '.join(measures)} |")
    print("| --- " * (4 + len(measures)) + "|")
    for row in record["rows"]:
        values = [f"{row[name]:.2f}" for name in measures]
        cells = [row["photo"], row["edit"], row["way"], f"{row['images']:.0f}", *values]
        print(f"| {' | '.join(cells)} |")
    names = list(record["config"]["like_photo"])
    print(f"\n| photo | size | crop | enlarged | {' | '.join(names)} |")
    print("| --- " * (4 + len(names)) + "|")
    for photo in record["photos"]:
        rows = [row for row in record["rows"] if row["photo"] == photo["photo"]]
        factors = [row["enlarged"] for row in rows if "enlarged" in row]
        scores = [f"{photo['scores'][name]:+.2f}" for name in names]
        cells = [
            photo["photo"],
            "{} × {}".format(*photo["size"]),
            f"{photo['crop']:.0f}",
            f"{judged_edits.mean_of_known(factors):.2f}",
            *scores,
        ]
        print(f"| {' | '.join(cells)} |")
    print("\n| photo | edit | without | with | wanted | other |")
    print("| --- " * 6 + "|")
    for each in record["sets"]:
        counts = map(str, each["admitted"])
        differences = [
            ", ".join(f"{name} {value:+.1f}" for name, value in each[column].items())
            for column in ("wanted", "other")
        ]
        print(f"| {' | '.join([each['photo'], each['edit'], *counts, *differences])} |")
    print()
    for each in record["refused"]:
        print(f"{each['photo']}, {each['edit']}: {each['reason']}")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
