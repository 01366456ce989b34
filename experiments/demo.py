"""The demonstration: spectacles and age on a photograph of the astronaut Eileen Collins.

    python experiments/demo.py [--out DIR]

The photograph is NASA's, in the public domain, and comes with scikit-image. Its face is brought to the canonical crop
by its five points, and edited with the two starter vectors.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from rich.progress import Progress

from dfi_jax import attribute, faces, image
from dfi_jax.edit import edit_face, save
from dfi_jax.recipe import RECIPES
from dfi_jax.weights import load_vgg

POINTS = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])
"""Left eye, right eye, nose tip, left and right mouth corner in the photograph of 512 × 512 pixels."""

ATTRIBUTES = ("eyeglasses", "older")
ALPHAS = (0.2, 0.4)


def main() -> None:
    """Edits, and says where the pictures are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="the folder for the pictures")
    out = parser.parse_args().out

    photograph = skimage.data.astronaut().astype(np.float32) / 255
    face = faces.align(photograph, POINTS)
    image.write(out / "face.png", face)
    vgg = load_vgg("vgg16")
    recipe = RECIPES["default"]
    with Progress() as progress:
        for name in ATTRIBUTES:
            task = progress.add_task(name, total=recipe.iterations)
            edited = edit_face(
                vgg, face, attribute.starter(name), alphas=ALPHAS, recipe=recipe,
                on_progress=lambda state, task=task: progress.update(task, completed=state.iteration),
            )  # fmt: skip
            subject = {"photograph": "skimage.data.astronaut", "attribute": name}
            save(out / name, edited, vgg=vgg, subject=subject, seconds={}, force=True)
    print(f"The face as it was: {out / 'face.png'}")
    for name in ATTRIBUTES:
        print(f"The face with {name}: {out / name / 'sheet.png'}")


if __name__ == "__main__":
    main()
