"""What does an edit look like from strength to strength, and beyond what is reasonable?

    python experiments/alpha_sweep.py lfw:DIR [--photos N] [--attribute NAME] [--alphas=A,…]
    python experiments/alpha_sweep.py lfw:DIR --alphas=-0.5,1.5 --frames 61
    python experiments/alpha_sweep.py --quick

chainer-dfi's author shows smiles at α = 0.1 … 0.5. Here, people who lack the attribute are edited
at these strengths, at larger ones, and at negative ones, with the vector of their 100 + 100
neighbours by scores. The recipe is `default` with the vector of chainer-dfi and a solver that suits
it (`vectors.PUBLISHED`), so that a strength means about the same as there.

Writes a sheet with one row per photo, each strength as a picture, `N/000001.png` and on, and each
photo as an animation: `N.gif` and `N.webp`, in which the strength grows and falls again. With
`--frames`, that many strengths at equal distances, from the first given to the last, make a movie,
as the DFI authors' program `render_movie` does: each frame starts from the one before, and takes a
fraction of the evaluations of the first (`LATER`).

Prints the gain in the attribute at each strength, as a judge on another network measures it. Edits
that exist already are skipped, so rerunning the command resumes it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from jaxtyping import Float
from judged_edits import Edited
from PIL import Image
from vectors import PUBLISHED

from dfi_jax import Editor, Recipe, load_dataset, near
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.photo.image import to_bytes
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import replacing

FRAME = 300
"""Milliseconds that a strength is shown for, if each was chosen."""

MOVIE_FRAME = 40
"""Milliseconds that a frame of a movie is shown for. GIF counts in hundredths of a second."""

LATER = {"start": "previous", "start.later_iterations": "0.2"}
"""Changes to the recipe of a movie, whose frames differ little from each other."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is edited, and how.

    Attributes:
      dataset: Dataset with scores.
      attribute: Attribute that is added.
      photos: Number of photos.
      alphas: Strengths, the smallest first.
      frames: Number of frames of a movie from the first of the strengths to the last. With 0, the
        frames are the strengths.
      near: Text of the nearness, as `near.parse` reads it.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for edits and pictures.
    """

    dataset: str
    attribute: str = "Smiling"
    photos: int = 4
    alphas: tuple[float, ...] = (-0.5, -0.3, -0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
    frames: int = 0
    near: str = "scores:all"
    changes: Mapping[str, str] = field(default_factory=lambda: PUBLISHED)
    weights: str = "vgg16"
    out: str = "out/alpha_sweep"


QUICK = Config(
    dataset="synthetic:160:0:64",
    photos=1,
    alphas=(-0.2, 0.4),
    frames=3,
    near="pixels",
    changes=PUBLISHED | SMALL,
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
    changes = {**config.changes, **(LATER if config.frames else {})}
    editor = Editor(recipe=Recipe().set(changes), weights=config.weights)
    alphas = strengths(config)
    folder = out / f"{config.attribute}{' movie' if config.frames else ''}"
    edits = list(
        judged_edits.edit_all(
            editor,
            dataset,
            photos,
            config.attribute,
            alphas,
            folder,
            near=near.parse(config.near),
        )
    )
    count = len(alphas)
    sweeps = [edits[i : i + count] for i in range(0, len(edits), count)]
    sheet = folder.with_suffix(".png")
    draw_sheet(sheet, sweeps)
    rows = []
    for sweep in sweeps:
        path = folder / str(sweep[0].row)
        pictures = [Image.fromarray(to_bytes(face)) for _, face in frames(sweep)]
        write_frames(path, pictures)
        shown = MOVIE_FRAME if config.frames else FRAME
        measured = [judged_edits.measure(judge, edit, config.attribute) for edit in sweep]
        rows.append(
            {
                "photo": dataset.names[sweep[0].row],
                "gains": [row["gain"] for row in measured],
                "frames": str(path),
                "animations": [str(file) for file in animate(path, pictures, shown)],
            }
        )
    return {
        "config": dataclasses.asdict(config),
        "alphas": alphas,
        "sheet": str(sheet),
        "rows": rows,
    }


def strengths(config: Config) -> list[float]:
    """Returns the strengths of all frames.

    >>> strengths(Config(dataset="", alphas=(-0.5, 1.5), frames=5))
    [-0.5, 0.0, 0.5, 1.0, 1.5]
    """
    if not config.frames:
        return list(config.alphas)
    steps = np.linspace(config.alphas[0], config.alphas[-1], config.frames)
    return [round(alpha, 6) for alpha in steps.tolist()]


def frames(sweep: Sequence[Edited]) -> list[tuple[str, Float[np.ndarray, "s s 3"]]]:
    """Returns a label and a picture for each strength, and the photo where the strength is 0."""
    found = [(edit.alpha, f"α = {edit.alpha:g}", edit.edited) for edit in sweep if edit.alpha]
    found.append((0.0, "original", sweep[0].face))
    return [(label, face) for _, label, face in sorted(found, key=lambda frame: frame[0])]


def draw_sheet(path: Path, sweeps: Sequence[Sequence[Edited]]) -> None:
    """Writes all strengths of all photos, one row per photo."""
    pairs = [frame for sweep in sweeps for frame in frames(sweep)]
    labels, faces = zip(*pairs, strict=True)
    sheet = contact_sheet(faces, labels, columns=len(pairs) // len(sweeps))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def write_frames(folder: Path, pictures: Sequence[Image.Image]) -> None:
    """Writes each picture as a PNG file, numbered from 1, as programs that make movies expect."""
    for i, picture in enumerate(pictures, start=1):
        with replacing(folder / f"{i:06}.png") as temporary:
            picture.save(temporary, format="PNG")


def animate(path: Path, pictures: Sequence[Image.Image], shown: int) -> list[Path]:
    """Writes a GIF and a WebP file that play pictures up and down again, and returns their paths.

    Args:
      path: Path of the files, without suffix.
      pictures: The pictures, by increasing strength.
      shown: Milliseconds that each is shown for.
    """
    first, *others = [*pictures, *pictures[-2:0:-1]]
    paths = [path.with_suffix(".gif"), path.with_suffix(".webp")]
    for file in paths:
        kind = file.suffix[1:].upper()
        with replacing(file) as temporary:
            first.save(
                temporary,
                format=kind,
                save_all=True,
                append_images=others,
                duration=shown,
                loop=0,
                **({"quality": 90} if kind == "WEBP" else {}),
            )
    return paths


def print_tables(record: dict[str, Any]) -> None:
    """Prints the gains of each photo, and where the pictures are."""
    alphas = [f"{alpha:g}" for alpha in record["alphas"]]
    print(f"| photo | gain at α = {' | '.join(alphas)} |")
    print("| --- " * (1 + len(alphas)) + "|")
    for row in record["rows"]:
        print(f"| {row['photo']} | {' | '.join(f'{gain:.2f}' for gain in row['gains'])} |")
    print(f"\nThe sheet: {record['sheet']}")
    for row in record["rows"]:
        print(f"{row['photo']}: {row['frames']}, {', '.join(row['animations'])}")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
