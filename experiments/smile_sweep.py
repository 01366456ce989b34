"""A smile for ten people who don't: pictures at five strengths, and the seconds that each phase takes.

    python experiments/smile_sweep.py LFW_DIR [--out DIR]

Ten people are drawn from LFW's images with a score for Smiling under −1.5. For each, the attribute vector is that of
the 100 + 100 images nearest by attribute scores, without the person's own, and all strengths are one queue. Writes a
folder a person, one sheet of all of them, and the table below into `table.md`.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from dfi_jax import image, report
from dfi_jax.data import lfw, select
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.select import Like
from dfi_jax.editor import Edited, edit_face, save
from dfi_jax.recipe import RECIPES
from dfi_jax.vectors.subject import vector_between
from dfi_jax.network.weights import load_vgg

BELOW = -1.5
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
SEED = 0

HEADER = "| image | means, s | compilation, s | an iteration of five strengths, s | objective at α = 0.1 … 0.5 |"


def sober(dataset: Dataset, people: int) -> list[int]:
    """Images of different people who don't smile."""
    scores = dataset.scores[:, select.find_attribute("Smiling", dataset.attributes)]
    rows = np.random.default_rng(SEED).permutation(np.flatnonzero(scores < BELOW))
    _, first = np.unique([dataset.people[row] for row in rows], return_index=True)
    return sorted(rows[np.sort(first)][:people].tolist())


def row(name: str, seconds: dict[str, float], edited: Edited) -> str:
    """A line of the table."""
    objective = " ".join(f"{value:.3f}" for value in edited.history[:, -1])
    return (
        f"| {name} | {seconds['means']:.1f} | {seconds['compilation']:.1f} | {seconds['iteration']:.2f} | {objective} |"
    )


def main() -> None:
    """Edits one person after the other, and says how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    parser.add_argument("--out", type=Path, default=Path("out/smile"), help="the folder for the pictures")
    parser.add_argument("--recipe", choices=RECIPES, default="default", help="how")
    parser.add_argument("--people", type=int, default=10, help="how many")
    arguments = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    os.environ["DFI_JAX_CACHE"] = folder.name  # so that the means of an earlier run aren't found
    dataset = lfw.load(arguments.lfw)
    vgg = load_vgg("vgg16")
    recipe = RECIPES[arguments.recipe]
    lines, views, phases = [HEADER, "| --- " * 5 + "|"], [], []
    for index in sober(dataset, arguments.people):
        started = time.perf_counter()
        like = Like(index=index, scores=dataset.scores[index])
        selection = select.select(dataset, like=like, attributes=["Smiling"])
        vector = vector_between(vgg, dataset, ["Smiling"], selection, recipe=recipe)
        seconds = {"means": time.perf_counter() - started}
        edited = edit_face(vgg, dataset.read(index), vector, alphas=ALPHAS, recipe=recipe, place=lfw.CROP)
        name = Path(dataset.names[index]).stem
        subject = {"photograph": name, "attribute": "Smiling"}
        save(arguments.out / name, edited, vgg=vgg, subject=subject, seconds=seconds, force=True)
        phases.append(seconds | edited.seconds)
        lines.append(row(name, phases[-1], edited))
        views += edited.views()
        print(lines[-1], flush=True)
    labels = ["original", *(f"α = {alpha:g}" for alpha in ALPHAS)]
    sheet = report.contact_sheet(views, labels * arguments.people, columns=len(labels))
    image.write(arguments.out / "sheet.png", sheet)
    for phase in ("means", "compilation", "iteration"):
        values = sorted(seconds[phase] for seconds in phases)
        lines.append(f"\n{phase}: median {statistics.median(values):.2f} s, {values[0]:.2f} to {values[-1]:.2f} s")
        print(lines[-1].strip())
    (arguments.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
