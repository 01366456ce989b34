"""Six attributes on the same faces: the DFI authors' first demonstration.

    python experiments/face_attributes.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/face_attributes.py --quick

As in the authors' demo1.py, each face is made older, its mouth and its eyes are opened, and it gets
a smile, a moustache and eyeglasses, each by itself, with the vector of 100 + 100 similar images of
the dataset. The recipe is `default`. The dataset's scores say that the people don't smile, and have
neither an open mouth nor a moustache nor eyeglasses. An attribute that the dataset lacks is left
out.

Writes one sheet with one row per face, and prints what the edits reached on average: the gain in
the attribute, in distances between typical faces, the mean movement in the other attributes, and
the change in grey levels. Edits that exist already are skipped, so rerunning the command resumes
it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from judged_edits import Edited

from dfi_jax import Dataset, Editor, Recipe, load_dataset, near
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.photo.placement import Placement
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import replacing

ATTRIBUTES = {
    "older": "~Young",
    "mouth open": "Mouth Slightly Open",
    "eyes open": "~Narrow Eyes",
    "smiling": "Smiling",
    "moustache": "Mustache",
    "eyeglasses": "Eyeglasses",
}
"""The attributes of the demonstration, as LFW's attributes."""

ABSENT = ("mouth open", "smiling", "moustache", "eyeglasses")
"""Attributes that no face has before the edits. Hardly anybody in LFW lacks the other two as well:
these would be young people with narrow eyes."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is edited, and how.

    Attributes:
      dataset: Dataset with scores.
      attributes: Names of attributes.
      photos: Number of faces.
      alpha: Strength.
      near: Text of the nearness, as `near.parse` reads it. The paper's is `binary`.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for edits and the sheet.
    """

    dataset: str
    attributes: tuple[str, ...] = tuple(ATTRIBUTES)
    photos: int = 6
    alpha: float = 1.0
    near: str = "scores"
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/face_attributes"


QUICK = Config(
    dataset="synthetic:200:0:64",
    attributes=("smiling", "eyes open", "eyeglasses"),
    photos=1,
    near="pixels",
    changes=SMALL,
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits the faces, writes the sheet, and returns what the edits reached."""
    dataset, out = load_dataset(config.dataset), Path(config.out)
    wanted = {name: ATTRIBUTES[name] for name in config.attributes}
    wanted = {name: text for name, text in wanted.items() if text.lstrip("~") in dataset.attributes}
    groups = judged_edits.divide(dataset)
    absent = [wanted[name] for name in ABSENT if name in wanted]
    photos = choose_faces(dataset, groups.photos, absent, count=config.photos)
    judge = fit_judge(dataset, groups.judge)
    editor = Editor(recipe=Recipe().set(config.changes), weights=config.weights)
    edits, rows = {}, []
    for name, attribute in wanted.items():
        edits[name] = list(
            judged_edits.edit_all(
                editor,
                dataset,
                photos,
                attribute,
                (config.alpha,),
                out / name,
                near=near.parse(config.near),
            )
        )
        measured = [judged_edits.measure(judge, edit, attribute) for edit in edits[name]]
        rows.append({"attribute": name, **judged_edits.average(measured)})
    sheet = out / "sheet.png"
    draw_sheet(sheet, edits)
    return {
        "config": dataclasses.asdict(config),
        "photos": [dataset.names[row] for row in photos],
        "sheet": str(sheet),
        "rows": rows,
    }


def choose_faces(
    dataset: Dataset, rows: Sequence[int], attributes: Sequence[str], *, count: int
) -> dict[int, Placement]:
    """Returns images of different people who lack all attributes, with their faces."""
    lacking = ~np.any([judged_edits.has(dataset, rows, each) for each in attributes], axis=0)
    some = np.array(rows)[lacking].tolist()
    return judged_edits.choose_photos(dataset, some, attributes[0], count)


def draw_sheet(path: Path, edits: Mapping[str, Sequence[Edited]]) -> None:
    """Writes each face and its edits in one row."""
    rows = list(zip(*edits.values(), strict=True))
    faces = [face for row in rows for face in (row[0].face, *(edit.edited for edit in row))]
    labels = ["original", *edits]
    with replacing(path) as temporary:
        contact_sheet(faces, labels * len(rows), columns=len(labels)).save(temporary, format="PNG")


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per attribute, and where the sheet is."""
    columns = ("gain", "spread", "others", "identity", "mean", "border")
    print(f"| attribute | {' | '.join(columns)} |")
    print("| --- " * (1 + len(columns)) + "|")
    for row in record["rows"]:
        print(f"| {row['attribute']} | {' | '.join(f'{row[name]:.2f}' for name in columns)} |")
    print(f"\nThe sheet: {record['sheet']}")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
