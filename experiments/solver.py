"""What pays in the solver, and what doesn't: the default recipe with one thing changed at a time.

    python experiments/solver.py [--iterations 100]

The astronaut of scikit-image, VGG-16, the starter vector for eyeglasses, α = 0.4. For each variant the objective after
some iterations, and the amplitude (root mean square, in grey levels of 255) of the difference from the photograph
beyond 0.3 cycles a pixel: a picture with much of it has noise that no attribute put there. Seconds aren't compared; an
evaluation is nearly all of an iteration, whatever the variant.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from demo import POINTS
from skimage.data import astronaut

from dfi_jax import attribute, descent, faces, preconditioner
from dfi_jax.problem import make_problem
from dfi_jax.recipe import RECIPES, Recipe
from dfi_jax.reconstruct import Reconstruction, reconstruct
from dfi_jax.vgg import prepare
from dfi_jax.weights import load_vgg

DEFAULT = RECIPES["default"]
VECTOR = attribute.starter("eyeglasses").features
SPECTRUM = preconditioner.spectrum
COARSE = 60
"""Iterations at half the size, of a quarter of the cost."""


def one_over_f(size: tuple[int, int]) -> np.ndarray:
    """1/√f instead of the table, the same for every colour."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    scale = np.maximum(frequency, 1 / max(size)) ** -0.5
    return ((scale / np.sqrt(np.mean(scale**2)))[..., None, None] * np.eye(3)).astype(np.float32)


def without_colours() -> np.ndarray:
    """The table with the mean of its diagonal for every colour."""
    power = np.zeros_like(preconditioner.POWER)
    power[:, 0] = preconditioner.POWER[:, 0]
    power[:, [1, 4, 6]] = preconditioner.POWER[:, [1, 4, 6]].mean(axis=1, keepdims=True)
    return power


def everywhere(images: jax.Array) -> jax.Array:
    """No scale by place."""
    return jnp.ones_like(images[..., :1])


def noise(difference: np.ndarray) -> float:
    """Its amplitude beyond 0.3 cycles a pixel, in grey levels."""
    height, width = difference.shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    high = np.fft.fft2(difference, axes=(0, 1)) * (frequency > 0.3)[..., None]
    return 255 * float(np.sqrt(np.mean(np.fft.ifft2(high, axes=(0, 1)).real ** 2)))


def coarse(image: jax.Array) -> jax.Array:
    """Where half the size ends, at the whole: the image and the difference found, both scaled."""
    recipe = DEFAULT.replace(size=DEFAULT.size // 2, iterations=COARSE)
    small = jax.image.resize(image, (1, recipe.size, recipe.size, 3), "cubic").clip(0, 1)
    vector = {name: jax.image.resize(w, (w.shape[0] // 2, w.shape[1] // 2, w.shape[2]), "linear")
              for name, w in VECTOR.items()}  # fmt: skip
    problem = make_problem(load_vgg("vgg16"), small, vector, jnp.array([0.4]), recipe=recipe)
    found = reconstruct(load_vgg("vgg16"), problem, recipe=recipe).images - small
    return image + jax.image.resize(found, image.shape, "cubic")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=100)
    iterations = parser.parse_args().iterations
    marks = [max(1, iterations * i // 10) for i in (3, 6, 10)]
    image = jnp.asarray(faces.align(astronaut().astype(np.float32) / 255, POINTS))[None]
    vgg = prepare(load_vgg("vgg16"))

    def run(recipe: Recipe = DEFAULT, alpha: float = 0.4, start: jax.Array | None = None) -> Reconstruction:
        recipe = recipe.replace(iterations=iterations)
        problem = make_problem(vgg, image, VECTOR, jnp.array([alpha]), recipe=recipe, start=start)
        return reconstruct(vgg, problem, recipe=recipe)

    def patched(**changes: object) -> AbstractContextManager:
        """Other functions or constants in `preconditioner`."""
        return mock.patch.multiple(preconditioner, **changes)

    variants: dict[str, tuple[AbstractContextManager, Callable[[], Reconstruction]]] = {
        "default": (nullcontext(), run),
        "pixels": (nullcontext(), lambda: run(DEFAULT.replace(preconditioner="none"))),
        "1/√f for every colour, no places": (patched(spectrum=one_over_f, places=everywhere), run),
        "1/√f for every colour": (patched(spectrum=one_over_f), run),
        "no places": (patched(places=everywhere), run),
        "no colours": (patched(POWER=without_colours()), run),
        "FINE a tenth": (patched(FINE=preconditioner.FINE / 10), run),
        "relaxation 1": (nullcontext(), lambda: run(DEFAULT.replace(relaxation=1.0))),
        "memory 5": (nullcontext(), lambda: run(DEFAULT.replace(memory=5))),
        "memory 10": (nullcontext(), lambda: run(DEFAULT.replace(memory=10))),
        "memory 50": (nullcontext(), lambda: run(DEFAULT.replace(memory=50))),
        "penalty 100 times": (mock.patch.object(descent, "PENALTY", 100 * descent.PENALTY), run),
        "no bounds": (nullcontext(), lambda: run(DEFAULT.replace(bounds="none"))),
        "from α = 0.2": (nullcontext(), lambda: run(start=jnp.asarray(run(alpha=0.2).images))),
        f"after {COARSE} iterations at half the size": (nullcontext(), lambda: run(start=coarse(image))),
    }
    print(f"| variant | {' | '.join(f'objective after {mark}' for mark in marks)} | beyond 0.3 cycles |")
    print("| --- " * 5 + "|")
    for name, (change, variant) in variants.items():
        with change:
            found = variant()
        SPECTRUM.cache_clear()  # this, and what is compiled, has the constants in it
        jax.clear_caches()
        values = " | ".join(f"{found.history[0, mark - 1]:.5f}" for mark in marks)
        print(f"| {name} | {values} | {noise(found.images[0] - np.asarray(image[0])):.2f} |", flush=True)


if __name__ == "__main__":
    main()
