"""Edits of people whom neither the vectors nor the judge have seen, and what they are worth.

The experiments on vectors share this module. It divides the people of a dataset into three groups:
one for the vectors, one for the judge, and one for the photos that are edited.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fitted_vectors import halve, number_people
from jaxtyping import Float
from kept import digest
from PIL import Image
from safetensors.numpy import load_file

from dfi_jax import AttributeVector, Dataset, Editor, Job
from dfi_jax.data.near import Nearness
from dfi_jax.data.wanted import Wanted, find_attribute
from dfi_jax.editor.record import vector_record
from dfi_jax.metrics.change import measure_change
from dfi_jax.metrics.geometry import Geometry, face_geometry
from dfi_jax.metrics.identity import SAME_PERSON, identity_distance
from dfi_jax.metrics.judge import Judge
from dfi_jax.photo import faces
from dfi_jax.photo.image import to_bytes
from dfi_jax.photo.placement import Placement
from dfi_jax.storage.files import write_tensors

KEPT = ("same_person", "detail")
"""Measures that are 1 for a face that isn't edited. All others are 0."""

HEADS = {
    "gain": "gain",
    "spread": "spread",
    "reached": "reached",
    "others": "others",
    "identity": "identity",
    "same_person": "below 0.6",
    "mean": "change",
    "border": "at the border",
    "luma": "luma",
    "chroma": "chroma",
}
"""Heads of the columns of tables, by measure. docs/vectors.md explains them."""

JUDGE_SHARE = 0.6
"""Share of the people who aren't in the vectors whose images teach the judge."""


class Groups(NamedTuple):
    """Images of three groups of people, by their numbers in the dataset.

    Attributes:
      vectors: Images that vectors are computed from.
      judge: Images that the judge learns from.
      photos: Images that may be edited.
    """

    vectors: list[int]
    judge: list[int]
    photos: list[int]


def divide(dataset: Dataset) -> Groups:
    """Returns the images of three groups of people, drawn at random."""
    vectors, others = halve(dataset)
    numbers = number_people(dataset, others)
    judging = np.random.default_rng(1).random(numbers.max() + 1)[numbers] < JUDGE_SHARE
    pairs = list(zip(others, judging, strict=True))
    return Groups(vectors, [r for r, on in pairs if on], [r for r, on in pairs if not on])


def choose_photos(
    dataset: Dataset, rows: Sequence[int], attribute: str, count: int
) -> dict[int, Placement]:
    """Returns images of different people who lack an attribute, drawn at random, with their faces.

    Faces are placed as in anybody's photo: by the landmarks that dlib detects. Images without a
    detected face are skipped. Without dlib, the dataset's own placement is used.

    Args:
      dataset: The dataset.
      rows: Images to choose from.
      attribute: The attribute, such as `Smiling` or `~Young`.
      count: Maximum number of images.
    """
    placed = ((row, place(dataset, row)) for row in people_without(dataset, rows, attribute))
    found = ((row, placement) for row, placement in placed if placement is not None)
    return dict(itertools.islice(found, count))


def people_without(dataset: Dataset, rows: Sequence[int], attribute: str) -> Iterator[int]:
    """Yields an image each of different people who lack an attribute, in random order."""
    present = has(dataset, np.arange(len(dataset)), attribute)
    seen: set[Any] = set()
    for row in np.random.default_rng(2).permutation(rows).tolist():
        person = row if dataset.people is None else dataset.people[row]
        if not present[row] and person not in seen:
            seen.add(person)
            yield row


def has(dataset: Dataset, rows: Sequence[int] | np.ndarray, attribute: str) -> np.ndarray:
    """Returns which images have an attribute, such as `Smiling` or `~Young`."""
    (term,) = Wanted.of(attribute, dataset.attributes).terms
    scores = dataset.scores[rows, find_attribute(term.name, dataset.attributes)]
    return (scores > 0) == term.on


def place(dataset: Dataset, row: int) -> Placement | None:
    """Returns the placement of the largest face in an image, or None if none is detected."""
    if not faces.installed() or dataset.folder is None:
        return dataset.placement(row)
    found = faces.detect(dataset.read(row))
    return found[0].placement if found else None


class Edited(NamedTuple):
    """An edited face.

    Attributes:
      row: Number of the image.
      alpha: Strength.
      face: The face before.
      edited: The face after, in [0, 1].
    """

    row: int
    alpha: float
    face: Float[np.ndarray, "s s 3"]
    edited: Float[np.ndarray, "s s 3"]


def edit_all(
    editor: Editor,
    dataset: Dataset,
    photos: Mapping[int, Placement],
    attribute: str | AttributeVector,
    alphas: Sequence[float],
    folder: Path,
    *,
    near: Nearness | None = None,
    warp: bool = False,
) -> Iterator[Edited]:
    """Yields edits of a dataset's faces, and keeps the crops in a folder to resume from.

    Args:
      editor: The editor.
      dataset: The dataset of the faces. An attribute's name is edited with images of the dataset
        that are near the face.
      photos: Placement of the face in each image, by the image's number.
      attribute: An attribute of the dataset, or a vector.
      alphas: Strengths.
      folder: Folder for the crops.
      near: Nearness by which images are selected, if the attribute is a name.
      warp: Whether faces are warped to the average face.
    """
    jobs = [
        Job(
            photo=dataset.read(row) if dataset.folder is None else file_of(dataset, row),
            attribute=attribute,
            alphas=alphas,
            dataset=dataset if isinstance(attribute, str) else None,
            near=near,
            face=placement,
            warp=warp,
            name=str(row),
        )
        for row, placement in photos.items()
    ]
    paths = {
        job.name: folder / f"{job.name}-{digest_edit(editor, job)}.safetensors" for job in jobs
    }
    for job, edit in editor.edit_many(job for job in jobs if not paths[job.name].exists()):
        crops = np.clip(edit.faces, 0, 1).astype(np.float32)
        write_tensors(paths[job.name], {"faces": crops})
    size = editor.resolved_recipe.features.size
    for row, placement in photos.items():
        face = placement.crop(dataset.read(row), size=size)
        for alpha, crop in zip(alphas, load_file(paths[str(row)])["faces"], strict=True):
            yield Edited(row, alpha, face, crop)


def digest_edit(editor: Editor, job: Job) -> str:
    """Returns a name for everything that an edit depends on, apart from the photo's pixels."""
    vector = job.attribute
    return digest(
        job.request(editor.resolved_recipe),
        job.dataset_sha256,
        editor.resolved_recipe.to_dict(),
        editor.vgg.identity(),
        vector_record(vector) if isinstance(vector, AttributeVector) else None,
    )


def file_of(dataset: Dataset, row: int) -> Path:
    """Returns the file of a dataset's image."""
    assert dataset.folder is not None
    return dataset.folder / dataset.names[row]


def measure(judge: Judge, edit: Edited, attribute: str) -> dict[str, float]:
    """Returns what an edit reached, and what else it changed.

    - `gain`: movement in its own attribute, in distances between typical faces
    - `reached`: 1 if the face passes the midpoint between typical faces, otherwise 0
    - `others`: mean absolute movement in all other attributes, in the same unit
    - `mean`, `border`, `luma`, `chroma`: `metrics.change`
    - `identity`: `metrics.identity`, and `same_person`: 1 if it is below dlib's threshold
    - `mouth_width`, `mouth_opening`, `corner_lift`, `eye_opening`: changes of `metrics.geometry`

    Identity and geometry are NaN without dlib.
    """
    before, after = judge.positions(np.stack([edit.face, edit.edited]))
    distance = identity_distance(edit.face, edit.edited) if faces.installed() else float("nan")
    return {
        **measure_movement(judge, before, after, attribute),
        **measure_change(edit.face, edit.edited)._asdict(),
        "identity": distance,
        "same_person": float(distance < SAME_PERSON) if faces.installed() else float("nan"),
        **reshaped(edit),
    }


def measure_movement(
    judge: Judge, before: np.ndarray, after: np.ndarray, attribute: str
) -> dict[str, float]:
    """Returns the measures `gain`, `reached` and `others` of two positions of a face."""
    column = column_of(judge, attribute)
    start, end = (towards(position[column], attribute) for position in (before, after))
    return {
        "gain": float(end - start),
        "reached": float(end > 0.5),
        "others": float(np.abs(np.delete(after - before, column)).mean()),
    }


def positions_in(
    judge: Judge, faces: Float[np.ndarray, "n s s 3"], attribute: str
) -> Float[np.ndarray, " n"]:
    """Returns the positions of faces between those without (0) and with (1) an attribute."""
    return towards(judge.positions(faces)[:, column_of(judge, attribute)], attribute)


def column_of(judge: Judge, attribute: str) -> int:
    """Returns the judge's column of an attribute, such as `Smiling` or `~Young`."""
    return find_attribute(attribute.removeprefix("~"), judge.attributes)


def towards(position: Any, attribute: str) -> Any:
    """Returns positions on the axis of an attribute, which `~` turns round."""
    return 1 - position if attribute.startswith("~") else position


def reshaped(edit: Edited) -> dict[str, float]:
    """Returns how far an edit changed the shape of the mouth and the eyes; NaN if it is unknown."""
    found = [face_geometry(face) for face in (edit.face, edit.edited)] if faces.installed() else []
    if None in found or not found:
        return dict.fromkeys(Geometry._fields, float("nan"))
    before, after = (np.array(shape) for shape in found)
    return dict(zip(Geometry._fields, (after - before).tolist(), strict=True))


def average(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean of each measure, and the standard deviation of the gain between photos.

    Unknown values, which are NaN, don't count.
    """
    means = {name: mean_of_known([row[name] for row in rows]) for name in rows[0]}
    return means | {"spread": float(np.std([row["gain"] for row in rows]))}


def mean_of_known(values: Sequence[float]) -> float:
    """Returns the mean of the values that aren't NaN, or NaN if all are."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def matched(
    curve: Sequence[tuple[float, Mapping[str, float]]], gain: float = 1.0
) -> dict[str, float] | None:
    """Returns the strength at which the mean gain has a value, and the measures there.

    The measures are interpolated between the strengths. Before the first, they are those of a face
    that isn't edited (`KEPT`).

    Args:
      curve: Pairs of a strength and the means at that strength, by increasing strength.
      gain: The mean gain.

    Returns:
      None if no strength reaches the gain.
    """
    alphas = np.array([0.0, *(alpha for alpha, _ in curve)])
    gains = np.array([0.0, *(row["gain"] for _, row in curve)])
    above = np.flatnonzero(gains >= gain)
    if not len(above):
        return None
    i = int(above[0])
    share = (gain - gains[i - 1]) / (gains[i] - gains[i - 1])
    found = {"alpha": float(alphas[i - 1] + share * (alphas[i] - alphas[i - 1]))}
    for name in curve[0][1]:
        values = [float(name in KEPT), *(row[name] for _, row in curve)]
        found[name] = float(values[i - 1] + share * (values[i] - values[i - 1]))
    return found


def edit_and_measure(
    editor: Editor,
    dataset: Dataset,
    photos: Mapping[int, Placement],
    source: str | AttributeVector,
    alphas: Sequence[float],
    folder: Path,
    *,
    judge: Judge,
    attribute: str,
    near: Nearness | None = None,
    warp: bool = False,
) -> list[tuple[float, dict[str, float]]]:
    """Returns each strength with the means of its edits, and writes the faces beside the folder.

    The arguments are those of `edit_all` and `measure`; `source` is the attribute or its vector.
    """
    edits = list(edit_all(editor, dataset, photos, source, alphas, folder, near=near, warp=warp))
    measured = [measure(judge, edit, attribute) for edit in edits]
    count = len(alphas)
    rows = [edits[i : i + count] for i in range(0, len(edits), count)]
    picture = np.concatenate(
        [np.concatenate([row[0].face, *(edit.edited for edit in row)], axis=1) for row in rows]
    )
    Image.fromarray(to_bytes(picture)).save(folder.with_suffix(".png"))
    return [(alpha, average(measured[i::count])) for i, alpha in enumerate(alphas)]


def print_head(labels: Sequence[str], measures: Iterable[str]) -> None:
    """Prints the head of a table with columns of labels and of measures."""
    heads = [*labels, *(HEADS[name] for name in measures)]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")


def print_row(labels: Iterable[Any], means: Mapping[str, float], measures: Iterable[str]) -> None:
    """Prints a row of such a table."""
    cells = [*map(str, labels), *(f"{means[name]:.2f}" for name in measures)]
    print(f"| {' | '.join(cells)} |")
