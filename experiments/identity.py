"""Are the edited faces in a folder still the same people?

    python experiments/identity.py FOLDER [--json]
    python experiments/identity.py --quick

FOLDER is what `directions.py` or `normalization.py` wrote. In each of its folders, `faces.jpg` has
faces one below the other, and every other picture has the same faces, edited. The first table has
the mean of dlib's distances between each face and its edit, and the share below dlib's threshold
for the same person. The second has the range of these means in each folder. The program needs the
extra `faces`, but neither the dataset nor the machine that edited. `--quick` measures drawn faces.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from command_line import run_experiment
from jaxtyping import Float
from PIL import Image

from dfi_jax import load_dataset
from dfi_jax.metrics.identity import SAME_PERSON, identity_distance
from dfi_jax.photo.image import to_bytes

FACES = "faces.jpg"
"""Name of the picture of the faces before they are edited."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      folder: Folder of folders of pictures, or an empty text for drawn faces.
    """

    folder: str


QUICK = Config(folder="")


def run(config: Config) -> list[dict[str, Any]]:
    """Returns the rows of the table."""
    if config.folder:
        return measure_folder(Path(config.folder))
    faces = np.stack([load_dataset("synthetic:2").face(i, 200) for i in range(2)])
    with tempfile.TemporaryDirectory() as folder:
        save_sheet(Path(folder, "drawn", FACES), faces)
        save_sheet(Path(folder, "drawn", "exchanged.jpg"), faces[::-1])
        return measure_folder(Path(folder))


def measure_folder(folder: Path) -> list[dict[str, Any]]:
    """Returns the mean distance and the share of the same people for every edited picture."""
    rows = []
    for path in sorted(folder.glob("*/*.jpg")):
        if path.name == FACES:
            continue
        pairs = zip(read_sheet(path.with_name(FACES)), read_sheet(path), strict=True)
        distances = np.array([identity_distance(face, edited) for face, edited in pairs])
        same = float(np.mean(distances < SAME_PERSON))
        found = {"identity": float(distances.mean()), "same person": same}
        rows.append({"attribute": path.parent.name, "direction": path.stem} | found)
    return rows


def save_sheet(path: Path, faces: Float[np.ndarray, "n s s 3"]) -> None:
    """Writes faces below each other as a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(to_bytes(np.concatenate(faces)))
    picture.save(path, quality=95, subsampling=0)


def read_sheet(path: Path) -> list[np.ndarray]:
    """Returns the faces that `save_sheet` wrote."""
    pixels = np.asarray(Image.open(path), np.float32) / 255
    return np.split(pixels, len(pixels) // pixels.shape[1])


def print_tables(rows: list[dict[str, Any]]) -> None:
    """Prints one row per picture, then one row per folder."""
    print("| attribute | direction | identity | same person |\n| --- | --- | --- | --- |")
    for row in rows:
        measured = f"{row['identity']:.2f} | {row['same person']:.2f}"
        print(f"| {row['attribute']} | {row['direction']} | {measured} |")
    print(
        "\n| attribute | pictures | smallest | median | largest |\n| --- | --- | --- | --- | --- |"
    )
    for attribute in dict.fromkeys(row["attribute"] for row in rows):
        some = [row["identity"] for row in rows if row["attribute"] == attribute]
        ends = " | ".join(f"{each:.2f}" for each in (min(some), np.median(some), max(some)))
        print(f"| {attribute} | {len(some)} | {ends} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
