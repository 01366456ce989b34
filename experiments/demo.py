"""What does an edit look like? Eyeglasses and age on a photo of the astronaut Eileen Collins.

    python experiments/demo.py [--out DIR] [--quick] [--json]

Writes the face and, for each attribute, a folder with the edited faces, and prints where they are.
The photo is NASA's, is in the public domain, and comes with scikit-image (the extra `demo`). Its
face is aligned by five points and edited with both starter vectors. `--quick` edits with one
strength and stops after one iteration.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from command_line import run_experiment
from rich.progress import Progress as ProgressBars
from rich.progress import TaskID

from dfi_jax import Editor, Photo, Placement, Progress, Recipe
from dfi_jax.photo.photo import write
from dfi_jax.progress import OnProgress

POINTS = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])
"""Left eye, right eye, nose tip, and left and right corner of the mouth, in pixels of the photo."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is edited, and how.

    Attributes:
      attributes: Names of starter vectors.
      alphas: Strengths.
      iterations: Number of evaluations for each strength.
      out: Folder for the pictures.
    """

    attributes: tuple[str, ...] = ("eyeglasses", "older")
    alphas: tuple[float, ...] = (0.5, 1.0)
    iterations: int = 30
    out: str = "out/demo"


QUICK = Config(alphas=(1.0,), iterations=1)


def run(config: Config) -> dict[str, Any]:
    """Edits the face, writes the pictures, and returns the records of the edits."""
    out = Path(config.out)
    photo = Photo.of(skimage.data.astronaut())
    face = Placement.from_landmarks(POINTS).crop(photo.pixels)
    write(out / "face.png", face)
    editor = Editor(recipe=Recipe().set({"solver.iterations": str(config.iterations)}))
    record: dict[str, Any] = {"config": dataclasses.asdict(config), "face": str(out / "face.png")}
    with ProgressBars() as bars:
        for name in config.attributes:
            edit = editor.edit(
                face,
                name,
                face="whole",
                alphas=config.alphas,
                on_progress=show(bars, bars.add_task(name, total=None)),
            )
            edit.save(out / name, overwrite=True)
            record[name] = {"sheet": str(out / name / "sheet.png"), "edit": edit.record}
    return record


def show(bars: ProgressBars, task: TaskID) -> OnProgress:
    """Returns a function that shows progress as a bar."""

    def update(progress: Progress) -> None:
        bars.update(task, completed=progress.done, total=progress.total)

    return update


def print_tables(record: dict[str, Any]) -> None:
    """Prints where the pictures are."""
    print(f"The face before the edits: {record['face']}")
    for name in record["config"]["attributes"]:
        print(f"The face edited with {name}: {record[name]['sheet']}")


def main() -> None:
    """Edits the face and prints where the pictures are."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
