"""What does an edit look like from strength to strength, and beyond what is reasonable?

    python experiments/alpha_sweep.py lfw:DIR [--photos N] [--attribute NAME] [--out DIR] [--json]
    python experiments/alpha_sweep.py --quick

chainer-dfi's author shows smiles at α = 0.1 … 0.5. Here, people who lack the attribute are edited
at these strengths, at larger ones, and at negative ones, with the vector of their 100 + 100
neighbours by scores. The recipe is `default` with the settings of the published systems
(`vectors.PUBLISHED`), under which a strength means what it means there.

Writes a sheet with one row per photo, and each photo as an animation: `N.gif` and `N.webp`, in
which the strength grows and falls again. Prints the gain in the attribute at each strength, as a
judge on another network sees it. What is edited already isn't edited again, so rerunning the
command resumes it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judged_edits
import numpy as np
from judged_edits import Edited
from PIL import Image
from vectors import PUBLISHED

from dfi_jax import Editor, Recipe, load_dataset, near
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.photo.image import to_bytes
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import replacing

FRAME = 300
"""Milliseconds that a strength is shown for."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is edited, and how.

    Attributes:
      dataset: Dataset with scores.
      attribute: Attribute that is added.
      photos: Number of photos.
      alphas: Strengths, the smallest first.
      near: Text of the nearness, as `near.parse` reads it.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for edits and pictures.
    """

    dataset: str
    attribute: str = "Smiling"
    photos: int = 4
    alphas: tuple[float, ...] = (-0.5, -0.3, -0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
    near: str = "scores:all"
    changes: Mapping[str, str] = field(default_factory=lambda: PUBLISHED)
    weights: str = "vgg16"
    out: str = "out/alpha_sweep"


QUICK = Config(
    dataset="synthetic:160",
    photos=1,
    alphas=(-0.2, 0.2, 0.4),
    near="pixels",
    changes=PUBLISHED
    | {
        "features.layers": "conv1_2,conv2_1",
        "features.size": "64",
        "solver.iterations": "5",
    },
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits the photos, writes the pictures, and returns the gains and the paths."""
    dataset, out = load_dataset(config.dataset), Path(config.out)
    groups = judged_edits.divide(dataset)
    photos = judged_edits.choose_photos(
        dataset, groups.photos, config.attribute, count=config.photos
    )
    judge = fit_judge(dataset, groups.judge)
    editor = Editor(recipe=Recipe().set(config.changes), weights=config.weights)
    edits = list(
        judged_edits.edit_all(
            editor,
            dataset,
            photos,
            config.attribute,
            config.alphas,
            out / config.attribute,
            near=near.parse(config.near),
        )
    )
    count = len(config.alphas)
    sweeps = [edits[i : i + count] for i in range(0, len(edits), count)]
    sheet = out / f"{config.attribute}.png"
    draw_sheet(sheet, sweeps)
    rows = []
    for sweep in sweeps:
        animation = out / config.attribute / str(sweep[0].row)
        measured = [judged_edits.measure(judge, edit, config.attribute) for edit in sweep]
        rows.append(
            {
                "photo": dataset.names[sweep[0].row],
                "gains": [row["gain"] for row in measured],
                "animations": [str(path) for path in animate(animation, sweep)],
            }
        )
    return {"config": dataclasses.asdict(config), "sheet": str(sheet), "rows": rows}


def frames(sweep: Sequence[Edited]) -> list[tuple[str, np.ndarray]]:
    """Returns a label and a picture for each strength, and the photo where the strength is 0."""
    found = [(edit.alpha, f"α = {edit.alpha:g}", edit.edited) for edit in sweep]
    found.append((0.0, "original", sweep[0].face))
    return [(label, face) for _, label, face in sorted(found, key=lambda frame: frame[0])]


def draw_sheet(path: Path, sweeps: Sequence[Sequence[Edited]]) -> None:
    """Writes all strengths of all photos, one row per photo."""
    pairs = [frame for sweep in sweeps for frame in frames(sweep)]
    labels, faces = zip(*pairs, strict=True)
    sheet = contact_sheet(faces, labels, columns=len(pairs) // len(sweeps))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def animate(path: Path, sweep: Sequence[Edited]) -> list[Path]:
    """Writes a sweep as a GIF and as a WebP file, up and down again, and returns their paths."""
    up = [Image.fromarray(to_bytes(face)) for _, face in frames(sweep)]
    first, *others = [*up, *up[-2:0:-1]]
    paths = [path.with_suffix(".gif"), path.with_suffix(".webp")]
    for file in paths:
        kind = file.suffix[1:].upper()
        with replacing(file) as temporary:
            first.save(
                temporary,
                format=kind,
                save_all=True,
                append_images=others,
                duration=FRAME,
                loop=0,
                **({"quality": 90} if kind == "WEBP" else {}),
            )
    return paths


def print_tables(record: dict[str, Any]) -> None:
    """Prints the gains of each photo, and where the pictures are."""
    alphas = [f"{alpha:g}" for alpha in record["config"]["alphas"]]
    print(f"| photo | gain at α = {' | '.join(alphas)} |")
    print("| --- " * (1 + len(alphas)) + "|")
    for row in record["rows"]:
        print(f"| {row['photo']} | {' | '.join(f'{gain:.2f}' for gain in row['gains'])} |")
    print(f"\nThe sheet: {record['sheet']}")
    for row in record["rows"]:
        print(f"{row['photo']}: {', '.join(row['animations'])}")


def main() -> None:
    """Prints the table, or the record as JSON."""
    judged_edits.command_line(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
